"""One HTML file that shows catalogues, stores and runs, and needs nothing but a browser.

Everything is inside it: style, pictures, curves. It names exams by hashed keys and holds no
name, date, UID or path; the images in it are still patients' images, so it is as private as
they are.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from dicomgeom.errors import IntegrityError, WrongUse
from dicomgeom.progress import Progress, silent
from reporting.comparison import comparison_section
from reporting.run_section import run_section
from reporting.sections import Section

TEMPLATE = "report.html.j2"


def write_report(sources: Path | Sequence[Path], out: Path, *, progress: Progress = silent) -> Path:
    """Draw sources into one self-contained HTML file.

    Parameters
    ----------
    sources : path or sequence of paths
        Catalogues, stores and runs, told apart by the marker file in each.
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
        When a source is broken, half-written or none of the three.
    """
    paths = [sources] if isinstance(sources, Path) else list(sources)
    if not paths:
        raise WrongUse("nothing to report; name a catalogue, a store or a run")
    sections = []
    for number, path in enumerate(paths):
        sections.append(_section_of(path)(path, f"source-{number + 1}", progress))
    sections = _numbered(sections)
    compared = comparison_section(paths, "comparison")
    if compared is not None:
        sections.insert(0, compared)
    progress("writing the report", done=1, total=1)
    _replace(out, render(sections))
    return out


def _numbered(sections: Sequence[Section]) -> list[Section]:
    """Number sections of one title, so that they can be told apart."""
    titles = [section.title for section in sections]
    return [
        replace(section, title=f"{section.title} ({titles[: place + 1].count(section.title)})")
        if titles.count(section.title) > 1
        else section
        for place, section in enumerate(sections)
    ]


def render(sections: Sequence[Section]) -> str:
    """Lay sections out as a page."""
    environment = Environment(
        loader=PackageLoader("reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(TEMPLATE).render(sections=sections)


def _section_of(path: Path) -> Callable[[Path, str, Progress], Section]:
    """Choose who draws a source; the floors below are imported only when they are needed."""
    if not path.exists():
        raise WrongUse(f"{path} does not exist; name a catalogue, a store or a run")
    if (path / "catalogue.json").exists():
        from reporting.catalogue_section import catalogue_section

        return lambda folder, anchor, progress: catalogue_section(folder, anchor, progress=progress)
    if (path / "zarr.json").exists():
        from reporting.store_section import store_section

        return lambda folder, anchor, progress: store_section(folder, anchor, progress=progress)
    if (path / "run.json").exists():
        return lambda folder, anchor, _: run_section(folder, anchor)
    raise IntegrityError(
        f"{path} is no catalogue, store or run (none of catalogue.json, zarr.json, run.json in it); "
        "name the folder that a command wrote"
    )


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
