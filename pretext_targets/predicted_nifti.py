"""Predicted classes as NIfTI-1: a file a stack, or a file a slice where slices are not evenly stacked.

Arrays are (column, row, slice, phase); the affine is RAS from the store's planes. A stack without a place in
the patient gets its pixel spacing and nothing else (sform and qform code 0, "unknown").

NIfTI has no word for an image that was not looked at, and background would be a claim. A slice without any
image is not written; where a slice lacks some, the stack gets files for each phase, of the slices it has.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray

from pretext_targets.predicted import PredictedStack
from pretext_targets.unknown_phases import name_of

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])

EVEN_MM = 0.01
"""A stack with a plane farther than this from an even, straight row has no affine: it gets a file a slice."""

ALIGNED = 1e-6
"""Axes of two planes are equal when their cosine is at most this below 1."""

SCANNER = 1
"""NIfTI's code for coordinates of the scanner."""


def even_affine(matrices: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """RAS from (column, row, slice), (4, 4); None when the planes (n, 4, 4) are not an even, straight row."""
    origins = matrices[:, :3, 3]
    count = len(matrices)
    step = (origins[-1] - origins[0]) / (count - 1) if count > 1 else matrices[0, :3, 2]
    off = np.linalg.norm(origins - origins[0] - np.arange(count)[:, None] * step, axis=1)
    axes = matrices[:, :3, :2] / np.linalg.norm(matrices[:, :3, :2], axis=1, keepdims=True)
    cosines = (axes * axes[:1]).sum(axis=1)
    if off.max() > EVEN_MM or cosines.min() < 1.0 - ALIGNED:
        return None
    affine = matrices[0].copy()
    affine[:3, 2] = step
    ras: NDArray[np.float64] = LPS_TO_RAS @ affine
    return ras


def write_nifti(folder: Path, stack: PredictedStack) -> list[Path]:
    """Write the classes of a stack; returns the files, named by the key of the stack."""
    name = stack.stack_key.hex()
    seen = _seen(stack, slice(None))
    if seen.known.all():
        return _write(folder, name, seen)
    found = []
    for moment, phase in enumerate(stack.phases):
        if stack.known[moment].any():
            found += _write(folder, f"{name}-phase{name_of(phase)}", _seen(stack, slice(moment, moment + 1)))
    return found


def _seen(stack: PredictedStack, moments: slice) -> PredictedStack:
    """Some phases of a stack, and of its slices those of which any image is there then."""
    there = np.flatnonzero(stack.known[moments].any(axis=0))
    return replace(
        stack,
        slices=tuple(stack.slices[place] for place in there),
        phases=stack.phases[moments],
        classes=stack.classes[moments, there],
        known=stack.known[moments, there],
        patient_from_pixel=stack.patient_from_pixel[there],
    )


def _write(folder: Path, name: str, stack: PredictedStack) -> list[Path]:
    """Write a stack of which all images are there."""
    affine = even_affine(stack.patient_from_pixel) if stack.placed else None
    # A slice that is missing between two others leaves a gap that no affine can tell. Without an affine
    # nothing tells that the first is missing, either.
    first = stack.slices[0] if stack.placed else 0
    whole = stack.slices == tuple(range(first, first + len(stack.slices)))
    if whole and (affine is not None or not stack.placed):
        return [_save(folder / f"{name}.nii.gz", stack.classes, affine, stack.spacing_mm)]
    return [
        _save(
            folder / f"{name}-{number:03d}.nii.gz",
            stack.classes[:, place : place + 1],
            LPS_TO_RAS @ stack.patient_from_pixel[place] if stack.placed else None,
            stack.spacing_mm,
        )
        for place, number in enumerate(stack.slices)
    ]


def _save(
    path: Path, classes: NDArray[np.uint8], affine: NDArray[np.float64] | None, spacing_mm: float
) -> Path:
    array = np.ascontiguousarray(classes.transpose(3, 2, 1, 0))
    array = array[..., 0] if array.shape[3] == 1 else array
    image: Any = nibabel.Nifti1Image(array, np.eye(4) if affine is None else affine)  # type: ignore[no-untyped-call]
    header = image.header
    if affine is None:
        header.set_zooms((spacing_mm, spacing_mm, *(1.0 for _ in array.shape[2:])))
        image.set_sform(None, code=0)
        image.set_qform(None, code=0)
    else:
        image.set_sform(affine, code=SCANNER)
        image.set_qform(affine, code=SCANNER)
        header.set_xyzt_units("mm")
    nibabel.save(image, path)
    return path
