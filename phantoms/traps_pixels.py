"""Traps in how pixels and text are stored: the image a reader should see stays the same."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from pydicom.dataelem import DataElement

from phantoms.dicom_export import decimal, set_pixels
from phantoms.exam import Exam
from phantoms.exam_files import DataSetTrap, ExamFile, change, copied, main_stack, moved, pixels_of


def _classic(files: list[ExamFile]) -> list[ExamFile]:
    return [file for file in files if file.series is not None and "NumberOfFrames" not in file.dataset]


def monochrome1(exam: Exam, files: list[ExamFile], rng: np.random.Generator) -> None:
    """Stored upside down: the highest value is black."""
    for file in _classic(files):
        pixels = pixels_of(file.dataset)
        change(file.dataset, PhotometricInterpretation="MONOCHROME1")
        set_pixels(file.dataset, 4095 - pixels)


def rescaled(exam: Exam, files: list[ExamFile], rng: np.random.Generator) -> None:
    """Each image is divided by a slope of its own, as Philips and PET do it."""
    for file in _classic(files):
        slope = float(rng.choice([0.5, 0.25, 2.0]))
        pixels = np.clip(np.rint(pixels_of(file.dataset) / slope), 0, 65535)
        change(file.dataset, RescaleSlope=decimal(slope), RescaleIntercept="0", RescaleType="US")
        change(file.dataset, BitsStored=16, HighBit=15)
        set_pixels(file.dataset, pixels.astype(np.uint16))


def signed(exam: Exam, files: list[ExamFile], rng: np.random.Generator) -> None:
    """Two's complement around zero, with an intercept that moves it back."""
    for file in _classic(files):
        pixels = pixels_of(file.dataset).astype(np.int32) - 1024
        change(file.dataset, PixelRepresentation=1, BitsStored=16, HighBit=15)
        change(file.dataset, RescaleSlope="1", RescaleIntercept="1024", RescaleType="US")
        set_pixels(file.dataset, pixels.astype(np.int16).view(np.uint16))


def few_bits(exam: Exam, files: list[ExamFile], rng: np.random.Generator) -> None:
    """10 bits stored; the six above hold rubbish that a reader has to mask."""
    for file in _classic(files):
        pixels = np.minimum(pixels_of(file.dataset) >> 2, 1023)
        rubbish = rng.integers(0, 64, pixels.shape).astype(np.uint16) << 10
        change(file.dataset, BitsStored=10, HighBit=9)
        set_pixels(file.dataset, pixels | rubbish)


def overlay_bits(exam: Exam, files: list[ExamFile], rng: np.random.Generator) -> None:
    """A retired overlay in bit 12: a cross that no reader may take for brightness."""
    for file in _classic(files):
        pixels = pixels_of(file.dataset).copy()
        rows, columns = pixels.shape
        pixels[rows // 2] |= 1 << 12
        pixels[:, columns // 2] |= 1 << 12
        dataset = file.dataset
        set_pixels(dataset, pixels)
        for element, vr, value in (
            (0x0010, "US", rows),
            (0x0011, "US", columns),
            (0x0040, "CS", "G"),
            (0x0050, "SS", [1, 1]),
            (0x0100, "US", 16),
            (0x0102, "US", 12),
        ):
            dataset.add(DataElement((0x6000 << 16) | element, vr, value))


def colour(exam: Exam, files: list[ExamFile], rng: np.random.Generator) -> None:
    """The first image of the stack again in colours, as a post-processing station draws it."""
    source = main_stack(files)[0]
    painted = copied(source)
    grey = (pixels_of(source.dataset) >> 4).astype(np.uint8)
    rgb = np.stack([grey, grey // 2, 255 - grey], axis=-1)
    painted.place, painted.rows = moved(source.place, "rgb"), []
    change(
        painted.dataset,
        SOPInstanceUID=exam.uid("colour"),
        SeriesInstanceUID=exam.uid("colour series"),
        SeriesNumber=901,
        SamplesPerPixel=3,
        PhotometricInterpretation="RGB",
        PlanarConfiguration=0,
        BitsAllocated=8,
        BitsStored=8,
        HighBit=7,
        PixelData=rgb.tobytes() + b"\0" * (rgb.size % 2),
        ImageType=["DERIVED", "SECONDARY", "OTHER"],
    )
    painted.dataset["PixelData"].VR = "OB"
    files.append(painted)


def character_sets(exam: Exam, files: list[ExamFile], rng: np.random.Generator) -> None:
    """Latin-1 and Japanese, declared; UTF-8 that is not declared; a set that does not exist."""
    choices = (
        ("ISO_IR 100", "Kurzachse für Übersicht"),
        (["", "ISO 2022 IR 87"], "短軸 cine"),
        ("ISO_IR 192", "ось короткая"),
        ("ISO_IR 999", "short axis"),
    )
    for file in files:
        number = file.series.number if file.series else 0
        charset, text = choices[number % len(choices)]
        change(file.dataset, SpecificCharacterSet=charset, SeriesDescription=text)


def long_decimals(exam: Exam, files: list[ExamFile], rng: np.random.Generator) -> None:
    """More digits than sixteen characters hold."""
    for file in _classic(files):
        for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
            _raw_decimals(file, name, "{:.18f}")


def comma_decimals(exam: Exam, files: list[ExamFile], rng: np.random.Generator) -> None:
    """As a program in a European locale prints them."""
    for file in _classic(files):
        for name in ("ImagePositionPatient", "PixelSpacing"):
            _raw_decimals(file, name, "{:.6f}", comma=True)


def _raw_decimals(file: ExamFile, name: str, form: str, comma: bool = False) -> None:
    """Put text into a decimal string that pydicom would not let in: as unknown VR it writes anything."""
    from pydicom.datadict import tag_for_keyword

    tag = tag_for_keyword(name)
    if tag is None or tag not in file.dataset:
        return
    texts = [form.format(float(value)) for value in file.dataset[tag].value]
    text = "\\".join(texts)
    text = text.replace(".", ",") if comma else text
    del file.dataset[tag]
    file.dataset.add(RawText(tag, text))


class RawText(DataElement):
    """A decimal string whose bytes are given; encoded as such by `encoding.Encoder`."""

    def __init__(self, tag: int, text: str) -> None:
        super().__init__(tag, "LT", text)
        self.written_vr = "DS"


def empty_values(exam: Exam, files: list[ExamFile], rng: np.random.Generator) -> None:
    """Elements that are there and hold nothing."""
    names = (
        "TriggerTime", "EchoTime", "SliceThickness", "SpacingBetweenSlices", "AcquisitionTime",
        "NominalInterval", "SequenceName", "SeriesDescription",
    )  # fmt: skip
    for file in _classic(files):
        change(file.dataset, **dict.fromkeys(names, ""))


ACTIONS: Mapping[str, DataSetTrap] = {
    "monochrome1": monochrome1,
    "rescaled": rescaled,
    "signed": signed,
    "few-bits": few_bits,
    "overlay-bits": overlay_bits,
    "colour": colour,
    "character-sets": character_sets,
    "long-decimals": long_decimals,
    "comma-decimals": comma_decimals,
    "empty-values": empty_values,
}
"""By the names of `phantoms.traps`."""
