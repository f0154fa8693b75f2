"""Labels of a stack as NIfTI-1 (nifti.nimh.nih.gov), with the affine from the planes alone."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dicomgeom.plane import ImagePlane

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])

EVEN_MM = 0.01
"""A stack whose planes lie off an even, straight row by more has no affine and gets a file a slice."""


def stack_affine(planes: list[ImagePlane], thickness_mm: float) -> NDArray[np.float64] | None:
    """RAS from (column, row, slice), 4 x 4; None when the planes are not evenly stacked."""
    first = planes[0]
    step = first.normal * thickness_mm
    if len(planes) > 1:
        step = (planes[-1].origin_mm - first.origin_mm) / (len(planes) - 1)
    for i, plane in enumerate(planes):
        off = np.linalg.norm(plane.origin_mm - first.origin_mm - i * step)
        if off > EVEN_MM or plane.right @ first.right < 1 - 1e-6 or plane.down @ first.down < 1 - 1e-6:
            return None
    affine = np.eye(4)
    affine[:3, 0] = first.right * first.column_spacing_mm
    affine[:3, 1] = first.down * first.row_spacing_mm
    affine[:3, 2], affine[:3, 3] = step, first.origin_mm
    ras: NDArray[np.float64] = LPS_TO_RAS @ affine
    return ras


def save_labels(
    folder: Path,
    name: str,
    planes: Mapping[int, ImagePlane],
    labels: Mapping[int, NDArray[np.uint8]],
    thickness_mm: float,
    phase_ms: float,
) -> list[str]:
    """Write the labels of a stack; returns the file names.

    Parameters
    ----------
    planes, labels
        By slice index; labels have shape (phases, rows, columns).
    phase_ms : float
        From phase to phase.
    """
    indices = sorted(planes)
    affine = stack_affine([planes[i] for i in indices], thickness_mm)
    groups = [(name, indices)] if affine is not None else [(f"{name}-{i:02d}", [i]) for i in indices]
    names = []
    for stem, members in groups:
        placed = stack_affine([planes[i] for i in members], thickness_mm)
        assert placed is not None
        # NIfTI's first axis is the column, its last the phase.
        volume = np.stack([labels[i] for i in members]).transpose(3, 2, 0, 1)
        path = folder / f"{stem}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(nifti_bytes(volume, placed, phase_ms))
        names.append(path.name)
    return names


def nifti_bytes(volume: NDArray[np.uint8], affine: NDArray[np.float64], phase_ms: float) -> bytes:
    """Compressed NIfTI-1 file of labels, shape (columns, rows, slices, phases)."""
    moments = volume.shape[3]
    size = volume.shape if moments > 1 else volume.shape[:3]
    zooms = [*np.linalg.norm(affine[:3, :3], axis=0), phase_ms if moments > 1 else 0.0]
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, len(size), *size, *([1] * (7 - len(size))))
    struct.pack_into("<hh", header, 70, 2, 8)  # uint8
    struct.pack_into("<8f", header, 76, 1.0, *zooms, 0, 0, 0)
    struct.pack_into("<3f", header, 108, 352.0, 1.0, 0.0)
    header[123] = 2 | 16  # mm, ms
    header[148 : 148 + 14] = b"phantom truth\0"
    struct.pack_into("<hh", header, 252, 0, 1)  # no qform, sform in scanner coordinates
    struct.pack_into("<12f", header, 280, *affine[:3].ravel())
    header[344:348] = b"n+1\0"
    raw = bytes(header) + np.ascontiguousarray(volume.transpose()).tobytes()
    return gzip.compress(raw, compresslevel=1, mtime=0)
