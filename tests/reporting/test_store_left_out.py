"""What a store lacks is told with its reason, as far as it can be proven."""

from __future__ import annotations

import shutil
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import generate_uid

from dicomgeom.catalogue import open_catalogue
from dicomgeom.index import index
from pretext_targets.build import build, plan_build
from pretext_targets.protocol import load_protocol
from pretext_targets.reader import StoreReader
from reporting.report import write_report
from reporting.store_left_out import PLAN_REASONS, left_out_tables, unusable_examples
from tests.helpers.exams import write_heart_exam


def repeat_short_axis(export: Path) -> None:
    """Scan the short axis again, an hour later."""
    series = generate_uid()
    for file in sorted((export / "01").glob("*.dcm")):
        dataset = pydicom.dcmread(file)
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        dataset.SeriesInstanceUID, dataset.SeriesNumber = series, 9
        dataset.AcquisitionTime = "111500"
        (export / "09").mkdir(exist_ok=True)
        dataset.save_as(export / "09" / file.name)


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("left")
    export = write_heart_exam(folder / "export", phases=2)
    repeat_short_axis(export)
    index([export], folder / "catalogue")
    return folder / "catalogue"


@pytest.fixture(scope="module")
def store(catalogue: Path) -> Path:
    """A store of whose eight examples one could not be read."""
    opened = open_catalogue(catalogue)
    protocol = load_protocol("cardiac-sax").with_changes(rows=32, columns=32, spacing_mm=7.0)
    planned = plan_build(opened, protocol)
    row = planned.examples.row(3, named=True)
    victim = Path(row["root"]) / row["path"]
    whole = victim.read_bytes()
    try:
        victim.write_bytes(whole[: len(whole) - 500])
        build(planned, catalogue.parent / "sax.zarr")
    finally:
        victim.write_bytes(whole)
    return catalogue.parent / "sax.zarr"


def test_an_unusable_example_is_told_with_its_reason(store: Path, tmp_path: Path) -> None:
    reader = StoreReader(store)
    unusable = unusable_examples(reader)
    assert list(unusable.values()) == ["undecodable-pixels"]
    (table,) = left_out_tables(reader, unusable, [])
    assert table.rows[0][2:4] == ("slice 2, phase 2", "undecodable-pixels")
    assert table.facets[0].validity == "unusable"
    page = write_report(store, tmp_path / "r.html").read_text(encoding="utf-8")
    assert 'data-validity="unusable"' in page
    assert "pixel data broken" in page


def test_the_catalogue_a_store_was_built_from_tells_what_was_left_out(store: Path, catalogue: Path) -> None:
    tables = left_out_tables(StoreReader(store), {}, [catalogue])
    assert [table.caption for table in tables] == [
        "Images left out of the store, and why",
        "Slices without boxes, and why",
    ]
    assert tables[0].rows == (("repeated-later", PLAN_REASONS["repeated-later"], "8"),)
    assert tables[0].facets[0].reasons == ("repeated-later",)
    assert tables[1].rows == ()


def test_another_catalogue_tells_nothing_of_a_store(store: Path, tmp_path: Path) -> None:
    export = write_heart_exam(tmp_path / "export", phases=2)
    index([export], tmp_path / "catalogue")
    assert left_out_tables(StoreReader(store), {}, [tmp_path / "catalogue"]) == ()


def test_a_store_of_a_protocol_unknown_here_is_still_shown(
    store: Path, catalogue: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.zarr"
    shutil.copytree(store, copy)
    marker = copy / "zarr.json"
    marker.write_text(marker.read_text().replace('"middle_of_two"', '"of_the_future"'))
    assert left_out_tables(StoreReader(copy), {}, [catalogue]) == ()
    assert "Store cardiac-sax" in write_report([catalogue, copy], tmp_path / "r.html").read_text("utf-8")


def test_a_store_at_a_url_is_shown_like_one_in_a_folder(store: Path, catalogue: Path, tmp_path: Path) -> None:
    pages = [
        write_report([catalogue, where], tmp_path / "r.html").read_text(encoding="utf-8")
        for where in (store, store.as_uri())
    ]
    assert pages[0] == pages[1]
    assert "Images left out of the store, and why" in pages[0]
