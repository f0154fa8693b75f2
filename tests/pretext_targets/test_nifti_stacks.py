"""Volumes of a set of NIfTI files stay apart: ED and ES, cines, visits, people."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dicomgeom.data_manifest import load_data_manifest
from dicomgeom.errors import WrongUse
from pretext_targets.build import build
from pretext_targets.nifti_sets import plan_nifti
from pretext_targets.nifti_stacks import stacks_of
from pretext_targets.nifti_subjects import Subject
from pretext_targets.patient_facts import NOTHING_TOLD, PatientFacts
from pretext_targets.protocol import Protocol
from pretext_targets.reader import StoreReader
from pretext_targets.store import NOT_ANNOTATED
from pretext_targets.verify import verify_store
from tests.pretext_targets.test_nifti_sets import COLUMNS, PHASES, ROWS, SLICES, drawn, grid, image, save
from training.volumes import volumes_of

__all__ = ["grid"]

ACDC, MMS_2 = (load_data_manifest(name) for name in ("acdc", "mms-2"))


def labelled(folder: Path, stem: str, seed: int, *more: int) -> None:
    save(folder / f"{stem}.nii.gz", image(seed, *more))
    save(folder / f"{stem}_gt.nii.gz", drawn(seed, *more))


def count(reader: StoreReader, name: str) -> int:
    return len({key.tobytes() for key in reader.column(f"{name}_key")})


def slices_of_volumes(reader: StoreReader) -> list[list[int]]:
    rows = np.arange(len(reader), dtype=np.int64)
    return [reader.column("slice_index")[volume].tolist() for _, volume in volumes_of(reader, rows)]


@pytest.mark.parametrize("cine", [False, True])
def test_ed_and_es_of_mms_2_are_two_volumes_and_no_frames_of_the_cine(
    cine: bool, grid: Protocol, tmp_path: Path
) -> None:
    folder = tmp_path / "set" / "dataset" / "001"
    for seed, end in enumerate(("ED", "ES")):
        labelled(folder, f"001_SA_{end}", seed)
    if cine:
        save(folder / "001_SA_CINE.nii.gz", image(5, PHASES))
    summary = build(plan_nifti(tmp_path / "set", grid, MMS_2), tmp_path / "store")
    assert (verify_store(tmp_path / "store"), summary.some_skipped) == ([], False)
    reader = StoreReader(tmp_path / "store")
    assert slices_of_volumes(reader) == [list(range(SLICES))] * (2 + PHASES * cine)
    assert (count(reader, "patient"), count(reader, "stack")) == (1, 1 + cine)
    drawn_on = (reader.read("segmentation", np.arange(len(reader))) != NOT_ANNOTATED).all(axis=(1, 2))
    assert drawn_on.sum() == 2 * SLICES
    assert set(reader.column("phase_index")[drawn_on]) == {0, 1}
    assert set(reader.column("n_phases")[drawn_on]) == {2}
    assert set(reader.column("n_phases")[~drawn_on]) == ({PHASES} if cine else set())


def shown(
    stems: dict[str, int], facts: PatientFacts = NOTHING_TOLD
) -> dict[str, list[tuple[int | None, str]]]:
    """Stacks by name: phases and label maps of all volumes; a number of frames says what is a cine."""
    folder = Path("set")
    images = tuple(folder / f"{stem}.nii.gz" for stem in stems if not stem.endswith("_gt"))
    labels = tuple(folder / f"{stem}.nii.gz" for stem in stems if stem.endswith("_gt"))
    sizes = [(COLUMNS, ROWS, SLICES, frames)[: 4 if frames > 1 else 3] for frames in stems.values()]
    shapes = {folder / f"{stem}.nii.gz": size for stem, size in zip(stems, sizes, strict=True)}
    return {
        stack.name: [(one.phase_index, one.labels[0][:-7] if one.labels else "") for one in stack.volumes]
        for stack in stacks_of(Subject("p1", images, labels), shapes, folder, facts)
    }


def test_ed_and_es_annotate_the_frames_that_are_told() -> None:
    stems = {"p1_CINE": 3, "p1_ED": 1, "p1_ED_gt": 1, "p1_ES": 1, "p1_ES_gt": 1}
    told = PatientFacts(ed_phase=2, es_phase=1)
    assert shown(stems, told) == {"": [(0, ""), (1, "p1_ES_gt"), (2, "p1_ED_gt")]}
    assert shown(stems) == {
        "": [(0, ""), (1, ""), (2, "")],
        "stills": [(0, "p1_ED_gt"), (1, "p1_ES_gt")],
    }


def test_frames_of_several_cines_go_by_the_rest_of_their_names() -> None:
    stems = {"p1_a_4d": 2, "p1_b_4d": 2, "p1_a_frame02_gt": 1, "p1_b_frame01": 1, "p1_b_frame01_gt": 1}
    assert shown(stems) == {
        "p1_a_4d": [(0, ""), (1, "p1_a_frame02_gt")],
        "p1_b_4d": [(0, "p1_b_frame01_gt"), (1, "")],
    }


def test_copies_of_frames_are_none_more_and_frames_that_the_cine_lacks_stay() -> None:
    stems = {"p1_4d": 2, "p1_frame01": 1, "p1_frame03": 1, "p1_frame03_gt": 1, "p1_t1": 1}
    assert shown(stems) == {"": [(0, ""), (1, "")], "stills": [(2, "p1_frame03_gt"), (None, "")]}


def test_of_two_maps_of_one_frame_the_second_stays_on_its_image() -> None:
    stems = {"p1_4d": 2, "p1_a_frame01": 1, "p1_a_frame01_gt": 1, "p1_b_frame01": 1, "p1_b_frame01_gt": 1}
    assert shown(stems) == {"": [(0, "p1_a_frame01_gt"), (1, "")], "stills": [(0, "p1_b_frame01_gt")]}


def test_volumes_that_state_one_phase_are_stacks_by_series_or_at_an_unknown_phase() -> None:
    stems = {"p1_a_frame01": 1, "p1_a_frame02": 1, "p1_b_frame01": 1, "p1_b_ED": 1}
    assert shown(stems) == {"p1_a": [(0, ""), (1, "")], "p1_b": [(0, ""), (None, "")]}


def test_a_second_cine_is_a_stack_of_its_own(grid: Protocol, tmp_path: Path) -> None:
    for run in (1, 2):
        labelled(tmp_path / "set", f"patient001_run{run}_4d", run, 3)
    plan = plan_nifti(tmp_path / "set", grid, ACDC)
    assert (plan.left_out_counts, plan.annotations_unused) == ({}, {})
    summary = build(plan, tmp_path / "store")
    reader = StoreReader(tmp_path / "store")
    assert summary.annotated == len(reader) == 2 * 3 * SLICES
    assert (count(reader, "patient"), count(reader, "stack"), set(reader.column("n_phases"))) == (1, 2, {3})
    assert slices_of_volumes(reader) == [list(range(SLICES))] * 6


@pytest.mark.parametrize("place", ["sub-01/ses-{0}/sub-01_frame01", "sub-01_ses-{0}_frame01"])
def test_visits_of_one_person_are_stacks_and_studies_of_one_patient(
    place: str, grid: Protocol, tmp_path: Path
) -> None:
    for visit in (1, 2):
        path = tmp_path / "set" / place.format(visit)
        labelled(path.parent, path.name, visit)
    build(plan_nifti(tmp_path / "set", grid, ACDC.model_copy(update={"views": {}})), tmp_path / "store")
    reader = StoreReader(tmp_path / "store")
    assert [count(reader, one) for one in ("patient", "study", "stack")] == [1, 2, 2]
    assert slices_of_volumes(reader) == [list(range(SLICES))] * 2
    assert len(set(reader.column("split"))) == 1


def test_one_name_at_two_centres_is_refused_but_images_and_labels_may_lie_apart(
    grid: Protocol, tmp_path: Path
) -> None:
    for centre in "AB":
        labelled(tmp_path / f"centre{centre}" / "001", "patient001_frame01", ord(centre))
    with pytest.raises(WrongUse, match="patient001 lie in centreA/001 and in centreB/001"):
        plan_nifti(tmp_path, grid, ACDC)
    (tmp_path / "centreB" / "001" / "patient001_frame01.nii.gz").unlink()
    plan = plan_nifti(tmp_path, grid, ACDC)
    assert (len(plan.examples), plan.annotations_unused) == (SLICES, {"label-map-without-image": 1})


def test_numbers_behind_one_word_are_patients(grid: Protocol, tmp_path: Path) -> None:
    manifest = ACDC.model_copy(update={"views": {}})
    for number in (1, 2, 3):
        labelled(tmp_path / "set", f"case_{number:03d}", number)
    build(plan_nifti(tmp_path / "set", grid, manifest), tmp_path / "store")
    reader = StoreReader(tmp_path / "store")
    assert (count(reader, "patient"), count(reader, "stack")) == (3, 3)
    assert (set(reader.column("n_phases")), set(reader.column("phase_index"))) == ({1}, {-1})


def test_volumes_of_unknown_phase_are_numbered_apart_in_any_shard(grid: Protocol, tmp_path: Path) -> None:
    for seed, name in enumerate("abc"):
        labelled(tmp_path / "set", f"patient001_{name}", seed)
    plan = plan_nifti(tmp_path / "set", grid, ACDC)
    for shard in (2, 64):
        build(plan, tmp_path / f"store{shard}", shard=shard)
        reader = StoreReader(tmp_path / f"store{shard}")
        assert slices_of_volumes(reader) == [list(range(SLICES))] * 3
        assert sorted(set(reader.column("phase_index").tolist())) == [-1_000_000, -999_999, -999_998]
    some = build(plan_nifti(tmp_path / "set", grid.with_changes(frames=1), ACDC), tmp_path / "some")
    assert (some.examples, set(StoreReader(tmp_path / "some").column("phase_index"))) == (
        SLICES,
        {-1_000_000},
    )
