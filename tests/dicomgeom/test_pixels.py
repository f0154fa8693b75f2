"""Stored pixels -> images, against pydicom's own arrays and the equation."""

from __future__ import annotations

import os
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pydicom.filereader
import pytest
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import RLELossless

from dicomgeom import pixels
from dicomgeom.errors import UnusableFile
from dicomgeom.pixels import read_image
from dicomgeom.sources import open_file
from tests.helpers.dicom_files import axial, write_mr
from tests.helpers.special_files import enhanced_dataset, mosaic_dataset, save

RAMP = np.arange(16 * 24, dtype=np.uint16).reshape(16, 24)


def test_rescaling_follows_the_equation(tmp_path: Path) -> None:
    write_mr(tmp_path / "a", axial(), PixelData=RAMP.tobytes(), RescaleSlope="0.5", RescaleIntercept="-3")
    image = read_image(str(tmp_path), "a")
    assert image.dtype == np.float32
    np.testing.assert_allclose(image, RAMP * 0.5 - 3)


def test_signed_pixels_keep_their_sign(tmp_path: Path) -> None:
    signed = (RAMP.astype(np.int16) - 200).tobytes()
    write_mr(tmp_path / "a", axial(), PixelData=signed, PixelRepresentation=1)
    np.testing.assert_array_equal(read_image(str(tmp_path), "a"), RAMP.astype(np.float32) - 200)


def test_bits_above_bits_stored_are_not_part_of_the_image(tmp_path: Path) -> None:
    with_overlay = (RAMP | 0xF000).astype(np.uint16)
    write_mr(tmp_path / "a", axial(), PixelData=with_overlay.tobytes(), BitsStored=12, HighBit=11)
    np.testing.assert_array_equal(read_image(str(tmp_path), "a"), RAMP)


