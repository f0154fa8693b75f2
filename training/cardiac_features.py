"""Ten numbers of a heart, from its segmentation over the beat: what the diagnosis is made of.

Zhang, Wei et al., Medical Image Analysis 2024, after the ACDC challenge (Bernard et al., IEEE TMI 2018):
ejection fractions of both ventricles, their volumes at end-diastole and end-systole, the mass of the
myocardium at both (1.05 g/ml), height and weight.

End-diastole and end-systole are the phases that the store was told, else those with the largest and the
smallest LV cavity of all that are looked at; the RV and the myocardium are measured at the same two. A phase
of which an image is left out (its pixels cannot be used) shows less than the heart: it is not chosen, and
says nothing where it was told.

What cannot be known is NaN: the volumes where the store does not know how far apart slices are (ejection
fractions are ratios and need no spacing), everything of end-systole where there is one phase, everything
where one phase of several is whole and they are not told, an ejection fraction of a ventricle that is empty
at end-diastole, height and weight that nobody told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from dicomgeom.errors import NothingUsable, WrongUse
from dicomgeom.progress import Progress, silent
from pretext_targets.reader import StoreReader
from pretext_targets.store import NOT_ANNOTATED
from training.sources import Rows
from training.volume_grid import VolumeGrid, grid_of
from training.volumes import volumes_of

MYOCARDIUM_G_PER_ML = 1.05

LV, MYOCARDIUM, RV = STRUCTURES = ("LV cavity", "LV myocardium", "RV cavity")
"""What must be segmented."""

FEATURES = (
    "LV ejection fraction (%)",
    "RV ejection fraction (%)",
    "LV volume at ED (ml)",
    "LV volume at ES (ml)",
    "RV volume at ED (ml)",
    "RV volume at ES (ml)",
    "myocardial mass at ED (g)",
    "myocardial mass at ES (g)",
    "height (cm)",
    "weight (kg)",
)
BODY = {"height (cm)": "height_cm", "weight (kg)": "weight_kg"}
"""Features that are columns of the store."""

NAN, UNTOLD = float("nan"), -1


@dataclass(frozen=True)
class Told:
    """What a store tells of a patient beside the images; NaN and -1 where it does not.

    Attributes
    ----------
    ed_phase, es_phase
        `phase_index` at end-diastole and end-systole.
    """

    height_cm: float = NAN
    weight_kg: float = NAN
    ed_phase: int = UNTOLD
    es_phase: int = UNTOLD


NOTHING_TOLD = Told()


@dataclass(frozen=True)
class PhaseVolume:
    """One stack at one phase: voxels of each of `STRUCTURES`, and a voxel's volume (None unknown).

    Attributes
    ----------
    slices
        Those that were looked at.
    left_out
        Images beside them that cannot be used.
    """

    stack: bytes
    phase: int
    slices: int
    voxels: tuple[int, int, int]
    voxel_ml: float | None
    left_out: int = 0


def phase_volume(
    place: tuple[bytes, int], classes: NDArray[np.integer], names: Sequence[str], grid: VolumeGrid
) -> PhaseVolume:
    """Count the voxels of a segmented volume.

    Parameters
    ----------
    place
        Key of its stack, and its phase.
    classes
        (slices, rows, columns), indices into `names`.

    Raises
    ------
    WrongUse
        When `names` lacks one of `STRUCTURES`.
    """
    missing = [name for name in STRUCTURES if name not in names]
    if missing:
        raise WrongUse(
            f"the segmentation has no {' and no '.join(missing)}, and the diagnosis needs "
            f"{', '.join(STRUCTURES)}; give a short-axis segmentation that tells them apart"
        )
    counts = [int((classes == list(names).index(name)).sum()) for name in STRUCTURES]
    return PhaseVolume(*place, grid.slices, (counts[0], counts[1], counts[2]), grid.voxel_ml)


def features_of(phases: Sequence[PhaseVolume], told: Told = NOTHING_TOLD) -> NDArray[np.float64]:
    """The ten features (10,) of one patient, in the order of `FEATURES`; NaN where unknown.

    Of several stacks the one with most slices counts, of equal ones that with most phases.
    """
    stacks: dict[bytes, dict[int, PhaseVolume]] = {}
    for phase in phases:
        stacks.setdefault(phase.stack, {})[phase.phase] = phase
    chosen = max(
        stacks.values(), key=lambda of: (max(one.slices + one.left_out for one in of.values()), len(of))
    )
    filled, emptied = _ends(chosen, told)
    (lv_ed, muscle_ed, rv_ed), (lv_es, muscle_es, rv_es) = _voxels(filled), _voxels(emptied)
    ml_ed, ml_es = _voxel_ml(filled), _voxel_ml(emptied)
    return np.array(
        [
            _ejection(lv_ed, lv_es),
            _ejection(rv_ed, rv_es),
            lv_ed * ml_ed,
            lv_es * ml_es,
            rv_ed * ml_ed,
            rv_es * ml_es,
            muscle_ed * ml_ed * MYOCARDIUM_G_PER_ML,
            muscle_es * ml_es * MYOCARDIUM_G_PER_ML,
            told.height_cm,
            told.weight_kg,
        ]
    )


def _ends(phases: Mapping[int, PhaseVolume], told: Told) -> tuple[PhaseVolume | None, PhaseVolume | None]:
    """A stack at end-diastole and at end-systole; None where that cannot be known."""
    whole = {phase: one for phase, one in phases.items() if not one.left_out}
    if len(phases) > 1 and told.ed_phase in phases and told.es_phase in phases:
        return whole.get(told.ed_phase), whole.get(told.es_phase)
    if len(whole) > 1:
        filled = max(whole.values(), key=lambda one: one.voxels[0])
        return filled, min(whole.values(), key=lambda one: one.voxels[0])
    # One alone is taken for end-diastole; the last that is left of several could as well be end-systole.
    return (next(iter(whole.values()), None) if len(phases) == 1 else None), None


def _voxels(volume: PhaseVolume | None) -> NDArray[np.float64]:
    return np.array((NAN, NAN, NAN) if volume is None else volume.voxels, dtype=np.float64)


def _voxel_ml(volume: PhaseVolume | None) -> float:
    return NAN if volume is None or volume.voxel_ml is None else volume.voxel_ml


def _ejection(end_diastole: float, end_systole: float) -> float:
    return 100.0 * (end_diastole - end_systole) / end_diastole if end_diastole > 0 else NAN


def manual_features(
    reader: StoreReader, rows: Rows, progress: Progress = silent
) -> dict[str, NDArray[np.float64]]:
    """Features of the patients of some rows from the segmentations in the store.

    Parameters
    ----------
    rows
        All images of these patients that can be used.

    Returns
    -------
    dict
        Patient key in hexadecimal -> (10,). Patients without an annotated image are not in it.

    Raises
    ------
    NothingUsable
        When the store has no segmentation.
    WrongUse
        When that has not the three structures.
    """
    if "segmentation" not in reader.names:
        raise NothingUsable("the store holds no segmentation; give a labelled store, made with import-labels")
    names = reader.attributes.segment_names
    phases: dict[str, list[PhaseVolume]] = {}
    volumes = volumes_of(reader, rows)
    for number, (patient, volume) in enumerate(volumes):
        classes = reader.read("segmentation", volume)
        if (classes != NOT_ANNOTATED).any():
            phases.setdefault(patient, []).append(
                phase_volume(place_of(reader, volume), classes, names, grid_of(reader, volume))
            )
        progress("measuring manual segmentations", done=number + 1, total=len(volumes))
    return with_body(reader, rows, phases)


def with_body(
    reader: StoreReader, rows: Rows, phases: Mapping[str, Sequence[PhaseVolume]]
) -> dict[str, NDArray[np.float64]]:
    """Features of each patient, with what the store tells beside the images.

    Parameters
    ----------
    rows
        All images of these patients that can be used; `phases` may be of some of them.
    """
    told, left_out = told_of(reader, rows), _left_out(reader, rows)
    return {
        patient: features_of(_with_left_out(of, left_out), told[patient]) for patient, of in phases.items()
    }


def _left_out(reader: StoreReader, rows: Rows) -> dict[bytes, Counter[int]]:
    """Of each stack how many images of which phase the store has beside some rows."""
    others = np.setdiff1d(np.arange(len(reader)), rows)
    phases = reader.column("phase_index")[others].tolist()
    found: dict[bytes, Counter[int]] = {}
    for stack, phase in zip(reader.column("stack_key")[others], phases, strict=True):
        found.setdefault(bytes(stack), Counter())[phase] += 1
    return found


def _with_left_out(
    volumes: Sequence[PhaseVolume], left_out: Mapping[bytes, Counter[int]]
) -> list[PhaseVolume]:
    """Volumes of a patient, told what they lack, and those of their stacks that could not be looked at."""
    lacking = {stack: left_out.get(stack, Counter[int]()) for stack in {one.stack for one in volumes}}
    marked = [replace(one, left_out=lacking[one.stack][one.phase]) for one in volumes]
    seen = {(one.stack, one.phase) for one in volumes}
    unseen = [
        PhaseVolume(stack, phase, 0, (0, 0, 0), None, count)
        for stack, counts in lacking.items()
        for phase, count in counts.items()
        if (stack, phase) not in seen
    ]
    return marked + unseen


def told_of(reader: StoreReader, rows: Iterable[int]) -> dict[str, Told]:
    """What a store tells of each patient of some rows."""
    names = [one.name for one in fields(Told) if one.name in reader.names]
    columns = {name: reader.column(name) for name in names}
    return {
        patient: Told(**{name: column[row].item() for name, column in columns.items()})
        for patient, row in first_rows(reader, rows).items()
    }


def first_rows(reader: StoreReader, rows: Iterable[int]) -> dict[str, int]:
    """The first of the rows of each patient: columns of the patient are the same in all of them."""
    keys = reader.column("patient_key")
    first: dict[str, int] = {}
    for row in rows:
        first.setdefault(bytes(keys[row]).hex(), int(row))
    return first


def known_diagnoses(reader: StoreReader, rows: Rows) -> dict[str, int]:
    """Class of each patient of some rows whose diagnosis is known.

    Raises
    ------
    NothingUsable
        The store has no diagnoses, or none of these patients has one.
    """
    if "diagnosis" not in reader.names:
        raise NothingUsable("the store holds no diagnosis; give a labelled store of a set that tells it")
    column = reader.column("diagnosis")
    known = {
        patient: int(column[row]) for patient, row in first_rows(reader, rows).items() if column[row] >= 0
    }
    if not known:
        raise NothingUsable("none of the patients has a known diagnosis; choose another split or store")
    return known


def place_of(reader: StoreReader, volume: Rows) -> tuple[bytes, int]:
    """Key of the stack of a volume, and its phase."""
    first = volume[0]
    return bytes(reader.column("stack_key")[first]), int(reader.column("phase_index")[first])
