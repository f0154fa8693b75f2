"""Plain images read without pydicom equal those read with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dicomgeom.pixels import read_image
from dicomgeom.plain_pixels import read_plain_image
from tests.helpers.dicom_files import axial, write_mr
from tests.helpers.real import real_exam


def written(path: Path, seed: int = 0, **elements: Any) -> Path:
    image = axial(columns=13, rows=11)
    rng = np.random.default_rng(seed)
    bits = int(elements.get("BitsAllocated", 16))
    values = rng.integers(0, 2**bits, (image.rows, image.columns)).astype(f"u{bits // 8}").tobytes()
    write_mr(path, image, PixelData=values + b"\0" * (len(values) % 2), **elements)
    return path


@pytest.mark.parametrize(
    "elements",
    [
        {},
        {"BitsStored": 12, "HighBit": 11},
        {"PixelRepresentation": 1},
        {"PixelRepresentation": 1, "BitsStored": 12, "HighBit": 11},
        {"PhotometricInterpretation": "MONOCHROME1"},
        {"PhotometricInterpretation": "MONOCHROME1", "BitsStored": 12, "HighBit": 11},
        {"PhotometricInterpretation": "MONOCHROME1", "PixelRepresentation": 1},
        {"RescaleSlope": "1.7", "RescaleIntercept": "-33.25"},
        {"RescaleSlope": "0", "RescaleIntercept": "5"},
        {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7},
    ],
)
def test_a_plain_image_equals_what_pydicom_reads(elements: dict[str, Any], tmp_path: Path) -> None:
    for number in range(3):  # the second and third file meet the template of the first
        name = f"{number}.dcm"
        written(tmp_path / name, seed=number, InstanceNumber=number + 1, **elements)
        found = read_plain_image(str(tmp_path), name)
        assert found is not None
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, read_image(str(tmp_path), name))


def test_a_form_that_changes_within_a_series_is_noticed(tmp_path: Path) -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"RescaleSlope": "2"},
        {"RescaleSlope": "3"},
        {"RescaleSlope": "3", "PixelRepresentation": 1},
        {"PhotometricInterpretation": "MONOCHROME1"},
        {},
    ]
    for number, elements in enumerate(changes):
        written(tmp_path / f"{number}", seed=number, **elements)
        np.testing.assert_array_equal(
            read_plain_image(str(tmp_path), f"{number}"), read_image(str(tmp_path), f"{number}")
        )


def test_what_is_not_plain_is_left_to_pydicom(tmp_path: Path) -> None:
    whole = written(tmp_path / "whole.dcm").read_bytes()
    (tmp_path / "short.dcm").write_bytes(whole[:-7])
    (tmp_path / "text.dcm").write_bytes(b"no DICOM at all")
    for path in ("short.dcm", "text.dcm", "gone.dcm", "archive.zip!member"):
        assert read_plain_image(str(tmp_path), path) is None
    assert read_plain_image(str(tmp_path), "whole.dcm", 1) is None


@pytest.mark.real
@pytest.mark.parametrize(
    "name",
    ["cardiac-biv-me", "cardiac-sunnybrook", "qa-transfer-syntaxes", "qa-canon-oblique", "qa-uih-grid"],
)
def test_real_images_equal_what_pydicom_reads(name: str) -> None:
    folder = real_exam(name)
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    plain = 0
    for path in files[:: max(1, len(files) // 60)]:
        found = read_plain_image(str(folder), str(path.relative_to(folder)))
        if found is not None:
            plain += 1
            np.testing.assert_array_equal(found, read_image(str(folder), str(path.relative_to(folder))))
    # Mosaics, grids and files with functional groups are left to pydicom.
    assert plain or name not in ("cardiac-biv-me", "qa-canon-oblique")