def test_monochrome1_is_turned_round_alike_in_all_images_of_a_stack(tmp_path: Path) -> None:
    for name, image in (("a", RAMP), ("b", RAMP // 2)):
        write_mr(
            tmp_path / name, axial(), PixelData=image.tobytes(), PhotometricInterpretation="MONOCHROME1",
            BitsStored=12, HighBit=11,
        )  # fmt: skip
        np.testing.assert_array_equal(read_image(str(tmp_path), name), 4095 - image.astype(np.float32))


@pytest.mark.parametrize("signed", [0, 1])
def test_monochrome1_keeps_differences_and_only_turns_their_sign(tmp_path: Path, signed: int) -> None:
    stored = (RAMP.astype(np.int16) - 100 * signed).astype(np.uint16)
    write_mr(
        tmp_path / "a", axial(), PixelData=stored.tobytes(), PhotometricInterpretation="MONOCHROME1",
        PixelRepresentation=signed,
    )  # fmt: skip
    turned = read_image(str(tmp_path), "a")
    np.testing.assert_array_equal(turned - turned[0, 0], -RAMP.astype(np.float32))


def test_colour_is_refused_by_name(tmp_path: Path) -> None:
    colour = np.zeros((16, 24, 3), dtype=np.uint8).tobytes()
    write_mr(
        tmp_path / "a", axial(), PixelData=colour, SamplesPerPixel=3, PhotometricInterpretation="RGB",
        BitsAllocated=8, BitsStored=8, HighBit=7, PlanarConfiguration=0,
    )  # fmt: skip
    with pytest.raises(UnusableFile, match="colour"):
        read_image(str(tmp_path), "a")


def test_a_file_that_is_gone_or_cut_short_is_unusable(tmp_path: Path) -> None:
    with pytest.raises(UnusableFile, match="cannot-open"):
        read_image(str(tmp_path), "nothing")
    path = write_mr(tmp_path / "a", axial(), PixelData=RAMP.tobytes())
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UnusableFile, match="undecodable-pixels"):
        read_image(str(tmp_path), "a")


# Files of several frames: frame n of `several` holds n


def several(path: Path, frames: int = 5, **attributes: Any) -> Path:
    return save(path, enhanced_dataset([axial(5.0 * n) for n in range(frames)], **attributes))


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Paths of the files that were opened for their pixels."""
    paths: list[str] = []

    def counted(root: str, path: str) -> BinaryIO:
        paths.append(path)
        return open_file(root, path)

    monkeypatch.setattr(pixels, "open_file", counted)
    return paths


def test_frames_asked_for_one_by_one_open_their_file_once(tmp_path: Path, opened: list[str]) -> None:
    several(tmp_path / "a")
    for frame in (3, 0, 4, 1, 2, 3):
        assert (read_image(str(tmp_path), "a", frame) == frame).all()
    with pytest.raises(UnusableFile, match="frame 5 of 5"):
        read_image(str(tmp_path), "a", 5)
    assert opened == ["a"]


def test_functional_groups_of_all_frames_are_parsed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    several(tmp_path / "a", frames=20)
    sizes_bytes = []
    read_sequence = pydicom.filereader.read_sequence

    def measured(file: Any, implicit: bool, little: bool, size_bytes: int, *more: Any) -> Any:
        sizes_bytes.append(size_bytes)
        return read_sequence(file, implicit, little, size_bytes, *more)

    monkeypatch.setattr(pydicom.filereader, "read_sequence", measured)
    for frame in range(20):
        read_image(str(tmp_path), "a", frame)
    assert sizes_bytes.count(max(sizes_bytes)) == 1


def test_a_frame_is_decoded_without_its_neighbours(tmp_path: Path) -> None:
    dataset = enhanced_dataset([axial(5.0 * n) for n in range(3)])
    dataset.compress(RLELossless, generate_instance_uid=False)
    coded = list(generate_frames(dataset.PixelData, number_of_frames=3))
    dataset.PixelData = encapsulate([b"\xff" * len(coded[0]), *coded[1:]])
    save(tmp_path / "a", dataset)
    for frame in (1, 2):
        assert (read_image(str(tmp_path), "a", frame) == frame).all()
    with pytest.raises(UnusableFile, match="undecodable-pixels: RLE Lossless"):
        read_image(str(tmp_path), "a", 0)


def test_all_tiles_of_a_mosaic_are_cut_from_one_decoding(
    tmp_path: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "a", mosaic_dataset(axial(), 9, 5.0))
    decoded = []
    decode = pixels.pixel_array

    def counted(dataset: Any, index: int) -> Any:
        decoded.append(index)
        return decode(dataset, index=index)

    monkeypatch.setattr(pixels, "pixel_array", counted)
    for tile in range(9):
        image = read_image(str(tmp_path), "a", tile)
        assert (image == 100 * (tile + 1)).all()
        image[:] = -1  # whoever got a tile may write into it
    assert (read_image(str(tmp_path), "a", 0) == 100).all()
    assert (opened, decoded) == (["a"], [0])


@pytest.mark.parametrize("changed", ["time", "size"])
def test_a_file_that_changed_is_read_anew(tmp_path: Path, changed: str) -> None:
    before = several(tmp_path / "a").stat()
    assert (read_image(str(tmp_path), "a", 1) == 1).all()
    later_ns = 10**9 if changed == "time" else 0
    after = several(tmp_path / "a", frames=5 if changed == "time" else 6, RescaleIntercept="7")
    os.utime(after, ns=(before.st_atime_ns, before.st_mtime_ns + later_ns))
    assert (read_image(str(tmp_path), "a", 1) == 8).all()


@pytest.mark.parametrize("folder", ["", "!urgent/"])
def test_a_member_of_an_archive_that_changed_is_read_anew(
    tmp_path: Path, opened: list[str], folder: str
) -> None:
    packed = tmp_path / f"{folder}export.zip"
    packed.parent.mkdir(exist_ok=True)
    for intercept in (0, 7):
        member = several(tmp_path / "a", RescaleIntercept=str(intercept))
        with zipfile.ZipFile(packed, "w") as archive:
            archive.write(member, "a")
        os.utime(packed, ns=(10**18 + intercept, 10**18 + intercept))
        for frame in range(5):
            assert (read_image(str(tmp_path), f"{folder}export.zip!a", frame) == frame + intercept).all()
    assert opened == [f"{folder}export.zip!a"] * 2


def test_a_file_that_was_kept_and_is_gone_is_unusable(tmp_path: Path) -> None:
    path = several(tmp_path / "a")
    read_image(str(tmp_path), "a", 1)
    path.unlink()
    with pytest.raises(UnusableFile, match="cannot-open"):
        read_image(str(tmp_path), "a", 2)


def test_files_of_one_frame_are_not_kept(tmp_path: Path, opened: list[str]) -> None:
    write_mr(tmp_path / "a", axial(), PixelData=RAMP.tobytes())
    for _ in range(2):
        np.testing.assert_array_equal(read_image(str(tmp_path), "a"), RAMP)
    assert opened == ["a", "a"]


def test_each_thread_keeps_a_file_of_its_own(tmp_path: Path, opened: list[str]) -> None:
    several(tmp_path / "a")
    several(tmp_path / "b", RescaleIntercept="7")
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
        for frame in range(5):
            first = one.submit(read_image, str(tmp_path), "a", frame)
            second = other.submit(read_image, str(tmp_path), "b", frame)
            assert (first.result() == frame).all()
            assert (second.result() == frame + 7).all()
    assert sorted(opened) == ["a", "b"]
