"""Stored pixels -> a float32 image in the units of the modality."""

from __future__ import annotations

import warnings
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
from dicomgeom.sources import open_file

DECODER_PACKAGES: Final = "python-gdcm, pyjpegls and pylibjpeg-openjpeg"


def read_image(root: str, path: str, frame: int = 0) -> NDArray[np.float32]:
    """One frame of a DICOM file.

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
    dataset = Dataset()
    with open_file(root, path) as file:
        settings.reading_validation_mode = IGNORE
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # odd values elsewhere in the file do not matter here
                dataset = pydicom.dcmread(file, force=True)
                stored = _stored(dataset, frame)
        except UnusableFile:
            raise
        except Exception as error:  # decoders fail in their own ways on broken streams
            raise UnusableFile(
                "undecodable-pixels",
                f"{_compression(dataset)}; compressed images need {DECODER_PACKAGES}",
                readable=False,
            ) from error
    return _rescaled(stored, dataset, frame)


def _compression(dataset: Dataset) -> str:
    """Name the transfer syntax: JPEG Extended of 12 bits, for one, has no decoder of free licence."""
    meta = getattr(dataset, "file_meta", Dataset())
    syntax = UID(str(meta.get("TransferSyntaxUID", "no transfer syntax")))
    return f"{syntax.name}, {dataset.get('BitsStored')} bits"


def _stored(dataset: Dataset, frame: int) -> NDArray[Any]:
    """Stored values of a frame or tile; bits that are not part of them cleared."""
    shown = str(dataset.get("PhotometricInterpretation", ""))
    if int(dataset.get("SamplesPerPixel", 1)) != 1 or shown.startswith("PALETTE"):
        raise UnusableFile("colour", f"photometric interpretation {shown}")
    tiled = tiles_of(Attributes(dataset))
    frames = int(dataset.get("NumberOfFrames", 1) or 1) if tiled is None else tiled.tiling.count
    if not 0 <= frame < frames:
        raise UnusableFile("no-such-frame", f"frame {frame} of {frames}", readable=False)
    if tiled is None:
        return _without_unused_bits(pixel_array(dataset, index=frame), dataset)
    return tiled.tiling.cut(_without_unused_bits(pixel_array(dataset, index=0), dataset), frame)


def _without_unused_bits(stored: NDArray[Any], dataset: Dataset) -> NDArray[Any]:
    """Clear bits above Bits Stored, where old files keep overlays (PS3.5 8.1.1)."""
    bits = int(dataset.BitsStored)
    spare = stored.dtype.itemsize * 8 - bits
    if spare <= 0 or stored.dtype.kind not in "iu":
        return stored
    return np.asarray(np.right_shift(np.left_shift(stored, spare), spare))


def _rescaled(stored: NDArray[Any], dataset: Dataset, frame: int) -> NDArray[np.float32]:
    slope, intercept = _rescale(dataset, frame)
    image = stored.astype(np.float64)
    if dataset.get("PhotometricInterpretation") == "MONOCHROME1":
        # Turned round within the range of the stored bits, so that all images of a stack stay comparable.
        image = (-1.0 if dataset.get("PixelRepresentation") else 2.0 ** int(dataset.BitsStored) - 1) - image
    return (image * slope + intercept).astype(np.float32)


def _rescale(dataset: Dataset, frame: int) -> tuple[float, float]:
    """Slope and intercept: the frame's own, else the shared ones, else the file's, else 1 and 0."""
    sources: list[Dataset] = []
    for keyword, index in (
        ("PerFrameFunctionalGroupsSequence", frame),
        ("SharedFunctionalGroupsSequence", 0),
    ):
        groups = Attributes(dataset).items(keyword)[index : index + 1]
        sources.extend(
            item
            for group in groups
            for item in Attributes(group).items("PixelValueTransformationSequence")[:1]
        )
    stated = Attributes(*sources, dataset)
    slope, intercept = stated.number("RescaleSlope"), stated.number("RescaleIntercept")
    return slope or 1.0, intercept or 0.0
