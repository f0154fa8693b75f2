"""Short-axis images with labels, straight from the scene: a NIfTI set in ACDC's layout, without DICOM.

Exams as scanners write them cost seconds; a network that learns short-axis segmentation needs no more
than the planes at end-diastole and end-systole, in many looks. Images come on one small grid over the
whole field of view, whose size, place and turn vary as they do in clinical stacks: of a stack the
ventricles' part, from the base to just beyond the apex.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dicomgeom.plane import ImagePlane
from dicomgeom.progress import Progress, silent
from phantoms.cardiac_groups import draw_patient
from phantoms.cardiac_patient import CardiacPatient, tilted
from phantoms.cardiac_scene import CardiacScene
from phantoms.contrast import Contrast
from phantoms.looks import Look, draw_look
from phantoms.prescription import in_plane_axes
from phantoms.reception import received, shading
from phantoms.sampling import SampledPlane
from phantoms.segments import CARDIAC_SEGMENTS
from phantoms.tissues import Tissue

Floats = NDArray[np.float64]

FINER = 2
"""Images are made on pixels this many times smaller, and averaged."""

ACDC_CODE = {"LV cavity": 3, "LV myocardium": 2, "RV cavity": 1}

FRAMES = ("frame01", "frame12")
"""Names of end-diastole and end-systole."""

PORTRAIT_DEG, LANDSCAPE_DEG = (150.0, 16.0), (-138.0, 14.0)
"""Where the RV lies from the LV, right = 0 and down = 90: mean and deviation, in the two usual turns."""

LANDSCAPE_SHARE = 0.25

_AFFINE = np.diag([-1.0, -1.0, 8.0, 1.0])


@dataclass(frozen=True)
class Variety:
    """What varies beside what `draw_patient` draws; docs/results/realism.md says what each is worth.

    Parameters
    ----------
    hearts
        Walls, right ventricles and stroke volumes spread beyond the published statistics.
    organs
        Random smooth regions under the diaphragm.
    contours
        Hearts nearer to what contours drawn by hand show: right ventricles of all sizes whose valves come
        far down, thinner walls, thinnest at the apex.
    """

    hearts: bool = False
    organs: bool = False
    contours: bool = False


@dataclass(frozen=True)
class LabelledStack:
    """Images (looks, 2, slices, side, side) float32, and ACDC's codes (2, slices, side, side) uint8."""

    images: NDArray[np.float32]
    labels: NDArray[np.uint8]


def spread_patient(patient: CardiacPatient, rng: np.random.Generator) -> CardiacPatient:
    """A heart with numbers beyond its group's: hand-drawn contours count more as wall than statistics do."""
    right = float(np.exp(rng.normal(0.05, 0.18)))
    emptied = float(np.exp(rng.normal(0, 0.12)))
    most = 0.9 * patient.lv_end_diastole_mm3
    return replace(
        patient,
        muscle_mm3=patient.muscle_mm3 * float(rng.uniform(0.95, 1.75)),
        lv_end_systole_mm3=min(patient.lv_end_systole_mm3 * emptied, most),
        rv_end_diastole_mm3=patient.rv_end_diastole_mm3 * right,
        rv_end_systole_mm3=patient.rv_end_systole_mm3 * right * emptied,
        uneven=patient.uneven * float(rng.uniform(0.5, 1.6)),
        oval=float(rng.uniform(0, 0.10)),
        fat_mm=float(rng.uniform(0.1, 3.5)),
    )


def like_contours(patient: CardiacPatient, rng: np.random.Generator) -> CardiacPatient:
    """What networks taught without it got wrong on the tuning patients: RV size and descent, apical walls."""
    size = float(np.exp(rng.normal(0.12, 0.28)))
    return replace(
        patient,
        rv_end_diastole_mm3=patient.rv_end_diastole_mm3 * size,
        rv_end_systole_mm3=patient.rv_end_systole_mm3 * size,
        rv_short=float(rng.uniform(-0.03, 0.2)),
        rv_descent=float(rng.uniform(1.4, 2.3)),
        apical_wall=float(rng.uniform(0.2, 0.7)),
        muscle_mm3=patient.muscle_mm3 * float(rng.uniform(0.65, 0.95)),
    )


