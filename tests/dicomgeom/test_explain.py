"""Each explanation says what was measured, against which limit, and what followed."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from dicomgeom import reasons
from dicomgeom.catalogue import Catalogue, open_catalogue
from dicomgeom.errors import WrongUse
from dicomgeom.explain import explain
from dicomgeom.index import index
from dicomgeom.privacy import hashed
from tests.helpers.dicom_files import axial, uid, write_mr
from tests.helpers.real import PROJECT
from tests.helpers.special_files import mosaic_dataset, save


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    """An export with a cine stack, a localizer in the same series, a mosaic and files of no use."""
    folder = tmp_path_factory.mktemp("explain")
    export = folder / "export"
    for place in range(3):
        for phase in range(4):
            write_mr(
                export / f"cine-{place}-{phase}",
                axial(8.0 * place + (8.0 if place == 2 else 0.0)),
                TriggerTime=30.0 * phase,
                NominalInterval=900,
                CardiacNumberOfImages=4,
                ImageOrientationPatient=["1", "0", "0", "0", "1.0004", "0"],
            )
    for number in range(2):
        plane = axial(4.0 * number).moved(np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]]), [0, 0, 0])
        write_mr(export / f"scout-{number}", plane, EchoTime="5")
    write_mr(export / "mip", axial(), ImageType=["DERIVED", "SECONDARY", "MIP"], SeriesInstanceUID=uid(3, 9))
    save(export / "mosaic", mosaic_dataset(axial(), 4, 5.0, SeriesInstanceUID=uid(3, 7), EchoTime="30"))
    save(export / "bare", mosaic_dataset(axial(), 4, 5.0, csa=False))
    (export / "notes.txt").write_text("nothing")
    index([export], folder / "catalogue")
    return open_catalogue(folder / "catalogue")


def told(catalogue: Catalogue, identifier: str) -> str:
    return "\n".join(explain(catalogue, identifier))


def test_a_file_without_image_is_explained_by_its_word_and_what_it_means(catalogue: Catalogue) -> None:
    text = told(catalogue, "bare")
    assert text.startswith("file bare: skipped, siemens-mosaic (")
    assert reasons.FILE_REASONS["siemens-mosaic"] in text
    assert reasons.FILE_REASONS["not-dicom"] in told(catalogue, "notes.txt")


def test_an_image_is_explained_by_type_place_time_and_stack(catalogue: Catalogue) -> None:
    text = told(catalogue, "cine-1-2")
    assert "image type ORIGINAL\\PRIMARY\\M -> original (no word says otherwise)" in text
    assert "direction cosines mended, largest residual 0.0008 (against 0.002) -> counted as rounding" in text
    assert "24 x 16 pixels of 1.5 x 2 mm" in text
    assert "trigger time 60 ms, R-R interval 900 ms" in text
    assert "slice 1, phase 2 (by trigger-time)" in text
    assert "-> derived (by the word MIP)" in told(catalogue, "mip")
    assert f"1 in no stack, derived: {reasons.IMAGE_REASONS['derived']}" in told(catalogue, "mip")


def test_one_tile_is_named_by_path_and_frame(catalogue: Catalogue) -> None:
    assert "centre of pixel (0, 0) at (-20.00, -15.00, 15.00)" in told(catalogue, "mosaic#3")
    with pytest.raises(WrongUse, match="no frame 9"):
        explain(catalogue, "mosaic#9")


def test_a_series_is_explained_by_what_differs_in_it(catalogue: Catalogue) -> None:
    text = told(catalogue, uid(3))
    assert "planes differ by up to 90.00 degrees (against 1) -> several orientations" in text
    assert "echo time, ms: 1.5, 5 (gaps against 3%) -> 2 contrasts" in text
    assert "-> 2 stacks" in text


def test_a_stack_is_explained_by_limits_and_by_words_with_their_meaning(catalogue: Catalogue) -> None:
    row = catalogue.stacks.filter(pl.col("kind") == "cine").row(0, named=True)
    text = told(catalogue, row["stack_id"])
    assert "spacing 12.00 mm, largest deviation 4.00 mm (against 0.60), shear 0.0 degrees (against 1)" in text
    assert "-> irregular" in text
    assert "contrast: sequence GR, TE 1.5, TR 3.0, flip angle 50.0" in text
    assert (
        "4 images at a plane, trigger times up to 90 ms, R-R interval 900 ms, cardiac images stated 4" in text
    )
    assert "(against 1.3 intervals, and half the images) -> cine" in text
    assert "trigger-time tells the images apart in 3 of 3 planes -> decides their order" in text


@pytest.mark.parametrize(
    ("kind", "because"), [("localizer", "several orientations"), ("static", "one image at each plane")]
)
def test_a_kind_is_explained_by_what_made_it(catalogue: Catalogue, kind: str, because: str) -> None:
    for identifier in catalogue.stacks.filter(pl.col("kind") == kind)["stack_id"]:
        assert because in told(catalogue, identifier)


def test_a_study_is_explained_by_its_frames_and_lines(catalogue: Catalogue) -> None:
    text = told(catalogue, uid(2))
    assert "1 frames of reference stated, 0 frames without one" in text
    assert re.search(r"\d+ lines between its planes, \d+ of them inside both images", text)
    assert text.count("stack st-") == len(catalogue.stacks)


def test_every_reason_is_listed_once_and_stands_in_the_reference() -> None:
    reference = (PROJECT / "docs" / "reference.md").read_text()
    section = reference.split("### Reasons")[1].split("\n## ")[0]
    for column, words in reasons.REASONS.items():
        for word, meaning in words.items():
            assert f"| `{column}` | `{word}` | {meaning} |" in section


def test_every_word_that_refuses_a_file_is_listed() -> None:
    said = set()
    for path in (PROJECT / "dicomgeom").glob("*.py"):
        source = path.read_text()
        said |= set(re.findall(r"UnusableFile\(\s*\"([a-z-]+)\"", source))
        said |= set(re.findall(r"refused\s*=\s*\"([a-z-]+)\"", source))
        said |= set(re.findall(r"^REASON: Final = \"([a-z-]+)\"", source, re.MULTILINE))
    assert said <= set(reasons.FILE_REASONS), said - set(reasons.FILE_REASONS)
    assert {"siemens-mosaic", "no-position", "dead-link"} <= said


def test_explain_tells_what_was_measured_for_a_stack_a_file_a_uid_and_a_patient(
    export: Path, tmp_path: Path
) -> None:
    (export / "notes.dcm").write_text("text")
    index([export], tmp_path / "catalogue")
    catalogue = open_catalogue(tmp_path / "catalogue")
    sax = catalogue.stacks.filter(pl.col("view") == "SAX")["stack_id"].item()
    told = "\n".join(explain(catalogue, sax))
    assert "angle of the normal to (1, -1, -1)" in told
    assert "cut by 4CH in 6 of its slices" in told
    assert "not-dicom" in explain(catalogue, "notes.dcm")[0]
    image = catalogue.images.row(0, named=True)
    for name in ("sop_instance_uid", "series_instance_uid", "study_instance_uid", "patient_key", "path"):
        assert len(explain(catalogue, image[name])) > 2
    with pytest.raises(WrongUse, match="nothing in the catalogue"):
        explain(catalogue, "unheard of")


def test_explain_traces_the_keys_that_reports_and_stores_print(export: Path, tmp_path: Path) -> None:
    index([export], tmp_path / "catalogue")
    catalogue = open_catalogue(tmp_path / "catalogue")
    stack = catalogue.stacks.row(0, named=True)
    for name in (stack["stack_id"], stack["study_instance_uid"]):
        key = hashed(catalogue.salt, name).hex()
        assert explain(catalogue, key[:10]) == explain(catalogue, key) == explain(catalogue, name)
    assert explain(catalogue, stack["patient_key"][:10]) == explain(catalogue, stack["patient_key"])


def test_a_path_is_known_absolute_from_here_and_through_links(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = Path(catalogue.files["root"][0])
    expected = told(catalogue, "cine-1-2")
    assert told(catalogue, str(export / "cine-1-2")) == expected
    monkeypatch.chdir(export.parent)
    assert told(catalogue, "export/cine-1-2") == expected
    assert told(catalogue, "./export/../export/cine-1-2#0").endswith(
        expected.partition("\n")[2].partition("\n")[2]
    )
    link = export.parent / "link"
    link.symlink_to("export", target_is_directory=True)
    assert told(catalogue, "link/cine-1-2") == expected
    link.unlink()
    with pytest.raises(WrongUse, match=re.escape(f"give a path (absolute, from here, or below {export})")):
        explain(catalogue, "cine-1-2-not")


def test_a_reason_without_a_detail_has_no_empty_brackets(tmp_path: Path) -> None:
    write_mr(tmp_path / "export" / "a", axial())
    (tmp_path / "export" / "dead").symlink_to("nowhere")
    index([tmp_path / "export"], tmp_path / "catalogue")
    first, meaning = explain(open_catalogue(tmp_path / "catalogue"), "dead")
    assert first == "file dead: unreadable, dead-link"
    assert meaning.endswith(reasons.FILE_REASONS["dead-link"])
