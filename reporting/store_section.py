"""A store for people: how much is in it, and the labels drawn over the images they belong to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dicomgeom.progress import Progress, silent
from pretext_targets.drawing import HEATMAP_LEVELS, draw_heatmaps
from pretext_targets.reader import StoreReader
from pretext_targets.store import NOT_ANNOTATED, SPLITS
from reporting import colours
from reporting.charts import bars
from reporting.pictures import Picture, boxes_over, classes_png, grey_png, heat_png, lines_over
from reporting.sections import BarGroup, Exam, Fact, Legend, Section, Strip, Table

STACKS_PICTURED = 6
"""Stacks with pictures, taken in turns from the splits."""

SLICES_PICTURED = 6
"""Slices of each of them, spread over the stack."""

LOCATION_BINS = 10

Indices = NDArray[np.int64]


def store_section(folder: Path, anchor: str, *, progress: Progress = silent) -> Section:
    """Gather what the page says about a store.

    Raises
    ------
    IntegrityError
        When the folder is no whole store.
    """
    reader = StoreReader(folder)
    attributes = reader.attributes
    chosen = _chosen_stacks(reader)
    exams = []
    for number, rows in enumerate(chosen):
        progress("drawing labels", done=number, total=len(chosen))
        exams.append(_exam(reader, rows))
    partners = ", ".join(attributes.partners)
    return Section(
        kind="store",
        title=f"{'Labelled store' if attributes.segment_names else 'Store'} {attributes.protocol['name']}",
        anchor=anchor,
        lead=f"{attributes.protocol['carrier']} images on a grid of {attributes.rows} × {attributes.columns} "
        f"pixels of {attributes.spacing_mm:g} mm; lines and heatmaps of {partners}, nine boxes, and the "
        "relative location of each slice in its stack.",
        facts=_facts(reader),
        bar_groups=_bar_groups(reader),
        tables=(_split_table(reader),),
        exams=tuple(exams),
    )


def _facts(reader: StoreReader) -> tuple[Fact, ...]:
    return (
        Fact(f"{len(reader):,}", "examples"),
        Fact(f"{_distinct(reader, 'patient_key'):,}", "patients"),
        Fact(f"{_distinct(reader, 'stack_key'):,}", "stacks"),
        Fact(f"{int((~reader.column('valid')).sum()):,}", "unusable examples"),
    )


def _distinct(reader: StoreReader, name: str, rows: NDArray[np.bool_] | None = None) -> int:
    keys = reader.column(name) if rows is None else reader.column(name)[rows]
    return len(np.unique(keys, axis=0)) if len(keys) else 0


def _bar_groups(reader: StoreReader) -> tuple[BarGroup, ...]:
    location = reader.column("location")
    known = location[np.isfinite(location)]
    edges = np.linspace(0, 1, LOCATION_BINS + 1)
    histogram, _ = np.histogram(known, bins=edges)
    spread = {
        f"{low:.1f}–{high:.1f}": int(n) for low, high, n in zip(edges, edges[1:], histogram, strict=False)
    }
    there = {
        f"line of {view}": int(np.isfinite(reader.column("line")[:, number, 0]).sum())
        for number, view in enumerate(reader.attributes.partners)
    }
    there["location"] = len(known)
    present = reader.column("box_present")
    boxes = {name: int(present[:, number].sum()) for number, name in enumerate(reader.attributes.box_names)}
    shades = {f"line of {view}": colours.of_view(view) for view in reader.attributes.partners}
    return (
        BarGroup("Examples with a label", bars(there, shades), "none"),
        BarGroup(
            "Boxes inside the image", bars(boxes, dict(zip(boxes, colours.BOXES, strict=False))), "none"
        ),
        BarGroup("Relative locations", bars(spread) if len(known) else (), "no example has a location"),
    )


def _split_table(reader: StoreReader) -> Table:
    split = reader.column("split")
    rows = []
    for code, name in enumerate(SPLITS):
        here = split == code
        rows.append(
            (
                name,
                f"{_distinct(reader, 'patient_key', here):,}",
                f"{_distinct(reader, 'stack_key', here):,}",
                f"{int(here.sum()):,}",
            )
        )
    return Table(
        ("split", "patients", "stacks", "examples"),
        tuple(rows),
        caption="A patient is in one split only.",
        numeric=frozenset({1, 2, 3}),
    )


def _chosen_stacks(reader: StoreReader) -> list[Indices]:
    """Rows of some stacks, the splits taking turns so that each is seen."""
    usable = np.flatnonzero(reader.column("valid"))
    keys = reader.column("stack_key")[usable]
    _, first, group = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    split = reader.column("split")[usable[first]]
    place = np.zeros(len(first), dtype=np.int64)
    for code in np.unique(split):
        members = np.flatnonzero(split == code)
        place[members[np.argsort(first[members])]] = np.arange(len(members))
    order = np.lexsort((first, split, place))[:STACKS_PICTURED]
    return [usable[np.flatnonzero(group.ravel() == number)] for number in order]


def _exam(reader: StoreReader, rows: Indices) -> Exam:
    """Draw one stack: some slices with lines and boxes, and one slice label by label."""
    annotated = _annotated_phase(reader, rows)
    phase = reader.column("phase_index")[rows]
    one_phase = rows[phase == (phase.min() if annotated is None else annotated)]
    ordered = one_phase[np.argsort(reader.column("slice_index")[one_phase])]
    places = np.unique(
        np.linspace(0, len(ordered) - 1, min(SLICES_PICTURED, len(ordered))).round().astype(int)
    )
    slices = ordered[places]
    middle = int(slices[len(slices) // 2])
    split = SPLITS[int(reader.column("split")[middle])]
    key = bytes(reader.column("stack_key")[middle]).hex()[:10]
    carrier = reader.attributes.protocol["carrier"]
    view_legend = [Legend(view, colours.of_view(view)) for view in reader.attributes.partners]
    box_legend = [
        Legend(name, colours.BOXES[number % len(colours.BOXES)])
        for number, name in enumerate(reader.attributes.box_names)
    ]
    return Exam(
        key=key,
        title=f"{carrier} stack of a {split} patient",
        strips=(
            Strip(
                "Lines and boxes through the stack",
                tuple(_labelled(reader, int(row)) for row in slices),
                (*view_legend, *box_legend),
            ),
            Strip(
                f"{_place_text(reader, middle).capitalize()}, label by label",
                tuple(_by_label(reader, middle)),
                _segment_legend(reader),
                note=_location_text(reader, middle),
            ),
        ),
    )


def _annotated_phase(reader: StoreReader, rows: Indices) -> int | None:
    """Find the first phase of a stack whose middle slice somebody annotated."""
    if "segmentation" not in reader.names:
        return None
    slices = reader.column("slice_index")[rows]
    middle = rows[slices == np.sort(np.unique(slices))[len(np.unique(slices)) // 2]]
    for row in middle[np.argsort(reader.column("phase_index")[middle])]:
        if (reader.read("segmentation", [row]) != NOT_ANNOTATED).any():
            return int(reader.column("phase_index")[row])
    return None


def _segment_legend(reader: StoreReader) -> tuple[Legend, ...]:
    names = reader.attributes.segment_names
    return tuple(
        Legend(name, colours.SEGMENTS[number % len(colours.SEGMENTS)])
        for number, name in enumerate(names)
        if number
    )


def _image(reader: StoreReader, row: int) -> NDArray[Any]:
    scale, offset = reader.column("image_scale")[row], reader.column("image_offset")[row]
    return np.asarray(reader.read("image", [row])[0] * scale + offset)


def _labelled(reader: StoreReader, row: int) -> Picture:
    return Picture(
        grey_png(_image(reader, row)),
        reader.attributes.columns,
        reader.attributes.rows,
        lines=_lines(reader, row),
        boxes=_boxes(reader, row),
        caption=_place_text(reader, row),
        note=_location_text(reader, row),
    )


def _place_text(reader: StoreReader, row: int) -> str:
    return f"slice {int(reader.column('slice_index')[row]) + 1} of {int(reader.column('n_slices')[row])}"


def _location_text(reader: StoreReader, row: int) -> str:
    linear = float(reader.column("location")[row])
    sine = float(reader.column("location_sine")[row])
    if np.isnan(linear) and np.isnan(sine):
        return "no location"
    spelled = [f"location {linear:.2f}" if np.isfinite(linear) else "", f"sine {sine:.2f}"]
    return ", ".join(part for part in spelled if part)


def _lines(reader: StoreReader, row: int) -> tuple[Any, ...]:
    attributes = reader.attributes
    return lines_over(
        reader.column("line")[row], attributes.partners, columns=attributes.columns, rows=attributes.rows
    )


def _boxes(reader: StoreReader, row: int) -> tuple[Any, ...]:
    return boxes_over(
        reader.column("box_centre")[row],
        reader.column("box_present")[row],
        reader.attributes.box_side_px,
        reader.attributes.box_names,
    )


def _by_label(reader: StoreReader, row: int) -> list[Picture]:
    """The image bare, with its lines, with its boxes, with each heatmap, with its segmentation."""
    columns, rows = reader.attributes.columns, reader.attributes.rows
    png = grey_png(_image(reader, row))
    pictures = [
        Picture(png, columns, rows, caption="image"),
        Picture(png, columns, rows, lines=_lines(reader, row), caption="lines"),
        Picture(png, columns, rows, boxes=_boxes(reader, row), caption="boxes"),
    ]
    for number, heatmap in enumerate(_heatmaps(reader, row)):
        view = reader.attributes.partners[number]
        if heatmap.any():
            tint = heat_png(heatmap, colours.of_view(view))
            pictures.append(Picture(png, columns, rows, tints=(tint,), caption=f"heatmap of {view}"))
        else:
            pictures.append(Picture(png, columns, rows, caption=f"heatmap of {view}", note="no such line"))
    if "segmentation" in reader.names:
        classes = reader.read("segmentation", [row])[0]
        if (classes != NOT_ANNOTATED).any():
            tint = classes_png(np.where(classes == NOT_ANNOTATED, 0, classes), colours.SEGMENTS)
            pictures.append(Picture(png, columns, rows, tints=(tint,), caption="segmentation"))
    return pictures


def _heatmaps(reader: StoreReader, row: int) -> NDArray[Any]:
    """(partners, rows, columns) in 0 to 1: as stored, or drawn from the parameters."""
    if "line_heatmap" in reader.names:
        return np.asarray(reader.read("line_heatmap", [row])[0] / HEATMAP_LEVELS)
    attributes = reader.attributes
    line = reader.column("line")[row]
    return np.asarray(draw_heatmaps(line, attributes.line_sigma_px, attributes.rows, attributes.columns))