def draw_scene(rng: np.random.Generator, variety: Variety) -> CardiacScene:
    """Draw one patient."""
    patient = draw_patient(rng)
    if variety.hearts:
        patient = spread_patient(patient, rng)
    if variety.contours:
        patient = like_contours(patient, rng)
    return CardiacScene(rng, patient, organs=variety.organs)


def draw_planes(scene: CardiacScene, side: int, rng: np.random.Generator) -> tuple[list[ImagePlane], float]:
    """Draw the planes of a stack from base to apex, and their thickness in mm."""
    marks = scene.landmarks()
    base, apex, centre = marks["base_centre"], marks["apex"], marks["lv_centre"]
    length_mm = float(np.linalg.norm(apex - base))
    tilt = abs(np.deg2rad(np.clip(rng.normal(0, 4), -10, 10)))
    axis = tilted(apex - base, float(tilt), float(rng.uniform(0, 2 * np.pi)))
    landscape = bool(rng.random() < LANDSCAPE_SHARE)
    right, down = _turned(
        scene, axis, np.deg2rad(rng.normal(*(LANDSCAPE_DEG if landscape else PORTRAIT_DEG)))
    )
    long_mm = float(rng.uniform(280, 430))
    short_mm = long_mm * float(np.clip(rng.normal(0.86, 0.09), 0.66, 1.0))
    wide_mm, high_mm = (long_mm, short_mm) if landscape else (short_mm, long_mm)
    spacing_mm = float(rng.choice([7.0, 8.0, 9.0, 10.0, 10.0, 10.0]))
    heights = np.arange(rng.uniform(0, 9), length_mm + rng.uniform(0, 1.5) * spacing_mm, spacing_mm)
    off_centre = right * (rng.normal(0, 0.045) * wide_mm) + down * (rng.normal(0, 0.05) * high_mm)
    planes = []
    for height in heights:
        middle = centre + axis * (axis @ (base - centre) + height) + off_centre
        # Breathing moves the body by that much the other way.
        middle = middle - np.array([0.0, -0.3, 1.0]) * float(np.clip(rng.normal(0, 1.5), -4, 4))
        planes.append(_plane(middle, right, down, wide_mm / side, high_mm / side, side))
    return planes, float(rng.choice([6.0, 8.0, 10.0]))


def _turned(scene: CardiacScene, axis: Floats, wanted_rad: float) -> tuple[Floats, Floats]:
    """In-plane axes in which the RV lies in a wanted direction from the LV."""
    right, down = in_plane_axes(axis, 0.0, 1)
    toward = scene.right_ventricle_mm() - scene.landmarks()["lv_centre"]
    roll = float(np.arctan2(toward @ down, toward @ right)) - wanted_rad
    return in_plane_axes(axis, roll, 1)


def _plane(
    middle: Floats, right: Floats, down: Floats, column_mm: float, row_mm: float, side: int
) -> ImagePlane:
    half = (side - 1) / 2
    return ImagePlane(
        origin_mm=middle - right * (half * column_mm) - down * (half * row_mm),
        right=right,
        down=down,
        column_spacing_mm=column_mm,
        row_spacing_mm=row_mm,
        columns=side,
        rows=side,
        frame_of_reference="",
    )


