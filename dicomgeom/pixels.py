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

from dicomgeom.errors import UnusableFile
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
        MONOCHROME1 is turned round so that bright is large.

    Raises
    ------
    UnusableFile
        When the file is gone, cut short, in colour, or in a compression that no installed
        decoder knows.
    """
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
                f"{type(error).__name__}; compressed images need {DECODER_PACKAGES}",
                readable=False,
            ) from error
    return _rescaled(stored, dataset, frame)


def _stored(dataset: Dataset, frame: int) -> NDArray[Any]:
    if int(dataset.get("SamplesPerPixel", 1)) != 1:
        raise UnusableFile("colour", f"photometric interpretation {dataset.get('PhotometricInterpretation')}")
    frames = int(dataset.get("NumberOfFrames", 1) or 1)
    if frame >= frames:
        raise UnusableFile("no-such-frame", f"frame {frame} of {frames}", readable=False)
    stored = pixel_array(dataset, index=frame)
    return _without_unused_bits(stored, dataset)


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
        image = float(image.max()) + float(image.min()) - image
    return (image * slope + intercept).astype(np.float32)


def _rescale(dataset: Dataset, frame: int) -> tuple[float, float]:
    sources = [dataset]
    for name, index in (("SharedFunctionalGroupsSequence", 0), ("PerFrameFunctionalGroupsSequence", frame)):
        groups = dataset.get(name)
        if groups and groups[index].get("PixelValueTransformationSequence"):
            sources.append(groups[index].PixelValueTransformationSequence[0])
    own = sources[-1]
    slope, intercept = own.get("RescaleSlope"), own.get("RescaleIntercept")
    return (1.0 if slope in (None, "") else float(slope)), (
        0.0 if intercept in (None, "") else float(intercept)
    )
