from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dicomgeom.errors import NothingUsable, WrongUse
from pretext_targets.reader import StoreReader
from tests.helpers.labelled_hearts import Heart, write_hearts
from training.cardiac_features import (
    FEATURES,
    PhaseVolume,
    Told,
    features_of,
    known_diagnoses,
    manual_features,
    phase_volume,
    told_of,
)
from training.volume_grid import counted_grid

SPACING_MM, APART_MM = 2.0, 10.0
VOXEL_ML = 2.0 * 2.0 * 10.0 / 1000


def boxes(lv: int, muscle: int, rv: int, slices: int = 3) -> NDArray[np.uint8]:
    """Masks (slices, 16, 16) with so many pixels of each structure in every slice."""
    flat = np.zeros((slices, 256), np.uint8)
    flat[:, :lv], flat[:, 60 : 60 + muscle], flat[:, 130 : 130 + rv] = 1, 2, 3
    return flat.reshape(slices, 16, 16)


def heart(phases: list[NDArray[np.uint8]], **changes: float) -> Heart:
    told = {"slice_distance_mm": APART_MM, "diagnosis": 1, "split": 0} | changes
    return Heart(np.stack(phases), **told)  # type: ignore[arg-type]


def phase(
    lv: int, number: int = 0, muscle: int = 40, rv: int = 50, stack: bytes = b"a", slices: int = 8
) -> PhaseVolume:
    return PhaseVolume(stack, number, slices, (lv, muscle, rv), 0.1)


def test_features_equal_those_computed_by_hand(tmp_path: Path) -> None:
    # Neither end-diastole nor end-systole comes first, and the RV is emptiest at another phase.
    cine = [boxes(40, 30, 44), boxes(50, 28, 60), boxes(20, 36, 36), boxes(30, 31, 30)]
    store = write_hearts(tmp_path / "s.zarr", [heart(cine)], SPACING_MM)
    (found,) = manual_features(StoreReader(store), np.arange(12)).values()
    ml = 3 * VOXEL_ML
    by_hand = [
        100 * (50 - 20) / 50,
        100 * (60 - 36) / 60,
        50 * ml,
        20 * ml,
        60 * ml,
        36 * ml,
        28 * ml * 1.05,
        36 * ml * 1.05,
    ]
    assert found[:8] == pytest.approx(by_hand)
    assert dict(zip(FEATURES, found, strict=True))["LV ejection fraction (%)"] == pytest.approx(60.0)


def test_phases_that_nobody_annotated_do_not_count(tmp_path: Path) -> None:
    unknown = np.full((3, 16, 16), 255, np.uint8)
    cine = [boxes(50, 28, 60), unknown, boxes(20, 36, 36)]
    hearts = [heart(cine), heart([unknown])]
    reader = StoreReader(write_hearts(tmp_path / "s.zarr", hearts, SPACING_MM))
    features = manual_features(reader, np.arange(len(reader)))
    assert list(features) == [f"{1:032x}"]
    assert features[f"{1:032x}"][0] == pytest.approx(60.0)


def test_end_diastole_and_end_systole_are_the_told_ones_where_both_are_there() -> None:
    cine = [phase(80, 0), phase(100, 1), phase(40, 2), phase(30, 3)]
    assert features_of(cine, Told(ed_phase=0, es_phase=2))[0] == pytest.approx(50.0)
    assert features_of(cine, Told(ed_phase=0, es_phase=9))[0] == pytest.approx(70.0)
    assert features_of(cine)[0] == pytest.approx(70.0)


def test_what_the_store_tells_of_patients_is_read(tmp_path: Path) -> None:
    cine = [boxes(50, 28, 60), boxes(20, 36, 36)]
    hearts = [heart(cine, height_cm=171.5, weight_kg=66.0, ed_phase=1, es_phase=0), heart(cine)]
    reader = StoreReader(write_hearts(tmp_path / "s.zarr", hearts, SPACING_MM))
    told = told_of(reader, np.arange(12))
    assert told[f"{1:032x}"] == Told(171.5, 66.0, 1, 0)
    assert np.isnan(told[f"{2:032x}"].height_cm)
    features = manual_features(reader, np.arange(12))
    assert features[f"{1:032x}"][[2, 8, 9]].tolist() == pytest.approx([20 * 3 * VOXEL_ML, 171.5, 66.0])


def test_ejection_is_known_where_volumes_are_not() -> None:
    grid = counted_grid(range(3), SPACING_MM)
    names = ("background", "LV cavity", "LV myocardium", "RV cavity")
    phases = [phase_volume((b"a", lv), boxes(lv, 30, 40), names, grid) for lv in (50, 20)]
    found = features_of(phases, Told(height_cm=170.0, weight_kg=70.0))
    assert found[0] == pytest.approx(60.0)
    assert found[1] == 0.0
    assert np.isnan(found[2:8]).all()
    assert found[8:].tolist() == [170.0, 70.0]


