"""Every trap is asked for by name, and the catalogue does with it what the design says."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from dicomgeom.catalogue import Catalogue, open_catalogue
from dicomgeom.errors import UnusableFile, WrongUse
from dicomgeom.index import index
from dicomgeom.pixels import read_image
from phantoms import traps_files
from phantoms.anatomies import exam_of
from phantoms.exam import Exam
from phantoms.exam_files import ExamFile, copied
from phantoms.exam_writer import DATA_SET_TRAPS, ExamWriter
from phantoms.export import write_exams
from phantoms.options import ExportOptions
from phantoms.transfer_syntax import SYNTAXES
from phantoms.traps import ON_DATA_SETS, ON_FILES, PLANNED, TRAPS

SMALL = ExportOptions(
    phases=3,
    spacing_mm=8.0,
    columns=36,
    rows=32,
    vendor="siemens",
    series_per_slice_share=0,
    enhanced_share=0,
    compressed_share=0,
    dicomdir_share=0,
    late_enhancement_share=0,
    flow_share=0,
    repeat_share=0,
    nifti=False,
)
SEED = 3
USUAL = {"2CH": 1, "3CH": 1, "4CH": 1, "SAX": 12}
"""Slices of each view of the exam that is spoilt."""


@dataclass(frozen=True)
class Spoilt:
    """What the catalogue says of an exam with traps."""

    folder: Path
    catalogue: Catalogue
    reasons: dict[str, int]

    @property
    def views(self) -> dict[str, int]:
        """Cine stacks: slices by view (of several, the largest)."""
        cine = self.catalogue.stacks.filter(pl.col("kind") == "cine").sort("n_slices")
        return dict(zip(cine["view"], cine["n_slices"], strict=True))

    @property
    def kinds(self) -> set[str]:
        return set(self.catalogue.stacks["kind"])

    @property
    def stack_reasons(self) -> set[str]:
        return {word for text in self.catalogue.stacks["reason"] for word in text.split("; ") if word}


def indexed(folder: Path, catalogue: Path) -> Spoilt:
    summary = index([folder], catalogue)
    return Spoilt(folder, open_catalogue(catalogue), dict(summary.reasons))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Exam, list[ExamFile]]:
    """One exam, drawn once: traps are done to copies of its files."""
    exam = exam_of("cardiac", SEED, 0, SMALL)
    writer = ExamWriter(exam, "EXAM", tmp_path_factory.mktemp("truth"))
    return exam, [file for series in exam.series for file in writer.files_of(series)]


def spoilt(
    made: tuple[Exam, list[ExamFile]], tmp_path: Path, *traps: str, syntax: str = "explicit"
) -> Spoilt:
    """The exam with traps on its data sets and files, indexed."""
    exam, files = made
    files = [replace(copied(file), syntax=SYNTAXES[syntax]) for file in files]
    for trap in traps:
        if trap in DATA_SET_TRAPS:
            DATA_SET_TRAPS[trap](exam, files, exam.draws(trap))
    folder = tmp_path / "export"
    ExamWriter(exam, "EXAM", tmp_path / "truth").save(files, folder)
    for trap in traps:
        if trap in traps_files.ACTIONS:
            traps_files.ACTIONS[trap](exam, folder, exam.draws(trap))
    return indexed(folder, tmp_path / "catalogue")


@pytest.fixture(scope="module")
def plain(
    made: tuple[Exam, list[ExamFile]], tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, int], np.ndarray]:
    """Images of the exam as it should be read."""
    return images_of(spoilt(made, tmp_path_factory.mktemp("plain")))


def images_of(found: Spoilt) -> dict[tuple[str, int], np.ndarray]:
    """Middle short-axis images by SOP Instance UID and frame."""
    rows = found.catalogue.images.filter(pl.col("slice_index") == 5).head(3)
    return {
        (row["sop_instance_uid"], row["frame"]): read_image(row["root"], row["path"], row["frame"])
        for row in rows.iter_rows(named=True)
    }


def test_every_trap_has_an_action_and_a_sentence() -> None:
    assert set(DATA_SET_TRAPS) == set(ON_DATA_SETS)
    assert set(traps_files.ACTIONS) == set(ON_FILES)
    assert len(TRAPS) == len(PLANNED) + len(ON_DATA_SETS) + len(ON_FILES)
    assert all(TRAPS.values())


def test_an_unknown_trap_is_refused_with_the_list_of_all() -> None:
    with pytest.raises(WrongUse, match=r"no trap 'swamp'; there is: series-per-slice, .*fragmented"):
        ExportOptions(traps=("swamp",))
    with pytest.raises(WrongUse, match="exclude each other"):
        ExportOptions(traps=("rle", "jpeg-ls"))


HARMLESS = (
    "localizer-shares-series", "frame-per-file", "no-frame", "frame-changes", "study-per-series",
    "binary-copies",
    "slice-thickness-wrong", "spacing-negative", "spacing-absent", "instance-numbers-repeated",
    "instance-numbers-absent", "instance-numbers-shuffled", "slice-location-wrong", "trigger-time-constant",
    "trigger-time-absent", "trigger-time-shuffled", "temporal-position-constant", "cardiac-images-absent",
    "cosines-rounded", "derived-originals", "derived-images", "complex-images", "t1-map", "perfusion",
    "late-header", "siemens-mosaic", "uih-grid", "character-sets", "long-decimals", "comma-decimals",
    "empty-values", "no-preamble", "no-file-meta", "symlink-loop", "zipped", "several-folders", "file-order",
)  # fmt: skip
"""All views are found with all their slices in spite of these."""


@pytest.mark.parametrize("trap", HARMLESS)
def test_views_are_found_in_spite_of_a_trap(
    made: tuple[Exam, list[ExamFile]], tmp_path: Path, trap: str
) -> None:
    found = spoilt(made, tmp_path, trap)
    assert found.views == USUAL
    assert not found.reasons


REASONS = {
    "mosaic-stripped": "siemens-mosaic",
    "secondary-capture": "not-mr",
    "structured-report": "not-mr",
    "segmentation-object": "not-mr",
    "colour": "colour",
    "cosines-skewed": "bad-geometry",
    "truncated": "truncated",
    "truncated-header": "truncated",
    "wrong-length": "unreadable-header",
    "empty-file": "empty-file",
    "not-dicom": "not-dicom",
    "dead-link": "dead-link",
    "climbing-archive": "path-climbs-out",
    "zip-bomb": "decompression-bomb",
    "private-storage": "not-an-image",
}


@pytest.mark.parametrize("trap", REASONS)
def test_what_cannot_be_read_is_counted_with_its_reason(
    made: tuple[Exam, list[ExamFile]], tmp_path: Path, trap: str
) -> None:
    found = spoilt(made, tmp_path, trap)
    assert REASONS[trap] in found.reasons
    assert found.views == USUAL


@pytest.mark.parametrize(
    ("trap", "reason"),
    [
        ("missing-slice", "gap"),
        ("missing-phases", "phases-uneven"),
        ("same-uid-other-content", "uid-shared"),
        ("frame-per-file", "frame-for-every-file"),
        ("no-frame", "no-frame-stated"),
        ("study-per-series", "studies-merged"),
    ],
)
def test_a_stack_says_what_is_wrong_with_it(
    made: tuple[Exam, list[ExamFile]], tmp_path: Path, trap: str, reason: str
) -> None:
    assert reason in spoilt(made, tmp_path, trap).stack_reasons


@pytest.mark.parametrize(
    ("trap", "kind"),
    [("complex-images", "imaginary"), ("t1-map", "map"), ("perfusion", "dynamic"), ("uih-grid", "static")],
)
def test_other_images_on_the_same_planes_are_other_kinds(
    made: tuple[Exam, list[ExamFile]], tmp_path: Path, trap: str, kind: str
) -> None:
    assert kind in spoilt(made, tmp_path, trap).kinds


def test_a_table_that_moved_leaves_no_lines_across(made: tuple[Exam, list[ExamFile]], tmp_path: Path) -> None:
    found = spoilt(made, tmp_path, "frame-changes")
    views = dict(zip(found.catalogue.stacks["stack_id"], found.catalogue.stacks["view"], strict=True))
    lines = found.catalogue.lines
    across = [
        row
        for row in lines.iter_rows(named=True)
        if (views[row["stack_id"]] == "SAX") != (row["partner_view"] == "SAX")
    ]
    assert not across


@pytest.mark.parametrize("trap", ["siemens-mosaic", "uih-grid"])
def test_tiles_lie_where_the_slices_lie(made: tuple[Exam, list[ExamFile]], tmp_path: Path, trap: str) -> None:
    images = spoilt(made, tmp_path, trap).catalogue.images
    tiles = images.filter(pl.col("kind") == "static")
    cine = images.filter(
        (pl.col("kind") == "cine") & (pl.col("slice_index") >= 0) & (pl.col("phase_index") == 0)
    )
    slices = np.array(cine["origin_mm"].to_list())
    assert tiles.height == USUAL["SAX"]
    for origin in np.array(tiles["origin_mm"].to_list()):
        assert np.linalg.norm(slices - origin, axis=1).min() < 0.01


@pytest.mark.parametrize(
    "trap", ["monochrome1", "signed", "overlay-bits", "rescaled", "few-bits", "fragmented", "zipped"]
)
def test_pixels_come_out_the_same(
    made: tuple[Exam, list[ExamFile]], plain: dict[tuple[str, int], np.ndarray], tmp_path: Path, trap: str
) -> None:
    syntax = "jpeg-lossless" if trap == "fragmented" else "explicit"
    found = images_of(spoilt(made, tmp_path / "trap", trap, syntax=syntax))
    assert found.keys() == plain.keys()
    for key, image in found.items():
        expected = plain[key] // 4 if trap == "few-bits" else plain[key]
        if trap == "monochrome1":  # turned round, so that the highest value is white again
            expected, image = expected - expected.mean(), image - image.mean()
        np.testing.assert_allclose(image, expected, atol=1.01 if trap in ("rescaled", "monochrome1") else 0)


@pytest.mark.parametrize("syntax", [name for name in SYNTAXES if name not in ("explicit", "jpeg-extended")])
def test_pixels_survive_every_transfer_syntax(
    made: tuple[Exam, list[ExamFile]], plain: dict[tuple[str, int], np.ndarray], tmp_path: Path, syntax: str
) -> None:
    found = images_of(spoilt(made, tmp_path / "packed", syntax=syntax))
    assert found.keys() == plain.keys()
    for key, image in found.items():
        if SYNTAXES[syntax].lossy:
            assert np.corrcoef(image.ravel(), plain[key].ravel())[0, 1] > 0.99
        else:
            np.testing.assert_array_equal(image, plain[key])


def test_twelve_bit_jpeg_is_read_or_names_the_missing_decoder(
    made: tuple[Exam, list[ExamFile]], plain: dict[tuple[str, int], np.ndarray], tmp_path: Path
) -> None:
    found = spoilt(made, tmp_path, syntax="jpeg-extended")
    assert found.views == USUAL
    with contextlib.suppress(UnusableFile):  # no free decoder of twelve bits is certain to be there
        images = images_of(found)
        assert all(np.corrcoef(images[key].ravel(), plain[key].ravel())[0, 1] > 0.99 for key in plain)
        return
    with pytest.raises(UnusableFile, match=r"JPEG Extended.*compressed images need"):
        images_of(found)


def planned(tmp_path: Path, *traps: str) -> Spoilt:
    written = write_exams(tmp_path / "export", exams=1, seed=SEED, options=SMALL, traps=traps)
    return indexed(written.folder, tmp_path / "catalogue")


def test_planned_traps_add_series_and_the_cines_are_still_found(tmp_path: Path) -> None:
    found = planned(
        tmp_path, "series-per-slice", "repeat", "late-enhancement", "flow", "anisotropic",
        "foreign-descriptions",
        "operator-error", "dicomdir-dead-references", "rle",
    )  # fmt: skip
    assert found.views == USUAL
    assert {"static", "flow-phase", "cine"} <= found.kinds
    assert {"joined", "repeated", "chosen-of-repeats"} <= found.stack_reasons
    assert found.reasons == {"dicomdir": 1}
    images = found.catalogue.images
    assert (images["row_spacing_mm"] / images["column_spacing_mm"]).max() == pytest.approx(1.12, abs=0.001)


def test_frames_in_no_order_and_indices_that_contradict_do_no_harm(tmp_path: Path) -> None:
    found = planned(tmp_path, "enhanced-frames-shuffled", "enhanced-dimensions-wrong", "wrong-descriptions")
    assert found.views == USUAL
    truth = pl.read_parquet(tmp_path / "export-truth" / "images.parquet").filter(pl.col("kind") == "cine")
    both = truth.join(found.catalogue.images, on=["sop_instance_uid", "frame"], suffix="_found")
    assert both.height == truth.height
    assert (both["phase_index"] == both["phase_index_found"]).all()


def test_a_stack_that_tilts_is_several_and_one_that_shears_says_so(tmp_path: Path) -> None:
    tilted = planned(tmp_path / "tilting", "tilting-stack", "empty-descriptions").catalogue.stacks
    assert tilted.filter((pl.col("view") == "SAX") & (pl.col("n_slices") == 1)).height > 6
    assert "sheared" in planned(tmp_path / "sheared", "sheared-stack").stack_reasons
