"""What tests of several modules begin with."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.dicomgeom.test_views import exam


@pytest.fixture
def export(tmp_path: Path) -> Path:
    return exam(tmp_path / "export", ["SAX", "4CH", "2CH"])


@pytest.fixture
def salt(tmp_path: Path) -> Path:
    path = tmp_path / "salt"
    path.write_text("0123456789abcdef0123456789abcdef")
    return path
