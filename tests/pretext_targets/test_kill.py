"""kill -9 at any moment, and the same build again: bit for bit the uninterrupted store.

Three random moments; as many as the variable ANATPREP_KILLS says in a longer run.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dicomgeom.catalogue import Catalogue
from pretext_targets.build import BuildPlan, build
from pretext_targets.verify import verify_store
from tests.helpers.built_stores import content_of
from tests.helpers.real import PROJECT
from tests.pretext_targets.conftest import SHARD

KILLS = int(os.environ.get("ANATPREP_KILLS", "3"))

LONGEST_S = 0.8
"""About as long as the build writes; a moment after its end is a moment too."""

BUILD = f"""
import sys
from pathlib import Path
from dicomgeom.catalogue import open_catalogue
from pretext_targets.build import build, plan_build
from pretext_targets.protocol import load_protocol

protocol = load_protocol("cardiac-sax").with_changes(rows=36, columns=40, spacing_mm=5.5)
plan = plan_build(open_catalogue(Path(sys.argv[1])), protocol)
sys.stdout.write("planned\\n")
sys.stdout.flush()
build(plan, sys.argv[2], shard={SHARD})
"""


@pytest.mark.parametrize("number", range(KILLS))
def test_a_build_killed_at_a_random_moment_is_finished_bit_for_bit(
    number: int, plan: BuildPlan, catalogue: Catalogue, built: Path, tmp_path: Path
) -> None:
    seed = os.environ.get("ANATPREP_KILL_SEED", str(time.time_ns()))
    moment_s = random.Random(f"{seed} {number}").uniform(0, LONGEST_S)
    store = tmp_path / "store.zarr"
    command = [sys.executable, "-c", BUILD, str(catalogue.folder), str(store)]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"planned\n"
        time.sleep(moment_s)
        running.send_signal(signal.SIGKILL)
    build(plan, store, shard=SHARD)
    assert content_of(store) == content_of(built), f"killed after {moment_s:.3f} s, seed {seed}"
    assert verify_store(store) == []
