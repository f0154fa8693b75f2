"""One HTML file that shows catalogues, stores, runs and experiments, and needs nothing but a browser.

Everything is inside it: style, scripts, pictures, curves. It names patients and exams by hashed
keys and holds no name, date, UID or path; the images in it are still patients' images, so it is
as private as they are. How large it may grow is told in `ration.py`.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dicomgeom.errors import IntegrityError, WrongUse
from dicomgeom.folder_marks import CATALOGUE_MARK, EXPERIMENT_MARK, RUN_MARK, STORE_MARK
from dicomgeom.progress import Progress, silent
from pretext_targets.places import Where, is_url
from reporting.comparison import comparison_section
from reporting.page import render
from reporting.ration import MOST_IMAGES, Ration, share
from reporting.run_section import run_section
from reporting.sections import Section

MARKERS = {
    CATALOGUE_MARK: "catalogue",
    STORE_MARK: "store",
    RUN_MARK: "run",
    EXPERIMENT_MARK: "experiment",
}
"""File that tells what a folder is -> what it is."""

WEIGHTS = {"catalogue": 4, "store": 2, "run": 1, "experiment": 0}
"""How the images of a report are shared among its sources."""


def write_report(sources: Where | Sequence[Where], out: Path, *, progress: Progress = silent) -> Path:
    """Draw sources into one self-contained HTML file.

    Parameters
    ----------
    sources : path or URL, or sequence of them
        Catalogues, stores, runs and experiments, told apart by the marker file in each; a URL is a store's.
    out : Path
        The file to write; readable by its owner only, replaced in one step.
    progress : Progress
        Told how far it is.

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    WrongUse
        When no source is given or one does not exist.
    IntegrityError
        When a source is broken, half-written or none of the four.
    """
    named = [sources] if isinstance(sources, Path | str) else list(sources)
    if not named:
        raise WrongUse("nothing to report; name a catalogue, a store, a run or an experiment")
    kinds = [kind_of(where) for where in named]
    catalogues = [Path(where) for where, kind in zip(named, kinds, strict=True) if kind == "catalogue"]
    runs = [Path(where) for where, kind in zip(named, kinds, strict=True) if kind == "run"]
    sections, left = [], MOST_IMAGES
    for number, (where, kind) in enumerate(zip(named, kinds, strict=True)):
        waiting = sum(WEIGHTS[one] for one in kinds[number:])
        ration = share(left, WEIGHTS[kind], waiting)
        had = ration.images
        sections.append(_section(kind, where, f"source-{number + 1}", ration, catalogues, progress))
        left -= had - ration.images
    sections = _numbered(sections)
    compared = comparison_section(runs, "comparison")
    if compared is not None:
        sections.insert(0, compared)
    progress("writing the report", done=1, total=1)
    _replace(out, render(sections))
    return out


def kind_of(where: Where) -> str:
    """Tell what a source is: "catalogue", "store", "run" or "experiment".

    Raises
    ------
    WrongUse
        When it does not exist.
    IntegrityError
        When it is none of the four.
    """
    if is_url(where):
        return "store"
    path = Path(where)
    if not path.exists():
        raise WrongUse(f"{path} does not exist; name a catalogue, a store, a run or an experiment")
    for marker, kind in MARKERS.items():
        if (path / marker).exists():
            return kind
    raise IntegrityError(
        f"{path} is no catalogue, store, run or experiment (none of {', '.join(MARKERS)} in it); "
        "name the folder that a command wrote"
    )


def _section(
    kind: str, where: Where, anchor: str, ration: Ration, catalogues: Sequence[Path], progress: Progress
) -> Section:
    """Draw one source; the floors below are imported only when they are needed."""
    if kind == "catalogue":
        from reporting.catalogue_section import catalogue_section

        return catalogue_section(Path(where), anchor, ration, progress=progress)
    if kind == "store":
        from reporting.store_section import store_section

        return store_section(where, anchor, ration, catalogues=catalogues, progress=progress)
    if kind == "experiment":
        from reporting.experiment_section import experiment_section

        return experiment_section(Path(where), anchor)
    return run_section(Path(where), anchor, ration)


def _numbered(sections: Sequence[Section]) -> list[Section]:
    """Number sections of one title, so that they can be told apart."""
    titles = [section.title for section in sections]
    return [
        replace(section, title=f"{section.title} ({titles[: place + 1].count(section.title)})")
        if titles.count(section.title) > 1
        else section
        for place, section in enumerate(sections)
    ]


def _replace(out: Path, page: str) -> None:
    """Write under another name and rename, so that a report is never half of one."""
    out.parent.mkdir(parents=True, exist_ok=True)
    fresh = out.with_name(f".{out.name}.{uuid.uuid4().hex}")
    try:
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(page)
        fresh.replace(out)
    finally:
        fresh.unlink(missing_ok=True)
