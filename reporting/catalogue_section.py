"""A catalogue for people: what was found, how sure that is, and what was left out and why.

Exams are named by their hashed key. Of all texts in a catalogue only words of known lists are
printed (views, kinds, reasons, the sentences of `evidence.py`): what people typed stays there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from dicomgeom.catalogue import Catalogue, open_catalogue
from dicomgeom.errors import UnusableFile
from dicomgeom.pixels import read_image
from dicomgeom.privacy import hashed
from dicomgeom.progress import Progress, silent
from dicomgeom.reasons import FILE_REASONS, IMAGE_REASONS
from reporting import colours
from reporting.charts import bars
from reporting.evidence import shown_evidence, shown_reasons
from reporting.pictures import Picture, grey_png, lines_over
from reporting.sections import BarGroup, Exam, Fact, Legend, Section, StackRow, Strip, counted

EXAMS_PICTURED = 6
"""Exams with pictures: an export has thousands, a page is for looking at."""

EXAMS_LISTED = 60
"""Exams with a table of their stacks, folded where they have no pictures."""

REASONS_LISTED = 20

VIEW_ORDER = ("SAX", "4CH", "2CH", "3CH", "RV2CH", "RVOT", "LAX", "SAG", "COR", "AX", "OTHER")

UNKNOWN_REASON = "another reason"


def catalogue_section(folder: Path, anchor: str, *, progress: Progress = silent) -> Section:
    """Gather what the page says about a catalogue.

    Raises
    ------
    IntegrityError
        When the folder is no whole catalogue.
    """
    catalogue = open_catalogue(folder)
    studies = _ordered_studies(catalogue.stacks)
    listed = studies[:EXAMS_LISTED]
    exams = []
    for number, study in enumerate(listed):
        progress("drawing exams", done=number, total=len(listed))
        exams.append(_exam(catalogue, study, number + 1, pictured=number < EXAMS_PICTURED))
    left = len(studies) - len(listed)
    notes = [f"{counted(left, 'more exam')} not listed here; `anatprep show` lists all."] if left else []
    return Section(
        kind="catalogue",
        title="Catalogue",
        anchor=anchor,
        lead="What the export holds, and how its planes lie. Coloured lines show where the planes of the "
        "other views cut an image.",
        facts=_facts(catalogue),
        bar_groups=_bar_groups(catalogue),
        exams=tuple(exams),
        notes=tuple(notes),
    )


def _facts(catalogue: Catalogue) -> tuple[Fact, ...]:
    files, images, stacks = catalogue.files, catalogue.images, catalogue.stacks
    read = files.filter(pl.col("status") == "ok").height
    return (
        Fact(f"{images['patient_key'].n_unique():,}", "patients"),
        Fact(f"{images['study_instance_uid'].n_unique():,}", "exams"),
        Fact(f"{stacks.height:,}", "stacks"),
        Fact(f"{images.height:,}", "images"),
        Fact(f"{read:,} of {files.height:,}", "files used"),
    )


def _bar_groups(catalogue: Catalogue) -> tuple[BarGroup, ...]:
    views = dict(catalogue.stacks["view"].value_counts().iter_rows())
    ordered = {view: views[view] for view in sorted(views, key=_view_rank)}
    shades = {view: colours.of_view(view) for view in ordered}
    left_out = catalogue.files.filter(pl.col("status") != "ok")["reason"]
    unplaced = catalogue.images.filter(pl.col("left_out") != "")["left_out"]
    return (
        BarGroup("Stacks by view", bars(ordered, shades), "no stack was found"),
        BarGroup("Files left out, and why", bars(_counts(left_out, FILE_REASONS)), "no file was left out"),
        BarGroup(
            "Images in no stack, and why", bars(_counts(unplaced, IMAGE_REASONS)), "every image is in a stack"
        ),
    )


def _counts(words: pl.Series, known: Mapping[str, str]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for word, count in words.value_counts().iter_rows():
        counts[word if word in known else UNKNOWN_REASON] += count
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:REASONS_LISTED])


def _view_rank(view: str) -> tuple[int, str]:
    return (VIEW_ORDER.index(view) if view in VIEW_ORDER else len(VIEW_ORDER), view)


def _ordered_studies(stacks: pl.DataFrame) -> list[str]:
    """Exams with most views first: those are what one wants to see."""
    telling = stacks.filter(~pl.col("view").is_in(["OTHER"])).group_by("study_instance_uid")
    richest = dict(telling.agg(pl.col("view").n_unique()).iter_rows())
    return sorted(stacks["study_instance_uid"].unique(), key=lambda study: (-richest.get(study, 0), study))


def _exam(catalogue: Catalogue, study: str, number: int, *, pictured: bool) -> Exam:
    stacks = sorted(
        catalogue.stacks.filter(pl.col("study_instance_uid") == study).iter_rows(named=True),
        key=lambda row: (_view_rank(row["view"]), row["series_number"] or 0, row["stack_id"]),
    )
    key = hashed(catalogue.salt, study).hex()[:10]
    known = [row["view"] for row in stacks if row["view"] != "OTHER" and row["kind"] != "localizer"]
    views = ", ".join(dict.fromkeys(known))
    return Exam(
        key=key,
        title=f"Exam {number}: {views or 'no known view'}",
        stacks=tuple(_stack_row(row, place + 1) for place, row in enumerate(stacks)),
        strips=_strips(catalogue, stacks) if pictured else (),
    )


def _stack_row(row: Mapping[str, Any], number: int) -> StackRow:
    spacing = "" if row["spacing_mm"] is None else f"{row['spacing_mm']:.1f} mm"
    if spacing and not row["regular"]:
        spacing += f" ± {row['spacing_max_deviation_mm'] or 0:.1f}"
    notes = dict.fromkeys((*shown_reasons(row["reason"]), *shown_reasons(row["frame_reason"])))
    return StackRow(
        name=f"{number}",
        view=row["view"],
        colour=colours.of_view(row["view"]),
        confidence=row["confidence"],
        kind=row["kind"],
        size=f"{row['n_slices']} × {row['n_phases']}",
        spacing=spacing,
        notes=tuple(notes),
        evidence=shown_evidence(row["evidence"]),
    )


def _strips(catalogue: Catalogue, stacks: list[dict[str, Any]]) -> tuple[Strip, ...]:
    pictures: list[Picture] = []
    partners: list[str] = []
    for number, row in enumerate(stacks):
        if row["kind"] == "localizer" or row["superseded_by"]:
            continue
        pictures.append(_picture(catalogue, row, number + 1, partners))
    if not pictures:
        return ()
    seen = sorted(set(partners), key=_view_rank)
    legend = tuple(Legend(view, colours.of_view(view)) for view in seen)
    return (Strip("The central image of each stack", tuple(pictures), legend),)


def _picture(catalogue: Catalogue, stack: Mapping[str, Any], number: int, partners: list[str]) -> Picture:
    """Draw the central slice of a stack, first phase; adds the partner views it shows to `partners`."""
    here = pl.col("stack_id") == stack["stack_id"]
    middle = (stack["n_slices"] - 1) // 2
    images = catalogue.images.filter(here & (pl.col("slice_index") == middle))
    row = images.sort("phase_index", nulls_last=False).row(0, named=True)
    caption = f"{stack['view']}, stack {number}"
    note = f"slice {middle + 1} of {stack['n_slices']}"
    try:
        png = grey_png(read_image(row["root"], row["path"], row["frame"]))
    except UnusableFile as error:
        why = FILE_REASONS.get(error.reason, UNKNOWN_REASON)
        return Picture("", row["columns"], row["rows"], caption=caption, note=f"no pixels: {why}")
    lines = catalogue.lines.filter(here & (pl.col("slice_index") == middle) & pl.col("crosses"))
    views = lines["partner_view"].to_list()
    partners.extend(views)
    return Picture(
        png,
        row["columns"],
        row["rows"],
        row["column_spacing_mm"],
        row["row_spacing_mm"],
        lines=lines_over(
            lines.select("a", "b", "c").to_numpy(), views, columns=row["columns"], rows=row["rows"]
        ),
        caption=caption,
        note=note,
        colour=colours.of_view(stack["view"]),
    )
