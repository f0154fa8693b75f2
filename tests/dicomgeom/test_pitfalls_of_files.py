"""What real exports contain: pixels, broken files, odd text and numbers (see test_pitfalls.py)."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, Final

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import get_decoder
from pydicom.sequence import Sequence as Items
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from dicomgeom.catalogue import open_catalogue
from dicomgeom.errors import NothingUsable, UnusableFile
from dicomgeom.index import index
from dicomgeom.pixels import read_image
from dicomgeom.row_planes import plane_of
from tests.helpers.dicom_files import axial, mr_dataset, uid, write_mr
from tests.helpers.exports import catalogue_of
from tests.helpers.special_files import enhanced_dataset, item, save

PYDICOM_FILES: Final = Path(pydicom.__file__).parent / "data" / "test_files"


# Stored pixels

RAMP: Final = np.arange(16 * 24, dtype=np.uint16).reshape(16, 24)


def test_each_frame_is_rescaled_by_its_own_slope(tmp_path: Path) -> None:
    dataset = enhanced_dataset([axial(0.0), axial(5.0)])
    for number, group in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        change = item(RescaleSlope=f"{number + 2}", RescaleIntercept=f"{-10 * number}", RescaleType="US")
        group.PixelValueTransformationSequence = Items([change])
    save(tmp_path / "a", dataset)
    assert (read_image(str(tmp_path), "a", 0) == 0).all()
    assert (read_image(str(tmp_path), "a", 1) == 1 * 3 - 10).all()


def test_colour_is_no_image_of_the_catalogue(tmp_path: Path) -> None:
    palette = {"PhotometricInterpretation": "PALETTE COLOR"}
    write_mr(tmp_path / "export" / "palette", axial(), **palette)
    with pytest.raises(UnusableFile, match="colour: photometric interpretation PALETTE COLOR"):
        read_image(str(tmp_path / "export"), "palette")


def test_one_image_decodes_alike_in_the_transfer_syntaxes_that_pydicom_ships() -> None:
    original = read_image(str(PYDICOM_FILES), "MR_small.dcm")
    assert original.std() > 0
    for name in ("RLE", "bigendian", "expb", "implicit", "jp2klossless", "jpeg_ls_lossless", "padded"):
        np.testing.assert_array_equal(read_image(str(PYDICOM_FILES), f"MR_small_{name}.dcm"), original)


@pytest.mark.parametrize(
    "syntax",
    [
        ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian,
        RLELossless, JPEGLSLossless,
    ],
    ids=lambda syntax: syntax.name,
)  # fmt: skip
def test_an_image_rewritten_in_another_transfer_syntax_has_the_same_place_and_pixels(
    tmp_path: Path, syntax: Any
) -> None:
    dataset = mr_dataset(axial(12.5), PixelData=RAMP.tobytes())
    if syntax.is_compressed and syntax != DeflatedExplicitVRLittleEndian:
        dataset.compress(syntax)
    else:
        if syntax == ExplicitVRBigEndian:
            dataset.PixelData = RAMP.byteswap().tobytes()
        dataset["PixelData"].VR = "OW"
        dataset.file_meta.TransferSyntaxUID = syntax
    save(tmp_path / "export" / "a", dataset)
    (row,) = catalogue_of(tmp_path).images.rows(named=True)
    np.testing.assert_allclose(plane_of(row).patient_from_pixel, axial(12.5).patient_from_pixel)
    assert row["transfer_syntax"] == syntax
    np.testing.assert_array_equal(read_image(str(tmp_path / "export"), "a"), RAMP)


def jpeg_file(path: Path, fragments: int) -> Path:
    """Write a smooth 8-bit image as JPEG baseline, in some fragments."""
    coded = io.BytesIO()
    Image.fromarray((RAMP // 2).astype(np.uint8)).save(coded, format="JPEG", quality=95)
    dataset = mr_dataset(axial(), BitsAllocated=8, BitsStored=8, HighBit=7)
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    dataset.PixelData = encapsulate([coded.getvalue()], fragments_per_frame=fragments)
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    return save(path, dataset)


def test_lossy_jpeg_is_decoded_within_its_loss(tmp_path: Path) -> None:
    jpeg_file(tmp_path / "a", fragments=1)
    assert np.abs(read_image(str(tmp_path), "a") - RAMP // 2).max() < 12


def test_a_compression_that_no_free_decoder_knows_is_refused_by_its_name() -> None:
    with pytest.raises(UnusableFile, match=r"undecodable-pixels: JPEG Extended .* 12 bits"):
        read_image(str(PYDICOM_FILES), "JPGExtended.dcm")


def test_pixel_data_in_fragments_is_put_together(tmp_path: Path) -> None:
    for fragments in (1, 3):
        jpeg_file(tmp_path / "export" / f"{fragments}", fragments)
    whole, parts = (read_image(str(tmp_path / "export"), name) for name in ("1", "3"))
    np.testing.assert_array_equal(whole, parts)
    assert catalogue_of(tmp_path).files["status"].to_list() == ["ok", "ok"]


def test_an_absent_decoder_names_the_packages_to_install(tmp_path: Path) -> None:
    if get_decoder(HTJ2KLossless).is_available:
        pytest.skip("a decoder for HTJ2K is installed")
    dataset = mr_dataset(axial())
    dataset.file_meta.TransferSyntaxUID = HTJ2KLossless
    dataset.PixelData = encapsulate([b"\xff\x4f\xff\x51" + bytes(60)])
    dataset["PixelData"].is_undefined_length = True
    save(tmp_path / "export" / "a", dataset)
    assert catalogue_of(tmp_path).files["status"].to_list() == ["ok"]  # its header is sound
    with pytest.raises(UnusableFile, match="python-gdcm, pyjpegls and pylibjpeg-openjpeg"):
        read_image(str(tmp_path / "export"), "a")


# Broken files


def test_a_dicomdir_with_dead_and_climbing_references_is_only_a_hint(tmp_path: Path) -> None:
    write_mr(tmp_path / "outside", axial(50.0))
    write_mr(tmp_path / "export" / "IMAGES" / "IM1", axial())
    listing = Dataset()
    listing.file_meta = FileMetaDataset()
    listing.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.1.3.10"
    listing.file_meta.MediaStorageSOPInstanceUID = uid(7)
    listing.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    listing.DirectoryRecordSequence = Items(
        [
            item(DirectoryRecordType="IMAGE", ReferencedFileID=["IMAGES", "GONE"]),
            item(DirectoryRecordType="IMAGE", ReferencedFileID=["..", "outside"]),
        ]
    )
    listing.save_as(tmp_path / "export" / "DICOMDIR", enforce_file_format=True)
    index([tmp_path / "export" / "DICOMDIR"], tmp_path / "catalogue")
    files = open_catalogue(tmp_path / "catalogue").files
    assert files.select("path", "status", "reason").sort("path").rows() == [
        ("DICOMDIR", "skipped", "dicomdir"),
        ("IMAGES/IM1", "ok", ""),
    ]


@pytest.mark.parametrize("keyword", ["SeriesDescription", "Rows", "PixelSpacing"])
def test_a_wrong_length_is_counted_and_the_scan_goes_on(tmp_path: Path, keyword: str) -> None:
    write_mr(tmp_path / "export" / "sound", axial())
    path = write_mr(tmp_path / "export" / "wrong", axial(5.0), SeriesDescription="short axis")
    content = bytearray(path.read_bytes())
    tag = pydicom.tag.Tag(keyword)
    at = content.index(tag.group.to_bytes(2, "little") + tag.element.to_bytes(2, "little"), 132)
    content[at + 6 : at + 8] = (0xFFF0).to_bytes(2, "little")
    path.write_bytes(content)
    files = catalogue_of(tmp_path).files
    verdicts = {
        path: (status, bool(reason))
        for path, status, reason in files.select("path", "status", "reason").rows()
    }
    assert verdicts["sound"] == ("ok", False)
    assert verdicts["wrong"] != ("ok", False)
    assert verdicts["wrong"][1]


# Odd text and numbers


def raw_numbers(**texts: str) -> Dataset:
    """An image whose decimal strings hold just what is given, as no strict writer would."""
    dataset = mr_dataset(axial(2.5))
    for keyword, text in texts.items():
        vr = pydicom.datadict.dictionary_VR(keyword)
        tag = pydicom.tag.Tag(keyword)
        raw = text.encode("latin-1")
        dataset[tag] = pydicom.dataelem.RawDataElement(
            tag, vr, len(raw), raw + b" " * (len(raw) % 2), 0, False, True
        )
    return dataset


@pytest.mark.parametrize(
    ("texts", "column", "value"),
    [
        ({"EchoTime": "1,49"}, "echo_time_ms", 1.49),
        ({"EchoTime": "1.48999999999999999999999"}, "echo_time_ms", 1.49),
        ({"EchoTime": " +1.49e0 "}, "echo_time_ms", 1.49),
        ({"EchoTime": ""}, "echo_time_ms", None),
        ({"EchoTime": "unknown"}, "echo_time_ms", None),
        ({"EchoTime": "1e999"}, "echo_time_ms", None),
        ({"EchoTime": "nan"}, "echo_time_ms", None),
        ({"InstanceNumber": "99999999999999999999"}, "instance_number", None),
        ({"InstanceNumber": "7.0"}, "instance_number", 7),
        ({"SeriesNumber": "-3"}, "series_number", -3),
        ({"TriggerTime": "12,5\\99"}, "trigger_time_ms", 12.5),
        ({"ImagePositionPatient": "-20,0\\-15,0\\2,5"}, "origin_mm", [-20.0, -15.0, 2.5]),
        ({"PixelSpacing": "2.000000000000000000001\\1,5"}, "row_spacing_mm", 2.0),
    ],
    ids=str,
)
def test_odd_numbers_are_read_or_absent_and_never_stop_the_index(
    tmp_path: Path, texts: dict[str, str], column: str, value: object
) -> None:
    save(tmp_path / "export" / "a", raw_numbers(**texts))
    (row,) = catalogue_of(tmp_path).images.rows(named=True)
    assert row[column] == (pytest.approx(value) if isinstance(value, float) else value)


@pytest.mark.parametrize(
    "texts",
    [
        {"ImagePositionPatient": "1e300\\0\\0"},
        {"ImagePositionPatient": "1\\2"},
        {"ImagePositionPatient": "\\\\"},
        {"PixelSpacing": "0\\0"},
        {"PixelSpacing": "-1\\1"},
        {"PixelSpacing": "1e-300\\1"},
    ],
    ids=str,
)
def test_a_place_that_makes_no_sense_is_refused(tmp_path: Path, texts: dict[str, str]) -> None:
    save(tmp_path / "export" / "a", raw_numbers(**texts))
    with pytest.raises(NothingUsable, match=r"1 (bad-geometry|no-position)"):
        catalogue_of(tmp_path)


@pytest.mark.parametrize(
    ("charset", "raw", "expected"),
    [
        ("ISO_IR 100", b"Ventr\xedculo", "Ventrículo"),
        ("ISO_IR 192", "Kurzachse – höher".encode(), "Kurzachse – höher"),
        ("ISO_IR 144", "ось".encode("iso8859-5"), "ось"),
        ("ISO-IR 144", "ось".encode("iso8859-5"), "ось"),
        ("\\ISO 2022 IR 87", b"\x1b$B?4B!\x1b(B", "心臓"),
        ("GB18030", "短轴".encode("gb18030"), "短轴"),
        ("", "höher".encode("latin-1"), "höher"),
        ("", "höher".encode(), "höher"),
        ("NONSENSE 17", "höher".encode(), "höher"),
        ("ISO_IR 192", b"h\xf6her", "höher"),
    ],
    ids=lambda value: str(value)[:16],
)
def test_text_is_read_in_its_character_set_and_odd_sets_stop_nothing(
    tmp_path: Path, charset: str, raw: bytes, expected: str
) -> None:
    path = write_mr(tmp_path / "export" / "a", axial(), SeriesDescription="@" * (len(raw) + len(raw) % 2))
    content = path.read_bytes().replace(b"@" * (len(raw) + len(raw) % 2), raw + b" " * (len(raw) % 2))
    if charset:  # written by hand: no strict writer would
        value = charset.encode() + b" " * (len(charset) % 2)
        element = b"\x08\x00\x05\x00CS" + len(value).to_bytes(2, "little") + value
        at = content.index(b"\x08\x00\x08\x00CS")
        content = content[:at] + element + content[at:]
    path.write_bytes(content)
    assert catalogue_of(tmp_path).images["series_description"].to_list() == [expected]
