"""An export -> a catalogue: scan what changed, sort into stacks, judge views, cut planes with planes.

Only new and changed files are read, only patients with such files are sorted anew, and what
is read is kept at once (`journal.py`), so that a killed run goes on where it was.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl

from dicomgeom.batches import Rows, header_row, narrowed, repeated, widened
from dicomgeom.catalogue import (
    FILES,
    HEADER,
    TABLES,
    begin_catalogue,
    is_as_written,
    open_catalogue,
    read_marker,
    schema_of,
    write_catalogue,
)
from dicomgeom.errors import NothingUsable
from dicomgeom.full_disk import told_of_a_full_disk
from dicomgeom.index_summary import IndexSummary, refuse_nothing, summary_of
from dicomgeom.journal import Journal
from dicomgeom.overrides import read_overrides
from dicomgeom.ownership import check_target, locked, salt_of
from dicomgeom.progress import Progress, silent
from dicomgeom.reading import read_files
from dicomgeom.reasons import PASSING_REASONS
from dicomgeom.sorting import How, SortedRows, reordered, sort_headers
from dicomgeom.sources import MEMBER_SEPARATOR, FoundFile, check_source, list_files
from dicomgeom.spool import Spool, spools_in
from dicomgeom.workers import Team, team_of

__all__ = ["IndexSummary", "header_row", "index"]

LISTED_AT_ONCE: Final = 20_000
"""Files listed before they are packed into a table, which is far smaller."""


IDENTITY: Final = ("root", "path", "size_bytes", "modified_ns")
"""A file is the same as long as these are."""

_FOUND: Final = {**schema_of(FILES[:4]), "refused": pl.String()}


class Stamp(NamedTuple):
    """Which program, and which options, a catalogue was made with."""

    read_by: str
    sorted_by: str

    @classmethod
    def of(cls, how: How) -> Stamp:
        return cls(_own_code(), hashlib.sha256(f"{_own_code()} {how}".encode()).hexdigest()[:16])


@functools.cache
def _own_code() -> str:
    """Hash of this package: what another version has read or judged is done anew."""
    content = hashlib.sha256()
    for module in sorted(Path(__file__).parent.glob("*.py")):
        content.update(module.read_bytes())
    return content.hexdigest()[:16]


class Last(NamedTuple):
    """What is known from before: tables that still hold, and whether their sorting does."""

    tables: dict[str, pl.DataFrame]
    is_sorted: bool

    @classmethod
    def nothing(cls) -> Last:
        return cls({name: pl.DataFrame(schema=schema_of(columns)) for name, columns in TABLES.items()}, False)


def index(
    sources: Sequence[Path],
    catalogue: Path,
    *,
    salt_file: Path | None = None,
    strict_frames: bool = False,
    views: Path | None = None,
    workers: int = 1,
    scheduler: str | None = None,
    team: Team | None = None,
    progress: Progress = silent,
) -> IndexSummary:
    """Index folders and archives into a catalogue; files already in it are read only when they changed.

    Parameters
    ----------
    sources
        Folders, zip or tar archives, DICOMDIR files.
    catalogue
        Folder to write, or to bring up to date.
    salt_file
        Salt of the hashed keys; by default the catalogue's own.
    strict_frames
        Never assume that two frames of reference are the same.
    views
        TOML file of views that the user knows better (`overrides.py`).
    workers
        Processes on this machine.
    scheduler
        Address of a dask scheduler whose workers see the sources under the same paths.
    team
        Who does the work, called together before; the last two then say nothing.

    Raises
    ------
    NothingUsable
        When no file is an MR image with a position; the catalogue then still says why, unless it
        held images before, which it keeps.
    WrongUse, IntegrityError
        For sources that do not exist, and a target folder that holds something else.
    """
    for source in sources:
        check_source(source)
    check_target(catalogue)
    how = How(strict_frames, read_overrides(views) if views else ())
    stamp = Stamp.of(how)
    # The team is called first: new processes load their modules while files are listed.
    called = team_of(workers, scheduler) if team is None else nullcontext(team)
    with locked(catalogue), called as team, told_of_a_full_disk(catalogue):
        found = _listed(sources, catalogue, progress)
        listed = len(found)
        is_sound = is_as_written(catalogue)  # of a damaged one nothing is believed: it is made anew
        dropped = _dropped(catalogue, found) if is_sound else {}
        salt = salt_of(catalogue, salt_file)
        read = 0
        if is_sound and _is_unchanged(catalogue, found, stamp):
            with spools_in(catalogue):  # sweeps up after a run that was killed behind its last table
                Journal(catalogue, stamp.read_by).clear()
        else:
            held = [found]
            del found  # of a million files nothing is kept longer than it is needed
            last = _last(catalogue, stamp) if is_sound else Last.nothing()
            read = _bring_up_to_date(catalogue, held, last, salt, how, stamp, team, progress)
    summary = summary_of(catalogue, how.overrides, read=read, unchanged=listed - read, dropped=dropped)
    refuse_nothing(summary, listed)
    return summary


def _listed(sources: Sequence[Path], catalogue: Path, progress: Progress) -> pl.DataFrame:
    """Every file of all sources, once."""
    parts = [pl.DataFrame(schema=_FOUND)]
    files: list[FoundFile] = []
    listed = 0

    def pack() -> None:
        columns = zip(_FOUND.items(), zip(*files, strict=True), strict=True)
        packed = {name: pl.Series(values, dtype=kind) for (name, kind), values in columns}
        parts.append(pl.DataFrame(packed | {"root": repeated([file.root for file in files])}))
        progress("listing files", done=listed, total=None)
        files.clear()

    for source in sources:
        for file in list_files(source, target=catalogue):
            files.append(file)
            if len(files) == LISTED_AT_ONCE:
                listed += len(files)
                pack()
    if files:
        pack()
    found = pl.concat(parts)
    if len(sources) == 1 and not found["path"].str.contains(MEMBER_SEPARATOR, literal=True).any():
        return found  # one folder lists each file once
    return found.unique(["root", "path"], keep="last", maintain_order=True)


def _dropped(catalogue: Path, found: pl.DataFrame) -> dict[str, int]:
    """Folders that the catalogue was made of and that are no source now -> files that leave it with them."""
    known = pl.read_parquet(catalogue / "files.parquet", columns=["root", "path"])
    now = {Path(root) for root in found["root"].unique()}
    others = [root for root in known["root"].unique() if now.isdisjoint((Path(root), *Path(root).parents))]
    if not others:
        return {}
    where = pl.concat_str("root", "path", separator="/").alias("where")
    gone = known.filter(pl.col("root").is_in(others)).with_columns(where)
    gone = gone.join(found.select(where), on="where", how="anti")
    return dict(sorted(gone["root"].value_counts().iter_rows()))


def _is_unchanged(catalogue: Path, found: pl.DataFrame, stamp: Stamp) -> bool:
    """Whether the catalogue is what this run would make of the same files."""
    if read_marker(catalogue).get("made_by") != stamp._asdict():
        return False
    known = pl.read_parquet(catalogue / "files.parquet", columns=[*IDENTITY, "reason"])
    if len(known) != len(found) or known["reason"].is_in(list(PASSING_REASONS)).any():
        return False
    return len(found.join(known, on=IDENTITY, how="semi")) == len(found)


def _bring_up_to_date(
    catalogue: Path,
    held: list[pl.DataFrame],
    last: Last,
    salt: bytes,
    how: How,
    stamp: Stamp,
    team: Team,
    progress: Progress,
) -> int:
    """Read what is new, sort what it touches, write the tables; returns how many files were read.

    `held` is the only reference to the files that were found: it is emptied.
    """
    begin_catalogue(catalogue, salt)
    journal = Journal(catalogue, stamp.read_by)
    found = held.pop()
    kept = _same_files(last.tables["files"], found)
    resumed = _still_true(journal.read(), found, kept)
    held.append(_without(found, kept, resumed.files))
    read = len(held[0])
    del found
    resumed = Rows(resumed.files, narrowed(resumed.headers))
    rows = Rows.joined([resumed, *read_files(held, salt, journal, team, progress)])
    if not len(rows.headers) and not (kept["status"] == "ok").any():
        _keep_what_is_there(catalogue, last)
    held.append(rows.headers)
    files = pl.concat([kept, rows.files])
    del rows, resumed
    files = reordered(files, files.select(pl.arg_sort_by("root", "path")).to_series())
    with spools_in(catalogue) as spools:
        spooled = Spool(spools, "files")
        spooled.add(0, files)
        del files
        tables = _tables(last, kept, held, how, team, Spool(spools, "images"), progress)._asdict()
        tables["files"] = spooled.table(schema_of(FILES))
        write_catalogue(catalogue, salt, tables, stamp._asdict())
    journal.clear()
    return read


def _keep_what_is_there(catalogue: Path, last: Last) -> None:
    """Refuse to empty a catalogue: a mistyped path or a share that is not mounted looks like no image."""
    images = len(last.tables["images"])
    if images:
        raise NothingUsable(
            f"no MR image with a position found now; catalogue {catalogue} keeps its {images} images: "
            "check the path, or index into another folder with -o"
        )


def _without(found: pl.DataFrame, *known: pl.DataFrame) -> pl.DataFrame:
    """Files that are in none of the others."""
    for files in known:
        if len(files) and len(found):
            found = found.join(files, on=IDENTITY, how="anti", maintain_order="left")
    return found


def _last(catalogue: Path, stamp: Stamp) -> Last:
    """The catalogue of the last finished run, where this program made it."""
    made_by = read_marker(catalogue).get("made_by", {})
    if made_by.get("read_by") != stamp.read_by:
        return Last.nothing()
    opened = open_catalogue(catalogue)
    tables = {name: getattr(opened, name) for name in TABLES}
    return Last(tables, is_sorted=made_by.get("sorted_by") == stamp.sorted_by)


def _same_files(known: pl.DataFrame, found: pl.DataFrame) -> pl.DataFrame:
    """Files that are still there and unchanged, and need not be tried again."""
    if not len(known):
        return known
    known = known.filter(~pl.col("reason").is_in(list(PASSING_REASONS)))
    return known.join(found, on=IDENTITY, how="semi", maintain_order="left")


def _still_true(rows: Rows, found: pl.DataFrame, kept: pl.DataFrame) -> Rows:
    """Rows of files that are still there and the same, and not known better."""
    files = _without(_same_files(rows.files, found), kept)
    return Rows(files, rows.headers.join(files, on=["root", "path"], how="semi", maintain_order="left"))


def _tables(
    last: Last,
    kept: pl.DataFrame,
    held: list[pl.DataFrame],
    how: How,
    team: Team,
    spool: Spool,
    progress: Progress,
) -> SortedRows:
    """Stacks, views and lines: those of patients without a change stay, all others are made anew.

    `held` is the only reference to the fresh header rows: see `sort_headers`.
    """
    if not len(last.tables["files"]):
        return sort_headers(held, how, team, spool, progress)
    fresh = widened(held.pop())
    images = last.tables["images"]
    still = images.join(kept, on=["root", "path"], how="semi", maintain_order="left")
    header = schema_of(HEADER).names()
    if not last.is_sorted:
        return sort_headers([pl.concat([still.select(header), fresh])], how, team, spool, progress)
    gone = images.join(kept, on=["root", "path"], how="anti")
    touched = pl.concat([fresh["patient_key"], gone["patient_key"]]).unique().to_frame()
    same = {
        name: last.tables[name].join(touched, on="patient_key", how="anti") for name in ("images", "stacks")
    }
    changed = pl.concat([still.join(touched, on="patient_key", how="semi").select(header), fresh])
    new = sort_headers([changed], how, team, spool, progress)
    same_lines = last.tables["lines"].join(same["stacks"], on="stack_id", how="semi", maintain_order="left")
    stacks = pl.concat([same["stacks"], new.stacks]).sort("patient_key", maintain_order=True)
    lines = pl.concat([same_lines, new.lines])
    lines = lines.join(stacks.select("stack_id", "patient_key"), on="stack_id", maintain_order="left")
    return SortedRows(
        pl.concat([same["images"], new.images.lazy().collect()]).sort("patient_key", maintain_order=True),
        stacks,
        lines.sort("patient_key", maintain_order=True).drop("patient_key"),
    )