def test_what_one_phase_or_an_empty_ventricle_cannot_tell_is_unknown() -> None:
    alone = features_of([phase(50)])
    assert np.isfinite(alone).tolist() == [False, False, True, False, True, False, True, False, False, False]
    empty = features_of([phase(0, rv=0), phase(0, 1, rv=0)])
    assert np.isnan(empty[:2]).all()
    assert empty[2:6].tolist() == [0.0] * 4


def test_a_phase_with_an_image_left_out_is_neither_end_diastole_nor_end_systole() -> None:
    torn = replace(phase(5, 3, slices=7), left_out=1)
    assert features_of([phase(80, 0), phase(100, 1), phase(40, 2), torn])[0] == pytest.approx(60.0)
    large = replace(phase(120, 3, slices=7), left_out=1)
    assert features_of([phase(80, 0), phase(100, 1), phase(40, 2), large])[0] == pytest.approx(60.0)


def test_a_told_phase_with_an_image_left_out_says_nothing() -> None:
    cine, told = (
        [phase(100, 0), replace(phase(40, 1), left_out=1), phase(60, 2)],
        Told(ed_phase=0, es_phase=1),
    )
    found = features_of(cine, told)
    assert np.isfinite(found).tolist() == [False, False, True, False, True, False, True, False, False, False]
    found = features_of(cine, replace(told, ed_phase=1, es_phase=2))
    assert np.isfinite(found).tolist() == [False, False, False, True, False, True, False, True, False, False]


def test_one_whole_phase_that_is_left_of_several_could_be_either_end() -> None:
    assert np.isnan(features_of([phase(40, 0), replace(phase(90, 1), left_out=2)])).all()
    assert np.isnan(features_of([replace(phase(90, 1), left_out=2)])).all()


def test_left_out_images_do_not_make_another_stack_the_largest() -> None:
    torn = [replace(phase(100, number, slices=2), left_out=6) for number in (0, 1)]
    short = [phase(90, 0, stack=b"b", slices=3), phase(10, 1, stack=b"b", slices=3)]
    assert np.isnan(features_of([*short, *torn])).all()


def test_phases_lack_the_images_that_the_store_has_beside_the_usable_ones(tmp_path: Path) -> None:
    cine = [boxes(40, 28, 60), boxes(50, 28, 60), boxes(20, 36, 36), boxes(30, 36, 36)]
    ends = {"ed_phase": 1, "es_phase": 2}
    hearts = [heart(cine), heart(cine, **ends), heart(cine, **ends), heart(cine)]
    reader = StoreReader(write_hearts(tmp_path / "s.zarr", hearts, SPACING_MM))
    # Of the first an image of end-systole, of the second all of it, of the third an image between.
    usable = np.setdiff1d(np.arange(48), [6, 18, 19, 20, 24 + 9])
    found = np.stack(list(manual_features(reader, usable).values()))
    assert found[:, 0] == pytest.approx([40.0, np.nan, 60.0, 60.0], nan_ok=True)
    assert found[1, 2] == pytest.approx(50 * 3 * VOXEL_ML)


def test_of_several_stacks_the_largest_one_is_measured() -> None:
    short = [phase(90, 0, stack=b"b", slices=3), phase(10, 1, stack=b"b", slices=3)]
    found = features_of([*short, phase(50), phase(25, 1)])
    assert found[0] == pytest.approx(50.0)


def test_structures_are_told_by_name_and_missing_ones_are_named() -> None:
    grid = counted_grid(range(3), SPACING_MM, APART_MM)
    turned = ("background", "RV cavity", "LV myocardium", "LV cavity")
    assert phase_volume((b"a", 0), boxes(50, 30, 20), turned, grid).voxels == (60, 90, 150)
    with pytest.raises(WrongUse, match="has no LV myocardium, and the diagnosis needs"):
        phase_volume((b"a", 0), boxes(1, 1, 1), ("background", "LV cavity", "RV cavity"), grid)


def test_patients_without_a_diagnosis_are_left_out_and_none_at_all_is_refused(
    tmp_path: Path, pretext_store: Path
) -> None:
    cine = [boxes(50, 28, 60), boxes(20, 36, 36)]
    reader = StoreReader(
        write_hearts(tmp_path / "s.zarr", [heart(cine), heart(cine, diagnosis=-1)], SPACING_MM)
    )
    assert known_diagnoses(reader, np.arange(12)) == {f"{1:032x}": 1}
    with pytest.raises(NothingUsable, match="none of the patients has a known diagnosis"):
        known_diagnoses(reader, np.arange(6, 12))
    with pytest.raises(NothingUsable, match="holds no diagnosis"):
        known_diagnoses(StoreReader(pretext_store), np.arange(2))
    with pytest.raises(NothingUsable, match="holds no segmentation"):
        manual_features(StoreReader(pretext_store), np.arange(2))
