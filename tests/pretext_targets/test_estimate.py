"""What a build will cost is near what it costs."""

from __future__ import annotations

from pathlib import Path

import pytest

from dicomgeom.catalogue import open_catalogue
from dicomgeom.index import index
from pretext_targets.build import BuildPlan, build, plan_build
from pretext_targets.codecs import Compression
from pretext_targets.estimate import estimate
from pretext_targets.places import Folder
from pretext_targets.protocol import load_protocol
from tests.helpers.real import real_exam


@pytest.mark.real
@pytest.mark.parametrize("compression", ["lz4", "zstd", "none"])
def test_the_size_of_a_real_store_is_told_within_a_tenth(compression: Compression, tmp_path: Path) -> None:
    index([real_exam("cardiac-biv-me")], tmp_path / "catalogue")
    protocol = load_protocol("cardiac-sax").with_changes(frames=3)
    plan = plan_build(open_catalogue(tmp_path / "catalogue"), protocol)
    build(plan, tmp_path / "store", compression=compression)
    size_bytes = sum(Folder(tmp_path / "store").sizes().values())
    metadata_bytes = 60_000  # of any store, however small
    told = estimate(plan, compression=compression)
    assert told.size_bytes == pytest.approx(size_bytes - metadata_bytes, rel=0.1)
    assert told.seconds > 0


def test_a_store_without_rasters_is_told_smaller_and_half_the_time_for_two_workers(plan: BuildPlan) -> None:
    full, bare = (estimate(plan, rasters=rasters, compression="none") for rasters in (True, False))
    pixels = len(plan.examples) * 36 * 40
    assert full.size_bytes - bare.size_bytes == 3 * pixels
    assert 0 < estimate(plan, workers=1000).seconds < full.seconds


def test_nothing_is_left_of_the_trial(
    plan: BuildPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    estimate(plan)
    assert not list(tmp_path.iterdir())
