"""The measurement of realism as a whole, small: drawn once, trained once, found again."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from benchmarks import realism


@pytest.fixture
def acdc(tmp_path: Path) -> Path:
    folder = tmp_path / "acdc"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in (6, 7):
        for frame in ("01", "12"):
            labels = np.zeros((40, 50, 3), np.uint8)
            labels[15:25, 20:30], labels[12:15, 20:30], labels[25:30, 20:30] = 3, 2, 1
            image = labels * 100.0 + rng.normal(0, 5, labels.shape)
            for end, volume in (("", image.astype(np.float32)), ("_gt", labels)):
                name = f"patient{number:03d}_frame{frame}{end}.nii.gz"
                nib.save(nib.Nifti1Image(volume, np.eye(4)), folder / name)
    return folder


def test_everything_is_made_once_and_reported(
    acdc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(realism, "SIDE", 32)
    monkeypatch.setattr(realism, "REDRAWS", 1)
    monkeypatch.setattr(realism, "TABLE", realism.TABLE[:1])
    monkeypatch.setattr(realism, "EACH", realism.Effort(stacks=1, steps=2, width=4))
    said: list[str] = []
    first = realism.report(tmp_path / "out", acdc, "test", "table", said.append)
    assert len(first) == 5
    assert "ventricles on a plain background" in first[-1]
    (kept,) = (tmp_path / "out" / "runs").glob("*/acdc-test.json")
    assert kept.read_text().count("[") == 6  # two moments of three structures, for the one test patient
    said.clear()
    assert realism.report(tmp_path / "out", acdc, "test", "table", said.append) == first
    assert not [line for line in said if line.startswith(("drawing", "training"))]


def test_a_store_is_named_by_what_it_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(realism, "SIDE", 32)
    one, other = realism.TABLE[0], realism.TABLE[1]
    assert realism.store_of(tmp_path, one, 3) == realism.store_of(tmp_path, one, 3)
    assert len({realism.store_of(tmp_path, *what) for what in ((one, 3), (other, 3), (one, 4))}) == 3
