"""A grid that runs in seconds on the synthetic stores."""

from __future__ import annotations

from pathlib import Path

import pytest

GRID = """
name = "tiny"
about = "A test."
subsets = { 1 = 2, 2 = 1 }
test = { store = "labelled" }

[stores]
pretext = "exams without annotation"
labelled = "exams with annotation"

[set]
"backbone.width" = 4
batch_size = 4
steps = 3
checkpoint_every = 1
log_every = 1
amp = false

[[pretrainings]]
name = "location"
recipe = "pretrain-location"
stores = { main = "pretext" }

[[arms]]
name = "scratch"
recipe = "segment-sax"
stores = { main = "labelled" }

[[arms]]
name = "from {parent}"
recipe = "segment-sax"
parent = "each"
stores = { main = "labelled" }

[[arms]]
name = "{parent} itself"
parent = "location"
test = { store = "pretext" }

[[tables]]
title = "Segmentation"
measures = ["dice mean"]
arms = ["scratch", "from location"]
reference = "scratch"

[[tables]]
title = "Location"
measures = ["r"]
arms = ["location itself"]

[sizes.smaller]
subsets = { 1 = 1 }
every = { steps = 2 }
"""


@pytest.fixture
def grid_file(tmp_path: Path) -> Path:
    """The grid as a user writes it."""
    path = tmp_path / "tiny.toml"
    path.write_text(GRID, encoding="utf-8")
    return path