def labelled_stack(
    seed: int, index: int, looks: Sequence[Look], variety: Variety, side: int = 96
) -> LabelledStack:
    """Stack `index` of a set: one heart on the same planes in several looks.

    A function of (seed, index, looks, variety, side); the heart and its planes do not depend on the looks.
    """
    rng = np.random.default_rng([seed, index])
    scene = draw_scene(rng, variety)
    planes, thickness_mm = draw_planes(scene, side * FINER, rng)
    contrasts = [draw_look(np.random.default_rng([seed, index, n]), look) for n, look in enumerate(looks)]
    noise = [np.random.default_rng([seed, index, n, 1]) for n in range(len(looks))]
    images = np.zeros((len(looks), 2, len(planes), side, side), np.float32)
    labels = np.zeros((2, len(planes), side, side), np.uint8)
    for place, plane in enumerate(planes):
        sampled = SampledPlane(scene, plane, thickness_mm, *contrasts)
        fields = [_field(look, one, plane, scene) for look, one in zip(looks, contrasts, strict=True)]
        for moment, fraction in enumerate((0.0, scene.patient.end_systole)):
            bright, tissue = sampled.all_at(fraction)
            labels[moment, place] = _coarser_labels(_CODES[tissue], side)
            for n, (image, field) in enumerate(zip(bright, fields, strict=True)):
                # Round a body nothing is painted; on a plain background it is not to be seen.
                image[tissue == Tissue.AIR] += contrasts[n].level[Tissue.AIR]
                images[n, moment, place] = _coarser(received(image, field, contrasts[n], noise[n]), side)
    return LabelledStack(images, labels)


def _field(look: Look, contrast: Contrast, plane: ImagePlane, scene: CardiacScene) -> NDArray[np.float32]:
    if not look.shading:
        return np.ones((plane.rows, plane.columns), np.float32)
    return shading(contrast, plane, scene.patient.heart_centre_mm)


def _codes() -> NDArray[np.uint8]:
    codes = np.zeros(256, np.uint8)
    for segment in CARDIAC_SEGMENTS:
        if segment.name in ACDC_CODE:
            codes[list(segment.tissues)] = ACDC_CODE[segment.name]
    return codes


_CODES = _codes()


def _coarser(image: NDArray[np.uint16], side: int) -> NDArray[np.float32]:
    """Means of blocks."""
    means: NDArray[np.float32] = image.reshape(side, FINER, side, FINER).mean(axis=(1, 3), dtype=np.float32)
    return means


def _coarser_labels(codes: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """The code that most pixels of a block have; the lower one of two that have as many."""
    blocks = codes.reshape(side, FINER, side, FINER)
    counts = [(blocks == code).sum(axis=(1, 3)) for code in range(max(ACDC_CODE.values()) + 1)]
    most: NDArray[np.uint8] = np.argmax(counts, axis=0).astype(np.uint8)
    return most


def write_short_axis_sets(
    folders: Sequence[Path],
    looks: Sequence[Look],
    variety: Variety = Variety(),
    *,
    stacks: int,
    redraws: int = 1,
    seed: int = 0,
    side: int = 96,
    progress: Progress = silent,
) -> None:
    """Write the same hearts into one folder a look, as `patientNNNNN_frameNN.nii` and `_gt.nii`.

    Each heart is a patient `redraws` times: its look is drawn anew, which costs much less than another
    heart. Pixels have 1 mm, whatever the field of view: what counts is the grid. A stack whose last file
    is there is not made again.
    """
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    drawn = [look for look in looks for _ in range(redraws)]
    for index in range(stacks):
        places = [
            folder / f"patient{index * redraws + redraw:05d}"
            for folder in folders
            for redraw in range(redraws)
        ]
        if not all(_ending(place, FRAMES[1], "_gt").is_file() for place in places):
            made = labelled_stack(seed, index, drawn, variety, side)
            for place, images in zip(places, made.images, strict=True):
                _write(place, images, made.labels)
        progress("drawing hearts", done=index + 1, total=stacks)


def _ending(place: Path, frame: str, end: str) -> Path:
    return place.with_name(f"{place.name}_{frame}{end}.nii")


def _write(place: Path, images: NDArray[np.float32], labels: NDArray[np.uint8]) -> None:
    """Both moments of one stack; the label map of the second is written last."""
    import nibabel as nib

    for frame, pixels, codes in zip(FRAMES, images, labels, strict=True):
        for end, array in (("", np.rint(pixels).astype(np.int16)), ("_gt", codes)):
            volume = np.ascontiguousarray(array.transpose(2, 1, 0))
            image = nib.Nifti1Image(volume, _AFFINE)  # type: ignore[no-untyped-call]
            nib.save(image, _ending(place, frame, end))
