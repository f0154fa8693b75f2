"""One exam of a catalogue: its planes in space, the central image of each stack, and what is known of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from dicomgeom.catalogue import Catalogue
from dicomgeom.errors import UnusableFile
from dicomgeom.pixels import read_image
from dicomgeom.privacy import hashed
from dicomgeom.reasons import FILE_REASONS
from dicomgeom.row_planes import plane_of
from reporting import colours
from reporting.evidence import OTHER_REASON, reason_words, shown_evidence, shown_reasons
from reporting.facets import Facets
from reporting.pictures import Picture, grey_png, lines_over
from reporting.ration import Ration
from reporting.sections import Exam, Legend, StackRow, Strip, counted, short_key
from reporting.space import Space, StackPlanes, space_of

STACKS_LISTED = 40
"""Stacks of one exam in its table."""

STACKS_DRAWN = 16
"""Stacks of one exam with a picture and a place in the drawing of its planes."""

VIEW_ORDER = ("SAX", "4CH", "2CH", "3CH", "RV2CH", "RVOT", "LAX", "SAG", "COR", "AX", "OTHER")

Row = Mapping[str, Any]


@dataclass
class _Drawn:
    """What the stacks of one exam are drawn from, and what is learnt while they are."""

    images: pl.DataFrame
    lines: pl.DataFrame
    partners: list[str] = field(default_factory=list)
    pngs: dict[str, str] = field(default_factory=dict)


def view_rank(view: str) -> tuple[int, str]:
    """Sort key: views in the order people read them, others after them."""
    return (VIEW_ORDER.index(view) if view in VIEW_ORDER else len(VIEW_ORDER), view)


def exam_of(catalogue: Catalogue, study: str, number: int, ration: Ration) -> Exam:
    """Draw one exam; folded, with its planes and its table only, where the ration has no pictures for it."""
    stacks = sorted(
        catalogue.stacks.filter(pl.col("study_instance_uid") == study).iter_rows(named=True),
        key=lambda row: (view_rank(row["view"]), row["series_number"] or 0, row["stack_id"]),
    )
    numbered = [(f"{place + 1}", row) for place, row in enumerate(stacks)]
    shown = [(name, row) for name, row in numbered if _is_shown(row)]
    pictured = bool(shown) and ration.take(min(len(shown), STACKS_DRAWN))
    ids = pl.col("stack_id").is_in([row["stack_id"] for row in stacks])
    drawn = _Drawn(catalogue.images.filter(ids), catalogue.lines.filter(ids))
    strips = (_strip(drawn, shown[:STACKS_DRAWN]),) if pictured else ()
    known = [row["view"] for _, row in shown if row["view"] != "OTHER"]
    views = ", ".join(dict.fromkeys(known))
    left = {"listed": len(stacks) - STACKS_LISTED, "pictured": len(shown) - STACKS_DRAWN}
    return Exam(
        key=short_key(hashed(catalogue.salt, study).hex()),
        title=f"Exam {number}: {views or 'no known view'}",
        patient=short_key(stacks[0]["patient_key"] or ""),
        stacks=tuple(_stack_row(row, name) for name, row in numbered[:STACKS_LISTED]),
        strips=strips,
        space=_space(drawn, shown),
        notes=tuple(
            f"{counted(count, 'more stack')} not {what}." for what, count in left.items() if count > 0
        ),
        folded=not pictured,
    )


def _is_shown(row: Row) -> bool:
    return row["kind"] != "localizer" and not row["superseded_by"]


def _facets(row: Row) -> Facets:
    return Facets(
        view=row["view"],
        reasons=tuple(dict.fromkeys((*reason_words(row["reason"]), *reason_words(row["frame_reason"])))),
        patient=short_key(row["patient_key"] or ""),
        confidence=row["confidence"],
    )


def _stack_row(row: Row, name: str) -> StackRow:
    spacing = "" if row["spacing_mm"] is None else f"{row['spacing_mm']:.1f} mm"
    if spacing and not row["regular"]:
        spacing += f" ± {row['spacing_max_deviation_mm'] or 0:.1f}"
    notes = dict.fromkeys((*shown_reasons(row["reason"]), *shown_reasons(row["frame_reason"])))
    return StackRow(
        name=name,
        view=row["view"],
        colour=colours.of_view(row["view"]),
        confidence=row["confidence"],
        kind=row["kind"],
        size=f"{row['n_slices']} × {row['n_phases']}",
        spacing=spacing,
        notes=tuple(notes),
        evidence=shown_evidence(row["evidence"]),
        facets=_facets(row),
    )


def _middle(row: Row) -> int:
    return (int(row["n_slices"]) - 1) // 2


def _strip(drawn: _Drawn, stacks: Sequence[tuple[str, Row]]) -> Strip:
    pictures = tuple(_picture(drawn, row, name) for name, row in stacks)
    seen = sorted(set(drawn.partners), key=view_rank)
    legend = tuple(Legend(view, colours.of_view(view)) for view in seen)
    return Strip("The central image of each stack", pictures, legend)


def _picture(drawn: _Drawn, stack: Row, name: str) -> Picture:
    """Draw the central slice of a stack, first phase; notes the partner views and the image in `drawn`."""
    here = pl.col("stack_id") == stack["stack_id"]
    middle = _middle(stack)
    images = drawn.images.filter(here & (pl.col("slice_index") == middle))
    row = images.sort("phase_index", nulls_last=False).row(0, named=True)
    caption = f"{stack['view']}, stack {name}"
    note = f"{stack['kind']}, slice {middle + 1} of {stack['n_slices']}"
    facets = _facets(stack)
    try:
        png = grey_png(read_image(row["root"], row["path"], row["frame"]))
    except UnusableFile as error:
        why = FILE_REASONS.get(error.reason, OTHER_REASON)
        return Picture(
            "", row["columns"], row["rows"], caption=caption, note=f"no pixels: {why}", facets=facets
        )
    drawn.pngs[name] = png
    lines = drawn.lines.filter(here & (pl.col("slice_index") == middle) & pl.col("crosses"))
    views = lines["partner_view"].to_list()
    drawn.partners.extend(views)
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
        facets=facets,
    )


def _space(drawn: _Drawn, stacks: Sequence[tuple[str, Row]]) -> Space | None:
    """Draw the stacks of the largest group that shares a frame of reference."""
    frames = Counter(_frame(row) for _, row in stacks)
    if not frames:
        return None
    frame, _ = frames.most_common(1)[0]
    together = [(name, row) for name, row in stacks if _frame(row) == frame]
    kept = together[:STACKS_DRAWN]
    notes = []
    if len(stacks) > len(together):
        apart = counted(len(stacks) - len(together), "stack")
        notes.append(f"{apart} in another frame of reference: not comparable, not drawn.")
    if len(together) > len(kept):
        notes.append(f"{counted(len(together) - len(kept), 'more stack')} not drawn.")
    return space_of([_stack_planes(drawn, name, row) for name, row in kept], " ".join(notes))


def _frame(row: Row) -> str:
    return "" if row["frame_assumed"] else str(row["frame_of_reference"])


def _stack_planes(drawn: _Drawn, name: str, row: Row) -> StackPlanes:
    images = drawn.images.filter(pl.col("stack_id") == row["stack_id"])
    ordered = images.sort("slice_index", "phase_index", nulls_last=False)
    first = ordered.unique("slice_index", keep="first", maintain_order=True)
    slices = first["slice_index"].to_list()
    return StackPlanes(
        name=name,
        view=row["view"],
        colour=colours.of_view(row["view"]),
        told=f"stack {name}: {row['view']}, {row['kind']}",
        planes=tuple(plane_of(one) for one in first.iter_rows(named=True)),
        central=slices.index(_middle(row)) if _middle(row) in slices else len(slices) // 2,
        png=drawn.pngs.get(name, ""),
    )
