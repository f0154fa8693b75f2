"""Which images of a cine show end-diastole (ED) and end-systole (ES): proposals from the images.

ED is looked for near the R wave, as the fullest heart there; ES as the emptiest one in the
part of the beat where systole can end. A short-axis stack is measured at three of its
slices; a long-axis view is told by the short-axis stack of its study, through the fraction
of the R-R interval, and by itself only where there is none.

`confidence` ranks proposals: it falls where measurements disagree, where the heart hardly
empties, and where the moment in the beat had to be assumed. It is not a probability.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import polars as pl

from dicomgeom.blood_pool import Filling, Movie, filling_of, smoothed
from dicomgeom.catalogue import Catalogue
from dicomgeom.errors import UnusableFile, WrongUse
from dicomgeom.pixels import read_image
from dicomgeom.plane import Floats
from dicomgeom.view_names import LV_VIEWS

SLICES_AT: Final = (0.3, 0.45, 0.6)
"""Which slices of a short-axis stack are measured, from base to apex: there the cavity is roundest."""

ED_WINDOW: Final = 0.16
"""ED lies within this fraction of the R-R interval of the R wave (trigger delays, late triggers)."""

ES_WINDOW: Final = (0.15, 0.60)
"""ES comes after ED by a fraction of the R-R interval between these (systole 0.25 to 0.5)."""

CLEAR_EMPTYING: Final = 0.15
"""A bright area that shrinks by less is hardly a beating ventricle."""

CROSSING_LIMIT: Final = 0.3
"""Smallest singular value of lines that cross at a useful angle (two at 30 degrees have 0.37)."""

ASSUMED_MOMENTS: Final = 0.8
"""What confidence is multiplied by where R-R fractions come from the number of phases."""

LONG_AXIS_ALONE: Final = 0.5
"""And where a long-axis image tells by itself: atria fill while ventricles empty."""

FEWEST_PHASES: Final = 6
"""Fewer images do not show a beat."""


@dataclass(frozen=True)
class EdEs:
    """A proposal; phases are None where nothing could be told, and `evidence` says why.

    Phases are those of the stack's fullest slice; slices with other phases are compared by
    the fractions of R-R (`phase_table.phases_by_slice`).
    """

    ed_phase: int | None
    es_phase: int | None
    confidence: float
    evidence: str
    ed_rr_fraction: float | None = None
    es_rr_fraction: float | None = None


@dataclass(frozen=True)
class _Beat:
    """One stack in time: fractions of R-R of the phases of its fullest slice; whether they are stated."""

    fractions: Floats
    stated: bool


def propose_ed_es(catalogue: Catalogue, stack_id: str, *, alone: bool = False) -> EdEs:
    """Propose ED and ES of one cine stack.

    Parameters
    ----------
    alone
        Use only this stack's own images, even where its study has a short-axis stack.

    Raises
    ------
    WrongUse
        When the catalogue has no such stack.
    """
    found = catalogue.stacks.filter(pl.col("stack_id") == stack_id)
    if not len(found):
        raise WrongUse(f"no stack {stack_id!r} in the catalogue; anatprep show lists them")
    stack = found.row(0, named=True)
    beat = _beat(_images(catalogue, stack_id))
    if stack["kind"] != "cine":
        return _untold(f"kind {stack['kind']}, not cine")
    if beat is None:
        return _untold("the order of the phases is not known")
    if len(beat.fractions) < FEWEST_PHASES:
        return _untold(f"{len(beat.fractions)} phases, at least {FEWEST_PHASES} needed")
    short = None if alone or stack["view"] == "SAX" else _short_axis(catalogue, stack)
    if short is not None:
        told = propose_ed_es(catalogue, short)
        if told.ed_phase is not None:
            return _carried_over(told, beat)
    return _measured(catalogue, stack, beat)


def _untold(why: str) -> EdEs:
    return EdEs(None, None, 0.0, why)


def _images(catalogue: Catalogue, stack_id: str) -> pl.DataFrame:
    return catalogue.images.filter(pl.col("stack_id") == stack_id).sort("slice_index", "phase_index")


def _fullest(images: pl.DataFrame) -> int:
    counts = images.group_by("slice_index").len().sort("len", "slice_index", descending=[True, False])
    return int(counts["slice_index"][0])


def _beat(images: pl.DataFrame) -> _Beat | None:
    return _beat_of(images.filter(pl.col("slice_index") == _fullest(images)))


def _beat_of(images: pl.DataFrame) -> _Beat | None:
    """Fractions as stated; else evenly spread, since retrospective cines cover the whole beat."""
    if images["phase_index"].null_count():
        return None
    if images["rr_fraction"].null_count():
        return _Beat(np.arange(len(images)) / len(images), stated=False)
    return _Beat(images["rr_fraction"].to_numpy(), stated=True)


def _short_axis(catalogue: Catalogue, stack: dict[str, Any]) -> str | None:
    """The study's short-axis cine with most slices, not repeated later."""
    others = catalogue.stacks.filter(
        (pl.col("study_instance_uid") == stack["study_instance_uid"])
        & (pl.col("patient_key") == stack["patient_key"])
        & (pl.col("view") == "SAX")
        & (pl.col("kind") == "cine")
        & (pl.col("superseded_by") == "")
    ).sort("n_slices", "stack_id", descending=[True, False])
    return str(others["stack_id"][0]) if len(others) else None


