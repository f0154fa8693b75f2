"""Traps that add objects to an exam: other images on the same planes, volumes in tiles, reports."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import (
    BasicTextSRStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    KeyObjectSelectionDocumentStorage,
    SecondaryCaptureImageStorage,
)

from phantoms.dicom_export import decimal, patient_dataset, set_pixels
from phantoms.exam import Exam
from phantoms.exam_files import (
    DataSetTrap,
    ExamFile,
    change,
    copied,
    first_phase,
    main_stack,
    moved,
    pixels_of,
)
from phantoms.transfer_syntax import SYNTAXES
from phantoms.traps_place import named_by


def _in_new_series(exam: Exam, file: ExamFile, word: str, number: int, order: int) -> ExamFile:
    """A copy of a file's image as one of another series, which no table of the truth lists."""
    again = copied(file)
    again.place, again.rows = moved(file.place, f"{word}{order}"), []
    change(
        again.dataset,
        SOPInstanceUID=exam.uid(word, str(order)),
        SeriesInstanceUID=exam.uid(word, "series"),
        SeriesNumber=number,
        InstanceNumber=order + 1,
        SeriesDescription=word,
    )
    return again


def derived_originals(exam: Exam, files: list[ExamFile], rng: np.random.Generator) -> None:
    """As an archive that re-writes exports marks them."""
    for file in files:
        image_type = list(file.dataset.get("ImageType", ["ORIGINAL", "PRIMARY"]))
        change(file.dataset, ImageType=["DERIVED", "SECONDARY", *image_type[2:]])


