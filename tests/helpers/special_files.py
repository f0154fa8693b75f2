"""MR files of the odder kinds: enhanced multi-frame, Siemens mosaics, UIH grids."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import EnhancedMRImageStorage

from dicomgeom.plane import ImagePlane
from tests.helpers.dicom_files import mr_dataset

NO_PLACE = dict.fromkeys(("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"))


def save(path: Path, dataset: Dataset) -> Path:
    """Write a dataset as a DICOM file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.save_as(path, enforce_file_format=True)
    return path


def item(**attributes: Any) -> Dataset:
    """One item of a sequence."""
    made = Dataset()
    for keyword, value in attributes.items():
        setattr(made, keyword, value)
    return made


def decimals(values: Sequence[float]) -> list[str]:
    """Numbers as decimal strings of at most 16 characters."""
    return [f"{value:.10g}" for value in values]


def enhanced_dataset(planes: Sequence[ImagePlane], **attributes: Any) -> Dataset:
    """Make an enhanced MR image; spacing is shared, position and orientation are each frame's own."""
    first = planes[0]
    pixels = np.stack([np.full((p.rows, p.columns), n, np.uint16) for n, p in enumerate(planes)])
    dataset = mr_dataset(
        first,
        SOPClassUID=EnhancedMRImageStorage,
        NumberOfFrames=len(planes),
        PixelData=pixels.tobytes(),
        **(NO_PLACE | attributes),
    )
    spacing = decimals([first.row_spacing_mm, first.column_spacing_mm])
    dataset.SharedFunctionalGroupsSequence = Items(
        [item(PixelMeasuresSequence=Items([item(PixelSpacing=spacing)]))]
    )
    dataset.PerFrameFunctionalGroupsSequence = Items(
        [
            item(
                PlanePositionSequence=Items([item(ImagePositionPatient=decimals(plane.origin_mm))]),
                PlaneOrientationSequence=Items(
                    [item(ImageOrientationPatient=decimals([*plane.right, *plane.down]))]
                ),
                FrameContentSequence=Items([item(DimensionIndexValues=[1, number + 1])]),
                CardiacSynchronizationSequence=Items([item(NominalCardiacTriggerDelayTime=40.0 * number)]),
            )
            for number, plane in enumerate(planes)
        ]
    )
    return dataset


def tiled_pixels(tiles: int, plane: ImagePlane, across: int, high: int) -> NDArray[np.uint16]:
    """One image of tiles, shape (high * rows, across * columns); tile n holds 100 * (n + 1)."""
    whole = np.zeros((high * plane.rows, across * plane.columns), np.uint16)
    for tile in range(tiles):
        top, left = tile // across * plane.rows, tile % across * plane.columns
        whole[top : top + plane.rows, left : left + plane.columns] = 100 * (tile + 1)
    return whole


def mosaic_dataset(
    first: ImagePlane,
    count: int,
    spacing_mm: float,
    *,
    upward: bool = True,
    csa: bool = True,
    **attributes: Any,
) -> Dataset:
    """Make a Siemens mosaic whose first tile lies on a plane and whose others follow its normal."""
    across = int(np.ceil(np.sqrt(count)))
    whole = tiled_pixels(count, first, across, across)
    surplus = np.array([across * first.columns - first.columns, across * first.rows - first.rows]) / 2
    corner = first.to_patient(-surplus)
    normal = first.normal if upward else -first.normal
    dataset = mr_dataset(
        first,
        ImageType=["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"],
        Manufacturer="SIEMENS",
        ImagePositionPatient=decimals(corner),
        Rows=whole.shape[0],
        Columns=whole.shape[1],
        SpacingBetweenSlices=f"{spacing_mm:.10g}",
        PixelData=whole.tobytes(),
        **attributes,
    )
    if csa:
        header = {
            "NumberOfImagesInMosaic": [str(count)],
            "SliceNormalVector": [f"{value:.8f}" for value in normal],
        }
        block = dataset.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
        block.add_new(0x10, "OB", csa_bytes(header))
    return dataset


def csa_bytes(values: Mapping[str, Sequence[str]]) -> bytes:
    """Make a CSA header; values are text, padded to four bytes."""
    content = b"SV10\4\3\2\1" + struct.pack("<II", len(values), 77)
    for name, texts in values.items():
        content += name.encode().ljust(64, b"\0")
        content += struct.pack("<i4s3i", len(texts), b"FD\0\0", 0, len(texts), 77)
        for text in texts:
            raw = text.encode() + b"\0"
            content += struct.pack("<4i", len(raw), len(raw), 77, len(raw)) + raw + b"\0" * (-len(raw) % 4)
    return content


def grid_dataset(planes: Sequence[ImagePlane], **attributes: Any) -> Dataset:
    """Make a UIH grid: no position of its own, one private item for each tile."""
    across = int(np.ceil(np.sqrt(len(planes))))
    high = -(-len(planes) // across)
    whole = tiled_pixels(len(planes), planes[0], across, high)
    values = {
        "ImageType": ["ORIGINAL", "PRIMARY", "M", "VFRAME"],
        "Manufacturer": "UIH",
        "ImagePositionPatient": None,
        "Rows": whole.shape[0],
        "Columns": whole.shape[1],
        "PixelData": whole.tobytes(),
    }
    dataset = mr_dataset(planes[0], **(values | attributes))
    tiles = []
    for plane in planes:
        tile = item(ImagePositionPatient=decimals(plane.origin_mm))
        tile.add_new(0x00651015, "DS", decimals(plane.to_patient([plane.columns / 2, plane.rows / 2])))
        tiles.append(tile)
    block = dataset.private_block(0x0065, "Image Private Header", create=True)
    block.add_new(0x50, "DS", str(len(planes)))
    block.add_new(0x51, "SQ", tiles)
    return dataset