def _carried_over(told: EdEs, beat: _Beat) -> EdEs:
    """The short-axis stack's moments, at the phases of this stack that are nearest in the beat."""
    assert told.ed_rr_fraction is not None
    assert told.es_rr_fraction is not None
    ed = int(apart_in_beat(beat.fractions, told.ed_rr_fraction).argmin())
    es = int(apart_in_beat(beat.fractions, told.es_rr_fraction).argmin())
    return replace(
        told,
        ed_phase=ed,
        es_phase=es,
        confidence=round(told.confidence * (1.0 if beat.stated else ASSUMED_MOMENTS), 3),
        evidence=f"from the short-axis stack of the study: {told.evidence}",
    )


def apart_in_beat(fractions: Floats, moment: float) -> Floats:
    """Distances of moments in R-R fractions on the circle of the beat, 0 to 0.5."""
    return np.asarray(np.abs((fractions - moment + 0.5) % 1.0 - 0.5))


def _measured(catalogue: Catalogue, stack: dict[str, Any], beat: _Beat) -> EdEs:
    images = _images(catalogue, stack["stack_id"])
    fillings = []
    for slice_index in _slices(stack):
        part = images.filter(pl.col("slice_index") == slice_index)
        own = _beat_of(part)
        if own is None or len(part) < FEWEST_PHASES:
            continue
        try:
            movie = _movie(part)
        except UnusableFile:
            continue
        spacing_mm = (part["column_spacing_mm"][0], part["row_spacing_mm"][0])
        filling = filling_of(movie, spacing_mm, _centre_px(catalogue, stack, slice_index, part))
        fillings.append(_at(filling, own.fractions, beat.fractions))
    if not fillings:
        return _untold("no slice whose images could be read")
    told = _choose(fillings, beat)
    if stack["view"] == "SAX":
        return told
    return replace(told, confidence=round(told.confidence * LONG_AXIS_ALONE, 3))


def _slices(stack: dict[str, Any]) -> list[int]:
    count = stack["n_slices"]
    return sorted({round((count - 1) * at) for at in SLICES_AT}) if count >= 3 else list(range(count))


def _movie(images: pl.DataFrame) -> Movie:
    rows = images.select("root", "path", "frame").iter_rows()
    return np.stack([read_image(root, path, frame) for root, path, frame in rows])


def _at(filling: Filling, own: Floats, wanted: Floats) -> Filling:
    """Curves at the moments of another slice."""
    if len(own) == len(wanted) and np.allclose(own, wanted):
        return filling
    return Filling(
        np.interp(wanted, own, filling.area_mm2, period=1.0),
        np.interp(wanted, own, filling.component, period=1.0),
    )


def _centre_px(
    catalogue: Catalogue, stack: dict[str, Any], slice_index: int, images: pl.DataFrame
) -> tuple[float, float] | None:
    """Where two long-axis planes of the LV cross a short-axis image, if they do within it."""
    if stack["view"] != "SAX":
        return None
    lines = catalogue.lines.filter(
        (pl.col("stack_id") == stack["stack_id"])
        & (pl.col("slice_index") == slice_index)
        & pl.col("partner_view").is_in(LV_VIEWS)
        & pl.col("crosses")
    ).select("a", "b", "c")
    table = lines.to_numpy()
    if len(table) < 2 or np.linalg.svd(table[:, :2], compute_uv=False)[1] < CROSSING_LIMIT:
        return None
    column, row = np.linalg.lstsq(table[:, :2], -table[:, 2], rcond=None)[0].tolist()
    inside = 0 <= column < images["columns"][0] and 0 <= row < images["rows"][0]
    return (column, row) if inside else None


def _choose(fillings: Sequence[Filling], beat: _Beat) -> EdEs:
    """Pick the phases from the mean curve; let the single curves vote on how sure that is."""
    areas = [smoothed(f.area_mm2 / max(float(f.area_mm2.max()), 1e-9)) for f in fillings]
    components = [smoothed(f.component) for f in fillings]
    ed, es = _extremes(np.mean(areas, axis=0), beat.fractions)
    votes = [_extremes(curve, beat.fractions) for curve in [*areas, *components]]
    voted = beat.fractions[[es_vote for _, es_vote in votes]]
    spread = float(apart_in_beat(voted, float(beat.fractions[es])).mean())
    emptied = float(np.mean([f.emptied for f in fillings]))
    confidence = (
        np.exp(-spread / 0.1) * min(1.0, emptied / CLEAR_EMPTYING) * (1.0 if beat.stated else ASSUMED_MOMENTS)
    )
    evidence = (
        f"bright area in {len(fillings)} slices shrinks by {100 * emptied:.0f} %; single curves put "
        f"end-systole {spread:.2f} R-R apart on average; moments in the beat "
        + ("are stated" if beat.stated else "assumed from the number of phases")
    )
    return EdEs(
        ed_phase=ed,
        es_phase=es,
        confidence=round(float(confidence), 3),
        evidence=evidence,
        ed_rr_fraction=float(beat.fractions[ed]),
        es_rr_fraction=float(beat.fractions[es]),
    )


def _extremes(curve: Floats, fractions: Floats) -> tuple[int, int]:
    """(ED, ES): the largest value near the R wave, the smallest where systole can end."""
    near = apart_in_beat(fractions, 0.0) <= max(ED_WINDOW, float(apart_in_beat(fractions, 0.0).min()))
    ed = int(np.where(near, curve, -np.inf).argmax())
    since = (fractions - fractions[ed]) % 1.0
    late = (since >= ES_WINDOW[0]) & (since <= ES_WINDOW[1])
    if not late.any():  # a triggered cine of early phases only
        late = np.arange(len(curve)) != ed
    return ed, int(np.where(late, curve, np.inf).argmin())