def derived_images(exam: Exam, files: list[ExamFile], rng: np.random.Generator) -> None:
    """A reformat and a maximum projection of the main stack."""
    stack = first_phase(main_stack(files))
    volume = np.stack([pixels_of(file.dataset) for file in stack])
    for order, (word, pixels) in enumerate((("MPR", volume.mean(axis=0)), ("MIP", volume.max(axis=0)))):
        again = _in_new_series(exam, stack[len(stack) // 2], "reformat", 902, order)
        tokens = (
            ["DERIVED", "SECONDARY", "MPR"] if word == "MPR" else ["DERIVED", "SECONDARY", "PROJECTION IMAGE"]
        )
        change(again.dataset, ImageType=tokens, SeriesDescription=word, TriggerTime=None)
        set_pixels(again.dataset, pixels.astype(np.uint16))
        files.append(again)


def complex_images(exam: Exam, files: list[ExamFile], rng: np.random.Generator) -> None:
    """Real and imaginary parts of the first phase of every slice."""
    for word, token, number, turn in (("real", "R", 903, 1.0), ("imaginary", "I", 904, 0.3)):
        for order, file in enumerate(first_phase(main_stack(files))):
            again = _in_new_series(exam, file, word, number, order)
            change(again.dataset, ImageType=["ORIGINAL", "PRIMARY", token], TriggerTime=None)
            set_pixels(again.dataset, (2048 + pixels_of(file.dataset) * (turn / 2)).astype(np.uint16))
            files.append(again)


def t1_map(exam: Exam, files: list[ExamFile], rng: np.random.Generator) -> None:
    """A map on the middle plane of the stack: computed, in ms."""
    stack = first_phase(main_stack(files))
    again = _in_new_series(exam, stack[len(stack) // 2], "T1_map", 905, 0)
    change(again.dataset, ImageType=["DERIVED", "PRIMARY", "M", "T1 MAP"], TriggerTime=None)
    set_pixels(again.dataset, np.clip(2400 - pixels_of(again.dataset) * 3.0, 0, 3000).astype(np.uint16))
    files.append(again)


def perfusion(exam: Exam, files: list[ExamFile], rng: np.random.Generator) -> None:
    """Thirty beats at one plane, each at the same moment of its beat, while contrast medium passes."""
    stack = first_phase(main_stack(files))
    source = stack[len(stack) // 2]
    pixels = pixels_of(source.dataset).astype(np.float32)
    taken = str(source.dataset.AcquisitionTime)
    beat_ms = exam.beat_ms or 900.0
    for order in range(30):
        again = _in_new_series(exam, source, "perfusion", 906, order)
        bright = 0.5 + 1.2 * np.exp(-(((order - 12) / 5) ** 2))
        second = float(taken) + order * beat_ms / 1000
        moment = f"{second:013.6f}"
        change(again.dataset, AcquisitionTime=moment, ContentTime=moment, AcquisitionNumber=order + 1)
        change(again.dataset, TriggerTime="120", InversionTime="100", FlipAngle="12", EchoTime="1.05")
        set_pixels(again.dataset, np.clip(pixels * bright, 0, 4095).astype(np.uint16))
        files.append(again)


def late_header(exam: Exam, files: list[ExamFile], rng: np.random.Generator) -> None:
    """A private header of 120 KB stands before orientation and spacing (seen in Siemens cines)."""
    ballast = bytes(rng.integers(0, 256, 120 * 1024, dtype=np.uint8))
    for file in main_stack(files):
        block = file.dataset.private_block(0x0019, "SIEMENS MR HEADER", create=True)
        block.add_new(0x08, "OB", ballast)


def siemens_mosaic(exam: Exam, files: list[ExamFile], rng: np.random.Generator) -> None:
    """The first phase of the stack as tiles, placed by a CSA header."""
    files.append(_mosaic(exam, files, with_header=True))


def mosaic_stripped(exam: Exam, files: list[ExamFile], rng: np.random.Generator) -> None:
    """The same after de-identification has taken the private header: nothing places the tiles."""
    files.append(_mosaic(exam, files, with_header=False))


def _mosaic(exam: Exam, files: list[ExamFile], with_header: bool) -> ExamFile:
    stack = first_phase(main_stack(files))
    tiles = [pixels_of(file.dataset) for file in stack]
    rows, columns = tiles[0].shape
    side = int(np.ceil(np.sqrt(len(tiles))))
    made = _in_new_series(exam, stack[0], "mosaic", 907, 0)
    dataset = made.dataset
    right, down = np.array([float(v) for v in dataset.ImageOrientationPatient]).reshape(2, 3)
    row_mm, column_mm = (float(v) for v in dataset.PixelSpacing)
    first, last = (
        np.array([float(v) for v in file.dataset.ImagePositionPatient]) for file in (stack[0], stack[-1])
    )
    # The file states the corner of an image as large as the mosaic, round the first tile's centre.
    corner = first - 0.5 * (side - 1) * (right * (columns * column_mm) + down * (rows * row_mm))
    normal = np.cross(right, down) * np.sign(np.cross(right, down) @ (last - first))
    change(
        dataset,
        Rows=rows * side,
        Columns=columns * side,
        ImagePositionPatient=[decimal(v) for v in corner],
        ImageType=["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"],
        TriggerTime=None,
    )
    set_pixels(dataset, tiled(tiles, side, side))
    if with_header:
        block = dataset.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
        numbers = [f"{value:.8f}" for value in normal]
        header = {"NumberOfImagesInMosaic": [str(len(tiles))], "SliceNormalVector": numbers}
        block.add_new(0x10, "OB", csa_bytes(header))
    return made


def tiled(tiles: Sequence[NDArray[np.uint16]], across: int, down: int) -> NDArray[np.uint16]:
    """Images side by side, row by row, the rest black."""
    rows, columns = tiles[0].shape
    whole = np.zeros((rows * down, columns * across), dtype=np.uint16)
    for i, tile in enumerate(tiles):
        top, left = i // across * rows, i % across * columns
        whole[top : top + rows, left : left + columns] = tile
    return whole


def csa_bytes(values: Mapping[str, Sequence[str]]) -> bytes:
    """A Siemens CSA header: mark, count of elements, then names, counts and texts padded to four bytes."""
    parts = [b"SV10\x04\x03\x02\x01", struct.pack("<II", len(values), 77)]
    for name, texts in values.items():
        parts.append(
            name.encode().ljust(64, b"\0") + struct.pack("<i4s3i", len(texts), b"FD\0\0", 4, len(texts), 77)
        )
        for text in texts:
            raw = text.encode() + b"\0"
            parts.append(struct.pack("<4i", len(raw), len(raw), 77, len(raw)))
            parts.append(raw + b"\0" * (-len(raw) % 4))
    blob = b"".join(parts)
    return blob + b"\0" * (len(blob) % 2)


def uih_grid(exam: Exam, files: list[ExamFile], rng: np.random.Generator) -> None:
    """The first phase of the stack as a grid; a private sequence alone says where tiles lie."""
    stack = first_phase(main_stack(files))
    tiles = [pixels_of(file.dataset) for file in stack]
    rows, columns = tiles[0].shape
    across = int(np.ceil(np.sqrt(len(tiles))))
    down = -(-len(tiles) // across)
    made = _in_new_series(exam, stack[0], "grid", 908, 0)
    items = []
    for file in stack:
        item = Dataset()
        item.ImagePositionPatient = list(file.dataset.ImagePositionPatient)
        item.AcquisitionTime = str(file.dataset.AcquisitionTime)
        items.append(item)
    change(
        made.dataset,
        Manufacturer="UIH",
        Rows=rows * down,
        Columns=columns * across,
        ImagePositionPatient=None,
        ImageType=["ORIGINAL", "PRIMARY", "M", "VFRAME"],
        TriggerTime=None,
    )
    set_pixels(made.dataset, tiled(tiles, across, down))
    block = made.dataset.private_block(0x0065, "Image Private Header", create=True)
    block.add_new(0x50, "DS", str(len(tiles)))
    block.add_new(0x51, "SQ", items)
    files.append(made)


def stranger(exam: Exam, word: str, sop_class: str, modality: str) -> Dataset:
    """A data set of the same patient and study that is no MR image."""
    dataset = patient_dataset(exam)
    for name in (
        "MagneticFieldStrength",
        "FrameOfReferenceUID",
        "PositionReferenceIndicator",
        "PatientPosition",
    ):
        del dataset[name]
    change(
        dataset,
        SOPClassUID=sop_class,
        SOPInstanceUID=exam.uid(word),
        SeriesInstanceUID=exam.uid(word, "series"),
        SeriesNumber=950,
        InstanceNumber=1,
        Modality=modality,
        SeriesDescription=word,
        ContentDate=dataset.StudyDate,
        ContentTime=dataset.StudyTime,
    )
    return dataset


def _added(exam: Exam, files: list[ExamFile], dataset: Dataset, word: str) -> None:
    place = files[0].place.with_name(named_by(f"{exam.uid(word)}"))
    files.append(ExamFile(place, dataset, SYNTAXES["explicit"]))


def secondary_capture(exam: Exam, files: list[ExamFile], rng: np.random.Generator) -> None:
    """A screenshot with numbers on it: no position, no orientation."""
    dataset = stranger(exam, "screenshot", SecondaryCaptureImageStorage, "OT")
    dataset.ConversionType = "WSD"
    dataset.Rows = dataset.Columns = 128
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    dataset.PixelData = rng.integers(0, 256, 128 * 128, dtype=np.uint8).tobytes()
    dataset["PixelData"].VR = "OB"
    _added(exam, files, dataset, "screenshot")


def structured_report(exam: Exam, files: list[ExamFile], rng: np.random.Generator) -> None:
    """Three objects without pixels."""
    for word, sop_class, modality in (
        ("report", BasicTextSRStorage, "SR"),
        ("key objects", KeyObjectSelectionDocumentStorage, "KO"),
        ("presentation", GrayscaleSoftcopyPresentationStateStorage, "PR"),
    ):
        dataset = stranger(exam, word, sop_class, modality)
        if modality != "PR":
            dataset.ValueType, dataset.ContinuityOfContent = "CONTAINER", "SEPARATE"
            dataset.CompletionFlag, dataset.VerificationFlag = "COMPLETE", "UNVERIFIED"
        _added(exam, files, dataset, word)


def segmentation_object(exam: Exam, files: list[ExamFile], rng: np.random.Generator) -> None:
    """Somebody's segmentation of the stack lies among the images: a map of its pixels above the mean."""
    from phantoms.segmentation import SegmentationIdentity, segmentation_of
    from phantoms.tissues import Tissue

    stack = first_phase(main_stack(files))
    pixels = np.stack([pixels_of(file.dataset) for file in stack])
    tissue = np.where(pixels > pixels.mean(), Tissue.LV_BLOOD, Tissue.AIR).astype(np.uint8)
    series, sop, dimensions = (exam.uid("stray segmentation", n) for n in ("series", "object", "dimensions"))
    made = segmentation_of(
        [file.dataset for file in stack],
        tissue,
        SegmentationIdentity(series, sop, dimensions, 951),
        exam.segments,
    )
    plain = Dataset()
    plain.update(dict(made.items()))
    plain["PixelData"].VR = "OB"
    place = files[0].place.with_name(named_by(exam.uid("stray segmentation")))
    files.append(ExamFile(place, plain, SYNTAXES["explicit"]))


ACTIONS: Mapping[str, DataSetTrap] = {
    "derived-originals": derived_originals,
    "derived-images": derived_images,
    "complex-images": complex_images,
    "t1-map": t1_map,
    "perfusion": perfusion,
    "late-header": late_header,
    "siemens-mosaic": siemens_mosaic,
    "mosaic-stripped": mosaic_stripped,
    "uih-grid": uih_grid,
    "secondary-capture": secondary_capture,
    "structured-report": structured_report,
    "segmentation-object": segmentation_object,
}
"""By the names of `phantoms.traps`."""
