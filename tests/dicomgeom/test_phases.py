"""Proposals of end-diastole and end-systole: on written exams with a known beat, and on real ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from benchmarks.cine import biv_me_cases, circular, sunnybrook_cases
from dicomgeom import phase_table
from dicomgeom.catalogue import Catalogue, open_catalogue
from dicomgeom.errors import IntegrityError, WrongUse
from dicomgeom.heart import TOWARD_APEX
from dicomgeom.index import index
from dicomgeom.phase_table import phases_by_slice, read_phases, write_phases
from dicomgeom.phases import EdEs, propose_ed_es
from dicomgeom.plane import ImagePlane
from tests.dicomgeom.test_views import CENTRE_MM, long_axis, short_axis
from tests.helpers.dicom_files import uid, write_mr
from tests.helpers.real import PROJECT, real_exam

PHASES, ES, BEAT_MS = 12, 5, 900.0


def beating(plane: ImagePlane, moment: float) -> bytes:
    """Pixels of a bright ball that is smallest at ES/PHASES of the beat, cut by a plane."""
    x, y = np.meshgrid(np.arange(plane.columns), np.arange(plane.rows))
    points = plane.to_patient(np.stack([x, y], axis=-1))
    radius = np.interp(moment, [0, ES / PHASES, 1], [38, 26, 38])
    inside = np.linalg.norm(points - CENTRE_MM, axis=-1) < radius
    return np.where(inside, 900, 200).astype("<u2").tobytes()


def smaller(plane: ImagePlane) -> ImagePlane:
    """The same plane with fewer, larger pixels, about the same middle."""
    right, down = plane.right * 79.5 * 1.8, plane.down * 69.5 * 1.6
    origin = CENTRE_MM - right - down + (plane.normal @ (plane.centre_mm - CENTRE_MM)) * plane.normal
    return ImagePlane(origin, plane.right, plane.down, 5.4, 4.8, 54, 48, uid(4))


def write_cine(
    folder: Path, number: int, plane: ImagePlane, phases: int = PHASES, timed: bool = True, **more: Any
) -> None:
    small = smaller(plane)
    for phase in range(phases):
        timing: dict[str, Any] = {"TriggerTime": BEAT_MS * phase / phases, "NominalInterval": BEAT_MS}
        if not timed:
            timing = {"TriggerTime": None, "CardiacNumberOfImages": phases}
        write_mr(
            folder / f"{number}-{phase}",
            small,
            SeriesInstanceUID=uid(3, number),
            SeriesNumber=number,
            InstanceNumber=phase + 1,
            PixelData=beating(small, phase / phases),
            **timing,
            **more,
        )


def catalogue_of(export: Path) -> Catalogue:
    target = export.with_name("catalogue")
    index([export], target)
    return open_catalogue(target)


def proposals(catalogue: Catalogue) -> dict[str, EdEs]:
    return {
        view: propose_ed_es(catalogue, stack_id)
        for stack_id, view in catalogue.stacks.select("stack_id", "view").iter_rows()
    }


@pytest.fixture
def export(tmp_path: Path) -> Path:
    for number, offset in enumerate((-30, -15, 0, 15, 30)):
        write_cine(tmp_path / "export", number, short_axis(TOWARD_APEX, offset))
    write_cine(tmp_path / "export", 8, long_axis("4CH", TOWARD_APEX), phases=20)
    write_cine(tmp_path / "export", 9, long_axis("2CH", TOWARD_APEX))
    return tmp_path / "export"


def test_the_short_axis_tells_its_own_phases_and_those_of_views_with_other_counts(export: Path) -> None:
    told = proposals(catalogue_of(export))
    assert (told["SAX"].ed_phase, told["SAX"].es_phase) == (0, ES)
    assert told["SAX"].confidence > 0.7
    assert told["SAX"].es_rr_fraction == pytest.approx(ES / PHASES)
    assert (told["4CH"].ed_phase, told["4CH"].es_phase) == (0, round(20 * ES / PHASES))
    assert told["4CH"].evidence.startswith("from the short-axis stack")


def test_a_long_axis_view_alone_says_so_with_less_confidence(export: Path) -> None:
    catalogue = catalogue_of(export)
    (stack_id,) = catalogue.stacks.filter(pl.col("view") == "2CH")["stack_id"]
    alone, helped = propose_ed_es(catalogue, stack_id, alone=True), propose_ed_es(catalogue, stack_id)
    assert alone.es_phase is not None
    assert alone.confidence < helped.confidence


def test_moments_that_are_assumed_lower_the_confidence(tmp_path: Path) -> None:
    for number, offset in enumerate((-30, -15, 0, 15, 30)):
        write_cine(tmp_path / "export", number, short_axis(TOWARD_APEX, offset), timed=False)
    told = proposals(catalogue_of(tmp_path / "export"))["SAX"]
    assert (told.ed_phase, told.es_phase) == (0, ES)
    assert told.confidence <= 0.8
    assert "assumed" in told.evidence


def test_too_few_phases_and_images_that_are_gone_are_told_as_reasons(tmp_path: Path) -> None:
    write_cine(tmp_path / "export", 1, long_axis("4CH", TOWARD_APEX), phases=4)
    write_cine(tmp_path / "export", 2, long_axis("2CH", TOWARD_APEX))
    catalogue = catalogue_of(tmp_path / "export")
    for path in (tmp_path / "export").iterdir():
        path.unlink()
    reasons = sorted(told.evidence for told in proposals(catalogue).values())
    assert reasons == ["4 phases, at least 6 needed", "no slice whose images could be read"]
    assert all(told.ed_phase is None for told in proposals(catalogue).values())


def test_an_unknown_stack_is_refused(export: Path) -> None:
    with pytest.raises(WrongUse, match="no stack 'st-1'"):
        propose_ed_es(catalogue_of(export), "st-1")


def test_the_table_is_optional_and_is_read_back_as_written(export: Path) -> None:
    catalogue = catalogue_of(export)
    assert read_phases(catalogue.folder) is None
    written = write_phases(catalogue)
    assert read_phases(catalogue.folder).equals(written)
    assert sorted(written["stack_id"]) == sorted(catalogue.stacks["stack_id"])
    (catalogue.folder / "phases.parquet").write_bytes(b"not a table")
    with pytest.raises(IntegrityError, match="index again"):
        read_phases(catalogue.folder)


def test_slices_with_other_counts_of_phases_are_matched_by_their_moment_in_the_beat() -> None:
    images = pl.DataFrame(
        {
            "slice_index": [0] * 4 + [1] * 8 + [2] * 2,
            "phase_index": [*range(4), *range(8), *range(2)],
            "rr_fraction": [n / 4 for n in range(4)] + [0.02 + n / 8 for n in range(8)] + [None, None],
        }
    )
    told = EdEs(0, 2, 1.0, "", ed_rr_fraction=0.98, es_rr_fraction=0.5)
    assert phases_by_slice(images, told).rows() == [(0, 0, 2), (1, 0, 4), (2, 0, None)]
    assert phases_by_slice(images, EdEs(None, None, 0.0, "")).is_empty()


def test_every_column_of_the_table_stands_in_the_reference() -> None:
    section = (
        (PROJECT / "docs" / "reference.md").read_text().split("### phases.parquet")[1].split("\n### ")[0]
    )
    for column in phase_table.PHASES:
        assert f"| `{column.name}` |" in section
        assert f"| {column.meaning} |" in section


@pytest.mark.real
def test_on_real_exams_proposals_lie_within_two_phases_of_the_contours(tmp_path: Path) -> None:
    cases = [
        *sunnybrook_cases(real_exam("cardiac-sunnybrook"), tmp_path / "a"),
        *biv_me_cases(real_exam("cardiac-biv-me"), tmp_path / "b"),
    ]
    checked = [case for case in cases if not case[1].endswith("alone")]
    assert len(checked) == 6
    for _, _, phases, ed, es, told in checked:
        assert abs(circular(told.ed_phase, ed, phases)) <= 2
        assert abs(circular(told.es_phase, es, phases)) <= 1
        assert told.confidence > 0.7
