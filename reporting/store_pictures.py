"""The stacks of a store drawn: slice by slice with all their labels, and one slice label by label."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pretext_targets.drawing import HEATMAP_LEVELS, draw_heatmaps
from pretext_targets.reader import StoreReader
from pretext_targets.store import NOT_ANNOTATED
from reporting import colours
from reporting.facets import Facets
from reporting.pictures import (
    Box,
    Line,
    Picture,
    Tint,
    boxes_over,
    classes_png,
    grey_png,
    heat_png,
    lines_over,
)
from reporting.ration import Ration
from reporting.sections import Exam, Legend, Strip
from reporting.store_left_out import split_name
from reporting.store_stacks import Indices, StoreStack

SLICES_PICTURED = 6
"""Slices of each drawn stack, spread over it."""


def draw_stack(reader: StoreReader, stack: StoreStack, ration: Ration) -> Exam | None:
    """Draw some slices with all labels, and one slice label by label; None where the ration is used up."""
    phase_rows = _one_phase(reader, stack)
    places = np.linspace(0, len(phase_rows) - 1, min(SLICES_PICTURED, len(phase_rows))).round().astype(int)
    slices = [int(row) for row in phase_rows[np.unique(places)]]
    middle = slices[len(slices) // 2]
    attributes = reader.attributes
    tints = len(attributes.partners) + ("segmentation" in reader.names) * len(slices)
    if not ration.take(len(slices) + tints):
        return None
    legend = [Legend(view, colours.of_view(view)) for view in attributes.partners]
    if attributes.partners:
        legend += [
            Legend(name, colours.BOXES[number % len(colours.BOXES)])
            for number, name in enumerate(attributes.box_names)
        ]
    carrier = attributes.protocol["carrier"]
    pictures = tuple(_labelled(reader, stack, row) for row in slices)
    strips = [Strip("Labels through the stack", pictures, (*legend, *_segment_legend(reader)))]
    if bool(reader.column("valid")[middle]):
        strips.append(
            Strip(
                f"{_place_text(reader, middle).capitalize()}, label by label",
                tuple(_by_label(reader, middle)),
                _segment_legend(reader),
                note=_location_text(reader, middle),
            )
        )
    return Exam(
        key=stack.key,
        title=f"{carrier} stack of a {split_name(stack.split)} patient",
        patient=stack.patient,
        strips=tuple(strips),
    )


def _one_phase(reader: StoreReader, stack: StoreStack) -> Indices:
    """Rows of one phase in slice order: the first that somebody annotated, else the first."""
    annotated = _annotated_phase(reader, stack.rows)
    phase = reader.column("phase_index")[stack.rows]
    rows = stack.rows[phase == (phase.min() if annotated is None else annotated)]
    return np.asarray(rows[np.argsort(reader.column("slice_index")[rows])])


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
    return tuple(Legend(name, colours.of_class(number)) for number, name in enumerate(names) if number)


def _image(reader: StoreReader, row: int) -> NDArray[Any]:
    scale, offset = reader.column("image_scale")[row], reader.column("image_offset")[row]
    return np.asarray(reader.read("image", [row])[0] * scale + offset)


def _labelled(reader: StoreReader, stack: StoreStack, row: int) -> Picture:
    attributes = reader.attributes
    caption = _place_text(reader, row)
    valid = bool(reader.column("valid")[row])
    lines, boxes, tint = _lines(reader, row), _boxes(reader, row), _segments(reader, row)
    location = bool(np.isfinite(reader.column("location")[row]))
    labels = [f"line of {line.name}" for line in lines]
    labels += [
        name for name, there in (("boxes", boxes), ("segmentation", tint), ("location", location)) if there
    ]
    facets = Facets(
        split=split_name(stack.split),
        validity="usable" if valid else "unusable",
        patient=stack.patient,
        labels=tuple(labels),
    )
    if not valid:
        note = "its pixels could not be used"
        return Picture("", attributes.columns, attributes.rows, caption=caption, note=note, facets=facets)
    return Picture(
        grey_png(_image(reader, row)),
        attributes.columns,
        attributes.rows,
        tints=tint,
        lines=lines,
        boxes=boxes,
        caption=caption,
        note=_location_text(reader, row),
        facets=facets,
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


def _lines(reader: StoreReader, row: int) -> tuple[Line, ...]:
    attributes = reader.attributes
    return lines_over(
        reader.column("line")[row], attributes.partners, columns=attributes.columns, rows=attributes.rows
    )


def _boxes(reader: StoreReader, row: int) -> tuple[Box, ...]:
    return boxes_over(
        reader.column("box_centre")[row],
        reader.column("box_present")[row],
        reader.attributes.box_side_px,
        reader.attributes.box_names,
    )


def _segments(reader: StoreReader, row: int) -> tuple[Tint, ...]:
    """Paint the segments of an annotated example; nothing otherwise."""
    if "segmentation" not in reader.names:
        return ()
    classes = reader.read("segmentation", [row])[0]
    if not (classes != NOT_ANNOTATED).any():
        return ()
    found = [int(one) for one in np.unique(classes) if 0 < one < len(reader.attributes.segment_names)]
    names = ", ".join(reader.attributes.segment_names[one] for one in found)
    painted = classes_png(np.where(classes == NOT_ANNOTATED, 0, classes), colours.SEGMENTS)
    return (Tint(painted, "segmentation", names or "empty"),)


def _by_label(reader: StoreReader, row: int) -> list[Picture]:
    """The image bare, with its lines, with its boxes, with each heatmap, with its segmentation."""
    columns, rows = reader.attributes.columns, reader.attributes.rows
    png = grey_png(_image(reader, row))
    pictures = [Picture(png, columns, rows, caption="image")]
    if reader.attributes.partners:
        pictures.append(Picture(png, columns, rows, lines=_lines(reader, row), caption="lines"))
        pictures.append(Picture(png, columns, rows, boxes=_boxes(reader, row), caption="boxes"))
    for number, heatmap in enumerate(_heatmaps(reader, row)):
        view = reader.attributes.partners[number]
        if heatmap.any():
            tint = Tint(heat_png(heatmap, colours.of_view(view)), "heatmap", view)
            pictures.append(Picture(png, columns, rows, tints=(tint,), caption=f"heatmap of {view}"))
        else:
            pictures.append(Picture(png, columns, rows, caption=f"heatmap of {view}", note="no such line"))
    segments = _segments(reader, row)
    if segments:
        pictures.append(Picture(png, columns, rows, tints=segments, caption="segmentation"))
    return pictures


def _heatmaps(reader: StoreReader, row: int) -> NDArray[Any]:
    """(partners, rows, columns) in 0 to 1: as stored, or drawn from the parameters."""
    if "line_heatmap" in reader.names:
        return np.asarray(reader.read("line_heatmap", [row])[0] / HEATMAP_LEVELS)
    attributes = reader.attributes
    line = reader.column("line")[row]
    return np.asarray(draw_heatmaps(line, attributes.line_sigma_px, attributes.rows, attributes.columns))
