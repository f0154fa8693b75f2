"""Slices of NumPy arrays, one file an exam, as MRNet has them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dicomgeom.errors import UnusableFile

ENDING = ".npy"
AXES = 3


def is_array(path: str) -> bool:
    """Whether a path is that of a NumPy array."""
    return path.endswith(ENDING)


def open_array(path: str) -> NDArray[Any]:
    """The array of an exam, (slices, rows, columns), mapped into memory; never unpickled.

    Raises
    ------
    UnusableFile
        When it is none.
    """
    try:
        found: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UnusableFile("array-broken", type(error).__name__) from error
    if found.ndim != AXES or found.dtype.kind not in "uif":
        raise UnusableFile("array-axes", f"{found.ndim} axes of {found.dtype}")
    return found


def read_array_image(path: str, frame: int) -> NDArray[np.float32]:
    """One slice, (rows, columns). Raises `UnusableFile`."""
    slices = open_array(path)
    if frame >= len(slices):
        raise UnusableFile("size-changed", f"{len(slices)} slices")
    return np.asarray(slices[frame], dtype=np.float32)
