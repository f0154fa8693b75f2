"""Stored pixels -> images, against pydicom's own arrays and the equation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dicomgeom.errors import UnusableFile
from dicomgeom.pixels import read_image
from tests.helpers.dicom_files import axial, write_mr

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
