"""A catalogue for people: what was found, how sure that is, and what was left out and why.

Exams and patients are named by hashed keys. Of all texts in a catalogue only words of known lists
are printed (views, kinds, reasons, the sentences of `evidence.py`): what people typed stays there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from dicomgeom.catalogue import Catalogue, open_catalogue
from dicomgeom.progress import Progress, silent
from dicomgeom.reasons import FILE_REASONS, IMAGE_REASONS, STACK_REASONS
from reporting import colours
from reporting.catalogue_exams import exam_of, view_rank
from reporting.charts import Bar, bars
from reporting.evidence import OTHER_REASON
from reporting.facets import Facets
from reporting.ration import Ration
from reporting.sections import BarGroup, Exam, Fact, Section, Table, counted

EXAMS_PICTURED = 12
"""Exams with pictures: an export has thousands, a page is for looking at."""

EXAMS_LISTED = 60
"""Exams with a table of their stacks, folded where they have no pictures."""


def catalogue_section(folder: Path, anchor: str, ration: Ration, *, progress: Progress = silent) -> Section:
    """Gather what the page says about a catalogue.

    Raises
    ------
    IntegrityError
        When the folder is no whole catalogue.
    """
    catalogue = open_catalogue(folder)
    studies = _ordered_studies(catalogue.stacks)
    exams, notes = _exams(catalogue, studies, ration, progress)
    return Section(
        kind="catalogue",
        title="Catalogue",
        anchor=anchor,
        lead="What the export holds, and how its planes lie. Coloured lines show where the planes of the "
        "other views cut an image.",
        facts=_facts(catalogue),
        bar_groups=_bar_groups(catalogue),
        tables=_tables(catalogue),
        exams=exams,
        notes=notes,
    )


def _exams(
    catalogue: Catalogue, studies: list[str], ration: Ration, progress: Progress
) -> tuple[tuple[Exam, ...], tuple[str, ...]]:
    listed = studies[:EXAMS_LISTED]
    exams = []
    for number, study in enumerate(listed):
        progress("drawing exams", done=number, total=len(listed))
        exams.append(exam_of(catalogue, study, number + 1, ration if number < EXAMS_PICTURED else Ration(0)))
    folded = sum(exam.folded for exam in exams)
    left = len(studies) - len(listed)
    notes = []
    if folded:
        notes.append(
            f"Pictures of {len(exams) - folded:,} of {counted(len(studies), 'exam')}; the others are listed, "
            "so that this file stays small."
        )
    if left:
        notes.append(f"{counted(left, 'more exam')} not listed here; `anatprep show` lists all.")
    return tuple(exams), tuple(notes)


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
    stacks = catalogue.stacks
    views = dict(stacks["view"].value_counts().iter_rows())
    ordered = {view: views[view] for view in sorted(views, key=view_rank)}
    shades = {view: colours.of_view(view) for view in ordered}
    kinds = dict(stacks["kind"].value_counts().sort(["count", "kind"], descending=[True, False]).iter_rows())
    return (
        BarGroup("Stacks by view", bars(ordered, shades), "no stack was found"),
        BarGroup("Stacks by kind", bars(kinds), "no stack was found"),
        BarGroup("Stacks by confidence of their view", _confidence_bars(stacks), "no stack was found"),
    )


def _confidence_bars(stacks: pl.DataFrame) -> tuple[Bar, ...]:
    edges = (0.0, 0.5, 0.7, 0.9, 0.99)
    sure = stacks["confidence"].drop_nulls().to_list()
    counts = {
        f"{low:g} and more" if high is None else f"{low:g} to {high:g}": sum(
            low <= one and (high is None or one < high) for one in sure
        )
        for low, high in zip(edges, (*edges[1:], None), strict=True)
    }
    return bars(dict(reversed(counts.items()))) if sure else ()


def _tables(catalogue: Catalogue) -> tuple[Table, ...]:
    files = catalogue.files.filter(pl.col("status") != "ok")["reason"]
    images = catalogue.images.filter(pl.col("left_out") != "")["left_out"]
    words = catalogue.stacks.select(
        pl.concat_str("reason", "frame_reason", separator="; ", ignore_nulls=True).str.split("; ").explode()
    ).to_series()
    return (
        _reason_table("Files left out, and why", "files", files, FILE_REASONS),
        _reason_table("Images in no stack, and why", "images", images, IMAGE_REASONS),
        _reason_table("Remarks on stacks", "stacks", words.filter(words != ""), STACK_REASONS),
    )


def _reason_table(caption: str, what: str, words: pl.Series, known: Mapping[str, str]) -> Table:
    counts: Counter[str] = Counter()
    for word, count in words.drop_nulls().value_counts().iter_rows():
        counts[word if word in known else OTHER_REASON] += count
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return Table(
        ("reason", "what it means", what),
        tuple(
            (word, known.get(word, "`anatprep explain` shows it"), f"{count:,}") for word, count in ordered
        ),
        caption=caption,
        numeric=frozenset({2}),
        facets=tuple(Facets(reasons=(word,)) for word, _ in ordered),
        note="" if counts else "none",
    )


def _ordered_studies(stacks: pl.DataFrame) -> list[str]:
    """Exams with most views first: those are what one wants to see."""
    telling = stacks.filter(~pl.col("view").is_in(["OTHER"])).group_by("study_instance_uid")
    richest = dict(telling.agg(pl.col("view").n_unique()).iter_rows())
    return sorted(stacks["study_instance_uid"].unique(), key=lambda study: (-richest.get(study, 0), study))
