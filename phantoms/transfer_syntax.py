"""Transfer syntaxes of exported files, and how pixels get into them.

Encoders: pyjpegls for JPEG-LS, GDCM for the others. High-throughput JPEG 2000 has no free
encoder here, so no phantom is written with it.
"""

from __future__ import annotations

import atexit
import io
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from dicomgeom.errors import UnusableFile


@dataclass(frozen=True)
class Syntax:
    """One transfer syntax; `bits` is what lossy ones can hold."""

    uid: UID
    lossy: bool = False
    bits: int = 16

    @property
    def compressed(self) -> bool:
        """Whether pixels are encapsulated."""
        return bool(self.uid.is_encapsulated)


SYNTAXES: Mapping[str, Syntax] = {
    "explicit": Syntax(ExplicitVRLittleEndian),
    "implicit": Syntax(ImplicitVRLittleEndian),
    "big-endian": Syntax(ExplicitVRBigEndian),
    "deflated": Syntax(DeflatedExplicitVRLittleEndian),
    "rle": Syntax(RLELossless),
    "jpeg-lossless": Syntax(JPEGLosslessSV1),
    "jpeg-baseline": Syntax(JPEGBaseline8Bit, lossy=True, bits=8),
    "jpeg-extended": Syntax(JPEGExtended12Bit, lossy=True, bits=12),
    "jpeg-ls": Syntax(JPEGLSLossless),
    "jpeg-2000": Syntax(JPEG2000Lossless),
}
"""By the names that options and traps use."""


def compress(dataset: Dataset, syntax: Syntax) -> None:
    """Replace a data set's uncompressed pixels by encapsulated ones, in place.

    Frames are stored values of one sample, 8 or 16 bits allocated; lossy syntaxes of eight bits
    divide what does not fit.
    """
    frames = int(dataset.get("NumberOfFrames", 1))
    stored = np.frombuffer(dataset.PixelData, np.uint8 if dataset.BitsAllocated == 8 else "<u2")
    pixels = stored[: frames * dataset.Rows * dataset.Columns].reshape(frames, dataset.Rows, dataset.Columns)
    if dataset.BitsStored > syntax.bits:
        pixels = _fitted(dataset, pixels, syntax.bits)
    encoded = [encoded_frame(frame, int(dataset.BitsStored), str(syntax.uid)) for frame in pixels]
    del dataset["PixelData"]
    dataset.PixelData = encapsulate(encoded)
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    if syntax.lossy:
        ratio = pixels.nbytes / max(sum(map(len, encoded)), 1)
        dataset.LossyImageCompression = "01"
        dataset.LossyImageCompressionRatio = f"{ratio:.2f}"
        dataset.LossyImageCompressionMethod = "ISO_10918_1"


def _fitted(dataset: Dataset, pixels: NDArray[Any], bits: int) -> NDArray[Any]:
    """Values scaled into fewer bits; says so in the header."""
    shift = int(dataset.BitsStored) - bits
    for name in ("BitsAllocated", "BitsStored", "HighBit"):
        del dataset[name]
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, bits, bits - 1
    return (pixels >> shift).astype(np.uint8)


def encoded_frame(frame: NDArray[Any], bits_stored: int, uid: str) -> bytes:
    """One frame as a stream of the compression that a transfer syntax names."""
    if uid == JPEGLSLossless:
        import jpeg_ls  # type: ignore[import-untyped, unused-ignore]

        return bytes(jpeg_ls.encode_array(np.ascontiguousarray(frame)))
    return _by_gdcm(frame, bits_stored, uid)


def _by_gdcm(frame: NDArray[Any], bits_stored: int, uid: str) -> bytes:
    import gdcm

    syntaxes = {
        RLELossless: gdcm.TransferSyntax.RLELossless,
        JPEGLosslessSV1: gdcm.TransferSyntax.JPEGLosslessProcess14_1,
        JPEGBaseline8Bit: gdcm.TransferSyntax.JPEGBaselineProcess1,
        JPEGExtended12Bit: gdcm.TransferSyntax.JPEGExtendedProcess2_4,
        JPEG2000Lossless: gdcm.TransferSyntax.JPEG2000Lossless,
    }
    source, target = _scratch() / "plain.dcm", _scratch() / "packed.dcm"
    _bare_image(frame, bits_stored).save_as(source, enforce_file_format=True)
    reader = gdcm.ImageReader()
    reader.SetFileName(str(source))
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(syntaxes[UID(uid)]))
    if not reader.Read():
        raise UnusableFile("undecodable-pixels", "GDCM cannot read a plain image")
    change.SetInput(reader.GetImage())
    if not change.Change():
        raise UnusableFile("undecodable-pixels", f"GDCM cannot encode pixels as {UID(uid).name}")
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(target))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    if not writer.Write():
        raise UnusableFile("undecodable-pixels", f"GDCM cannot write pixels as {UID(uid).name}")
    packed = dcmread(io.BytesIO(target.read_bytes()))
    return next(iter(generate_frames(packed.PixelData, number_of_frames=1)))


@cache
def _scratch() -> Path:
    """A folder of this process: GDCM reads and writes files alone."""
    folder = tempfile.mkdtemp(prefix="anatprep-pixels-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def _bare_image(frame: NDArray[Any], bits_stored: int) -> Dataset:
    """The least that GDCM takes for an image."""
    dataset = Dataset()
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.SOPInstanceUID = "1.2.3"
    dataset.Modality = "OT"
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = frame.shape
    dataset.BitsAllocated = 8 * frame.dtype.itemsize
    dataset.BitsStored = min(bits_stored, dataset.BitsAllocated)
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = 0
    data = np.ascontiguousarray(frame).tobytes()
    dataset.PixelData = data + b"\0" * (len(data) % 2)
    dataset["PixelData"].VR = "OW" if frame.dtype.itemsize == 2 else "OB"
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = UID("1.2.3")
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta = meta
    return dataset
