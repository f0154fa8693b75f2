"""Stored pixels -> a float32 image in the units of the modality."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.config import IGNORE, settings
from pydicom.dataset import Dataset
from pydicom.pixels.utils import pixel_array
from pydicom.uid import UID

from dicomgeom.attributes import Attributes
from dicomgeom.errors import UnusableFile
from dicomgeom.header import tiles_of
from dicomgeom.quietness import quiet
from dicomgeom.sources import open_file, parted

DECODER_PACKAGES: Final = "python-gdcm, pyjpegls and pylibjpeg-openjpeg"

_Identity = tuple[str, str, int, int]
"""Root and path; when the file (of a member: its archive) was changed, in ns, and its size in bytes."""


def read_image(root: str, path: str, frame: int = 0) -> NDArray[np.float32]:
    """One frame of a DICOM file.

    Callers ask for one frame after the other: each thread keeps the file of several frames that it read
    last, parsed, until it reads another.

    Parameters
    ----------
    root, path
        As in the files table; `archive!member` inside archives.
    frame
        From 0.

    Returns
    -------
    array, shape (rows, columns)
        Rescaled (PS3.3 C.11.1.1.2, or the frame's own Pixel Value Transformation);
        MONOCHROME1 is turned round so that bright is large.  Of a mosaic or grid: the tile.

    Raises
    ------
    UnusableFile
        When the file is gone, cut short, in colour, or in a compression that no installed
        decoder knows.
    """
    settings.reading_validation_mode = IGNORE  # for good: values are converted when somebody asks for them
    with quiet():  # odd values elsewhere in the file do not matter here
        parsed = _opened(root, path)
        with _undecodable(parsed.dataset):
            stored = parsed.stored(frame)
        return _rescaled(stored, parsed, frame)


class _Parsed:
    """A file's data set, and what is the same for all of its frames: worked out once."""

    def __init__(self, dataset: Dataset) -> None:
        shown = str(dataset.get("PhotometricInterpretation", ""))
        if int(dataset.get("SamplesPerPixel", 1)) != 1 or shown.startswith("PALETTE"):
            raise UnusableFile("colour", f"photometric interpretation {shown}")
        tiled = tiles_of(Attributes(dataset))
        self.dataset = dataset
        self.tiling = None if tiled is None else tiled.tiling
        several = int(dataset.get("NumberOfFrames", 1) or 1)
        self.frames = several if self.tiling is None else self.tiling.count

    def stored(self, frame: int) -> NDArray[Any]:
        """Stored values of a frame or tile; bits that are not part of them cleared."""
        if not 0 <= frame < self.frames:
            raise UnusableFile("no-such-frame", f"frame {frame} of {self.frames}", readable=False)
        if self.tiling is None:
            return _without_unused_bits(pixel_array(self.dataset, index=frame), self.dataset)
        return self.tiling.cut(self._matrix, frame)

    @cached_property
    def _matrix(self) -> NDArray[Any]:
        """The one image that all tiles are cut from."""
        return _without_unused_bits(pixel_array(self.dataset, index=0), self.dataset)

    def groups(self, frame: int) -> list[Dataset]:
        """Functional groups of a frame: its own, then the shared ones."""
        return [*self._own_groups[frame : frame + 1], *self._shared_groups[:1]]

    @cached_property
    def _own_groups(self) -> list[Dataset]:
        return Attributes(self.dataset).items("PerFrameFunctionalGroupsSequence")

    @cached_property
    def _shared_groups(self) -> list[Dataset]:
        return Attributes(self.dataset).items("SharedFunctionalGroupsSequence")


class _Kept(threading.local):
    """The file read last, if it holds several frames."""

    last: tuple[_Identity, _Parsed] | None = None


_kept = _Kept()


def _opened(root: str, path: str) -> _Parsed:
    identity = _identity(root, path)
    if _kept.last is not None and _kept.last[0] == identity:
        return _kept.last[1]
    _kept.last = None  # first, since two large files may not fit into memory
    with open_file(root, path) as file, _undecodable(Dataset()):
        dataset = pydicom.dcmread(file, force=True)
    with _undecodable(dataset):
        parsed = _Parsed(dataset)
    if identity is not None and parsed.frames > 1:
        _kept.last = identity, parsed
    return parsed


def _identity(root: str, path: str) -> _Identity | None:
    """What changes with a file's content; None for a file that is gone, which opening it will tell of."""
    try:
        status = os.stat(Path(root, parted(path)[0]))
    except (OSError, ValueError):
        return None
    return root, path, status.st_mtime_ns, status.st_size


@contextmanager
def _undecodable(dataset: Dataset) -> Iterator[None]:
    """Tell of a file that cannot be decoded by its compression: decoders fail in their own ways."""
    try:
        yield
    except UnusableFile:
        raise
    except Exception as error:
        raise UnusableFile(
            "undecodable-pixels",
            f"{_compression(dataset)}; compressed images need {DECODER_PACKAGES}",
            readable=False,
        ) from error


def _compression(dataset: Dataset) -> str:
    """Name the transfer syntax: JPEG Extended of 12 bits, for one, has no decoder of free licence."""
    meta = getattr(dataset, "file_meta", Dataset())
    syntax = UID(str(meta.get("TransferSyntaxUID", "no transfer syntax")))
    return f"{syntax.name}, {dataset.get('BitsStored')} bits"


def _without_unused_bits(stored: NDArray[Any], dataset: Dataset) -> NDArray[Any]:
    """Clear bits above Bits Stored, where old files keep overlays (PS3.5 8.1.1)."""
    bits = int(dataset.BitsStored)
    spare = stored.dtype.itemsize * 8 - bits
    if spare <= 0 or stored.dtype.kind not in "iu":
        return stored
    return np.asarray(np.right_shift(np.left_shift(stored, spare), spare))


def _rescaled(stored: NDArray[Any], parsed: _Parsed, frame: int) -> NDArray[np.float32]:
    dataset = parsed.dataset
    slope, intercept = _rescale(parsed, frame)
    image = stored.astype(np.float64)
    if dataset.get("PhotometricInterpretation") == "MONOCHROME1":
        # Turned round within the range of the stored bits, so that all images of a stack stay comparable.
        image = (-1.0 if dataset.get("PixelRepresentation") else 2.0 ** int(dataset.BitsStored) - 1) - image
    return (image * slope + intercept).astype(np.float32)


def _rescale(parsed: _Parsed, frame: int) -> tuple[float, float]:
    """Slope and intercept: the frame's own, else the shared ones, else the file's, else 1 and 0."""
    sources = [
        item
        for group in parsed.groups(frame)
        for item in Attributes(group).items("PixelValueTransformationSequence")[:1]
    ]
    stated = Attributes(*sources, parsed.dataset)
    slope, intercept = stated.number("RescaleSlope"), stated.number("RescaleIntercept")
    return slope or 1.0, intercept or 0.0
