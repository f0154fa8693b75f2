"""Ejection fractions of real hearts from their manual segmentations: each group keeps its criterion."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dicomgeom.data_manifest import load_data_manifest
from pretext_targets.build import build
from pretext_targets.nifti_sets import plan_nifti
from pretext_targets.protocol import load_protocol
from pretext_targets.reader import StoreReader
from tests.helpers.real import real_exam
from training.cardiac_features import FEATURES, manual_features

EJECTION = {
    "dilated": ((1, 2, 3), (0, 40)),
    "hypertrophic": ((21, 22, 23), (55, 100)),
    "infarction": ((41, 42, 43), (0, 40)),
    "normal": ((61, 62, 63), (50, 100)),
}
"""Numbers of patients, and the LV ejection fraction in % by which ACDC sorted them (Bernard et al. 2018)."""


@pytest.mark.real
def test_ejection_fractions_of_acdc_lie_where_their_groups_were_drawn(tmp_path: Path) -> None:
    for group, (numbers, (low, high)) in EJECTION.items():
        folder = tmp_path / group
        folder.mkdir()
        for number in numbers:
            for file in real_exam("cardiac-acdc").glob(f"**/patient{number:03d}_frame*"):
                (folder / file.name).symlink_to(file.resolve())
        protocol = load_protocol("cardiac-sax").with_changes(rows=128, columns=128)
        build(plan_nifti(folder, protocol, load_data_manifest("acdc")), tmp_path / f"{group}.zarr")
        reader = StoreReader(tmp_path / f"{group}.zarr")
        found = np.stack(list(manual_features(reader, np.arange(len(reader))).values()))
        assert len(found) == len(numbers)
        # 5 % leeway: volumes of the challenge were measured on finer grids than these.
        assert (found[:, 0] > low - 5).all()
        assert (found[:, 0] < high + 5).all()
        unknown = {name for name, of in zip(FEATURES, found.T, strict=True) if np.isnan(of).all()}
        assert {"LV ejection fraction (%)", "RV ejection fraction (%)"}.isdisjoint(unknown)
