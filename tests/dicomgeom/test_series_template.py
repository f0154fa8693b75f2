"""The fast way of reading headers finds exactly what pydicom finds."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import UID

from dicomgeom.scan import Scanner
from dicomgeom.sources import FoundFile, list_files
from tests.helpers.dicom_files import axial, uid, write_mr
from tests.helpers.readers import verdict
from tests.helpers.real import real_exam
from tests.helpers.series_files import SYNTAXES, changed, series

EDITS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 3_000), st.binary(min_size=1, max_size=12)),
    min_size=1,
    max_size=4,
)
"""Damage to the first three thousand bytes, where the elements that matter stand."""


def written(folder: Path, contents: list[bytes]) -> list[FoundFile]:
    """Write some files and list them."""
    folder.mkdir(exist_ok=True)
    for number, content in enumerate(contents):
        (folder / f"{number:04}").write_bytes(content)
    return [found for found in list_files(folder) if int(found.path) < len(contents)]


def assert_equal(files: list[FoundFile]) -> None:
    """Read all files both ways, the fast one in their order with one memory."""
    fast, slow = Scanner(), Scanner(own_reader=False)
    for found in files:
        assert verdict(fast, found) == verdict(slow, found), found.path


@pytest.mark.real
@pytest.mark.parametrize(
    "exam", ["cardiac-biv-me", "cardiac-sunnybrook", "knee-flothesof", "qa-canon-oblique", "qa-enhanced",
             "qa-transfer-syntaxes", "qa-uih-grid"],
)  # fmt: skip
def test_every_real_file_is_read_as_pydicom_reads_it(exam: str) -> None:
    assert_equal(list(list_files(real_exam(exam))))


def test_every_file_that_pydicom_ships_is_read_as_pydicom_reads_it() -> None:
    assert_equal(list(list_files(Path(pydicom.__file__).parent / "data")))


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("private_bytes", [256, 1_024, 40_192, 200_192])
def test_series_are_read_as_pydicom_reads_them(tmp_path: Path, syntax: UID, private_bytes: int) -> None:
    contents = list(series(12, syntax=syntax, private_bytes=private_bytes))
    assert_equal(written(tmp_path, contents))


def test_series_that_lie_mixed_in_one_folder_are_told_apart(tmp_path: Path) -> None:
    several = [list(series(8, number=number, syntax=SYNTAXES[number % 2])) for number in range(6)]
    contents = list(itertools.chain(*several))
    random.Random(3).shuffle(contents)
    assert_equal(written(tmp_path, contents))


def test_images_of_one_series_that_differ_in_more_than_their_place_are_told_apart(tmp_path: Path) -> None:
    for image in range(24):
        write_mr(
            tmp_path / f"{image:04}",
            axial(z_mm=image, columns=24 + 8 * (image % 2)),
            SeriesInstanceUID=uid(3, 5),
            EchoTime=str(1 + image % 3),
            ImageType=["ORIGINAL", "PRIMARY", "P" if image % 4 == 0 else "M"],
            InversionTime="300" if image % 5 == 0 else None,
            PatientID=f"P{image // 8}",
            Modality="CT" if image == 11 else "MR",
            ImagePositionPatient=["1", "2"] if image == 13 else [0, 0, image],
            SamplesPerPixel=3 if image == 17 else 1,
        )
    assert_equal(list(list_files(tmp_path)))


def test_most_images_of_a_series_are_compared_not_walked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    walks = []
    walk = pytest.importorskip("dicomgeom.series_template").walk
    monkeypatch.setattr("dicomgeom.series_template.walk", lambda *given: walks.append(1) or walk(*given))
    scanner = Scanner()
    for found in written(tmp_path, list(series(20))):
        verdict(scanner, found)
    assert len(walks) == 1


@given(EDITS, st.integers(0, 1), st.integers(0, 5))
def test_damaged_files_are_judged_as_pydicom_judges_them(
    tmp_path_factory: pytest.TempPathFactory, edits: list[tuple[int, int, bytes]], syntax: int, image: int
) -> None:
    contents = list(series(6, syntax=SYNTAXES[syntax], private_bytes=1_024))
    contents.insert(3, changed(contents[image], edits))
    assert_equal(written(tmp_path_factory.getbasetemp() / "damaged", contents))


@given(st.integers(1, 12_000))
def test_files_cut_short_anywhere_are_judged_as_pydicom_judges_them(
    tmp_path_factory: pytest.TempPathFactory, length: int
) -> None:
    contents = list(series(4, private_bytes=8_192))
    contents.insert(2, contents[3][:length])
    assert_equal(written(tmp_path_factory.getbasetemp() / "cut", contents))
