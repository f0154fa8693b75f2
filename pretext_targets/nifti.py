"""Slices of NIfTI files: images and label maps of labelled sets.

The first axis of the array runs along a row of the image and the second down a column, as
converters from DICOM write it: `image[row, column] = array[column, row, slice]`. Frame
`t * slices + z` of a file is slice z of volume t.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dicomgeom.errors import UnusableFile, WrongUse
from pretext_targets.annotations import check_names

ENDINGS = (".nii.gz", ".nii")
OPEN_FILES = 4
"""Files that one process keeps unpacked."""

JUDGED_VOLUMES = 64
"""Volumes of label maps of which a process remembers whether they hold codes."""

NUMBERS = "uif"
"""Kinds of numpy's types that are one real number a voxel; colours and complex numbers are not."""

ROUNDING = 1e-3
"""How far from a whole number a scaled label code may lie."""


def is_nifti(path: str) -> bool:
    """Whether a path is that of a NIfTI file."""
    return path.endswith(ENDINGS)


def stem_of(name: str) -> str:
    """A file's name without the ending."""
    for ending in ENDINGS:
        name = name.removesuffix(ending)
    return name


def open_nifti(path: str) -> Any:
    """A file's header and lazy pixels, by nibabel.

    Raises
    ------
    UnusableFile
        When it is no NIfTI file of two to four axes, has no voxel, or holds no real numbers.
    """
    try:
        import nibabel
    except ImportError as error:
        raise WrongUse("NIfTI files are read with nibabel; install it: pip install nibabel") from error
    try:
        found: Any = nibabel.load(path)
    except Exception as error:  # gzip, header and file errors of every kind
        raise UnusableFile("nifti-broken", type(error).__name__) from error
    if not isinstance(found, nibabel.Nifti1Pair):  # CIFTI-2 has the ending, too, and no affine
        raise UnusableFile("nifti-broken", type(found).__name__)
    _check(found)
    return found


def _check(opened: Any) -> None:
    if not 2 <= len(opened.shape) <= 4:
        raise UnusableFile("nifti-axes", f"{len(opened.shape)} axes")
    if 0 in opened.shape:
        raise UnusableFile("nifti-axes", "an axis of length 0")
    if opened.get_data_dtype().kind not in NUMBERS:
        raise UnusableFile("nifti-pixels", str(opened.get_data_dtype()))


@lru_cache(maxsize=OPEN_FILES)
def _volumes(path: str) -> NDArray[Any]:
    """All pixels, shape (columns, rows, slices, volumes); scaled as the header says."""
    opened = open_nifti(path)
    try:
        pixels = np.asanyarray(opened.dataobj)
    except Exception as error:
        raise UnusableFile("nifti-broken", type(error).__name__) from error
    return np.asarray(pixels).reshape((*pixels.shape, *[1] * (4 - pixels.ndim)))


def read_nifti_slice(path: str, frame: int) -> NDArray[Any]:
    """One slice, shape (rows, columns).

    Raises
    ------
    UnusableFile
        When the file is broken or has no such slice.
    """
    volumes = _volumes(path)
    volume, place = divmod(frame, volumes.shape[2])
    if volume >= volumes.shape[3]:
        raise UnusableFile("no-such-frame", f"frame {frame} of {volumes.shape[2] * volumes.shape[3]}")
    return np.asarray(volumes[:, :, place, volume].T)


def read_nifti_image(path: str, frame: int) -> NDArray[np.float32]:
    """One slice as pixels."""
    return np.ascontiguousarray(read_nifti_slice(path, frame), dtype=np.float32)


def read_nifti_codes(path: str, frame: int) -> NDArray[np.int64]:
    """One slice as codes of labels.

    Raises
    ------
    UnusableFile
        When the file is broken, has no such slice, or its volume holds numbers between the codes: an
        interpolated label map, or one of probabilities, is none where it happens to be whole, either.
    """
    drawn = read_nifti_slice(path, frame)
    if not _holds_codes(path, frame // _volumes(path).shape[2]):
        raise UnusableFile("segmentation-not-whole-numbers")
    return np.asarray(np.rint(drawn), dtype=np.int64)


@lru_cache(maxsize=JUDGED_VOLUMES)
def _holds_codes(path: str, volume: int) -> bool:
    drawn = _volumes(path)[..., volume]
    if np.issubdtype(drawn.dtype, np.integer):
        return True
    return bool(np.isfinite(drawn).all() and np.abs(drawn - np.rint(drawn)).max() <= ROUNDING)


@dataclass(frozen=True)
class NiftiAnnotation:
    """One slice of a label map.

    Attributes
    ----------
    path : str
        The file.
    frame : int
        The slice; of a file of one volume, within it.
    codes : mapping
        Code in the file -> segment. Other codes are background.
    flips : tuple of bool
        Axes (column, row) along which the file counts its pixels the other way round than its image.
    """

    path: str
    frame: int
    codes: Mapping[int, str]
    flips: tuple[bool, bool] = (False, False)

    def read(self, segment_names: tuple[str, ...]) -> NDArray[np.uint8]:
        """See `annotations.Annotation`."""
        drawn = read_nifti_codes(self.path, self.frame)
        drawn = np.flip(drawn, tuple(axis for axis, flip in enumerate(reversed(self.flips)) if flip))
        result = np.zeros(drawn.shape, dtype=np.uint8)
        for code, name in self.codes.items():
            result[drawn == code] = segment_names.index(name)
        return result


@dataclass(frozen=True, eq=False)
class NiftiLabels:
    """Which slices of which files are annotated; see `annotations.Annotations`."""

    segment_names: tuple[str, ...]
    digests: tuple[str, ...]
    drawn: tuple[NiftiAnnotation, ...]
    places: Mapping[tuple[str, int], int]
    """(path of the image, frame) -> number in `drawn`; all lie under one root."""
    unused: Mapping[str, int]

    def __post_init__(self) -> None:
        check_names(self.segment_names, "name fewer in labels.codes of the manifest")

    def __len__(self) -> int:
        return len(self.places)

    def key(self, image: Mapping[str, Any]) -> tuple[str, int] | None:
        """See `annotations.Annotations`."""
        place = image["path"], image["frame"]
        return place if place in self.places else None

    def find(self, image: Mapping[str, Any]) -> int | None:
        """Number of the annotation of an image, or None."""
        return self.places.get((image["path"], image["frame"]))

    def annotation(self, number: int, image: Mapping[str, Any]) -> NiftiAnnotation:
        """The annotation itself."""
        return self.drawn[number]
