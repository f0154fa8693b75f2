"""Phantoms beside patients, as a network sees them; pictures of patients stay in the output folder.

`realism-hearts.jpg` and `realism-knees.jpg` hold real images and are not for publishing (ACDC's licence);
`realism-phantoms.jpg` holds phantoms alone.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.phantoms import draw, images_of, real_series
from benchmarks.realism_acdc import TUNING_REMAINDERS, patients_in, resized, volumes
from phantoms.anatomies import exam_of
from phantoms.looks import Look
from phantoms.options import ExportOptions
from phantoms.short_axis_set import Variety, labelled_stack

SHARES = (0.0, 0.2, 0.4, 0.65, 0.9)
SHOWN = 7
SIDE = 96

Images = list[NDArray[np.generic]]


def phantom_rows(seed: int, count: int) -> list[tuple[str, Images]]:
    """Slices at end-diastole, base to apex, and one at end-systole, of a few phantoms."""
    rows = []
    for index in range(count):
        stack = labelled_stack(seed, index, [Look()], Variety(), SIDE).images[0]
        rows.append((f"phantom {index}", _chosen(stack[0], stack[1])))
    return rows


def patient_rows(acdc: Path, count: int) -> list[tuple[str, Images]]:
    """The same of patients that are not reported on."""
    known = patients_in(acdc, TUNING_REMAINDERS)
    chosen = known[:: max(1, len(known) // count)][:count]
    by_patient: dict[int, list[NDArray[np.float32]]] = {}
    for volume in volumes(acdc, chosen):
        by_patient.setdefault(volume.patient, []).append(resized(volume.images, (SIDE, SIDE)))
    return [(f"patient {n}", _chosen(filled, emptied)) for n, (filled, emptied) in by_patient.items()]


def _chosen(filled: NDArray[np.float32], emptied: NDArray[np.float32]) -> Images:
    last = len(filled) - 1
    return [filled[round(share * last)] for share in SHARES] + [emptied[round(0.4 * last)]]


def knee_rows(knee: Path) -> list[tuple[str, Images]]:
    """The real knee exam's stacks, each above a phantom's."""
    real, shares, rows = real_series(knee), (0.12, 0.35, 0.5, 0.68, 0.88), []
    exam = exam_of("knee", 1, 0, ExportOptions(enhanced_share=0))
    named = (("SAG PD FS", 3, "SAG"), ("COR", 4, "COR"), ("AX", 5, "AX"), ("SAG T1", 6, "SAG"))
    for name, number, view in named:
        stack = sorted(real[number], key=lambda image: int(image.InstanceNumber))
        rows.append((f"real: {name}", [stack[int(s * (len(stack) - 1))].pixel_array for s in shares]))
        wanted = [s for s in exam.series if s.view == view and s.acquisition.fat_suppressed != ("T1" in name)]
        rows.append((f"phantom: {name}", images_of(exam, wanted, shares)))
    return rows


def draw_pictures(out: Path, acdc: Path, knee: Path | None, seed: int = 11) -> None:
    """Draw all pictures into `out`."""
    phantoms = phantom_rows(seed, SHOWN)
    draw(out / "realism-phantoms.jpg", phantoms)
    patients = patient_rows(acdc, SHOWN)
    draw(out / "realism-hearts.jpg", [row for pair in zip(patients, phantoms, strict=True) for row in pair])
    if knee is not None:
        draw(out / "realism-knees.jpg", knee_rows(knee))
