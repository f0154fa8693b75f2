"""How fast `index` is, beside python-gdcm's Scanner reading the same tags alone.

    python -m benchmarks.index --folder /somewhere/with/3-GB [--files 20000] [--repeats 3]
    python -m benchmarks.index --tables 1000000        memory, with made-up headers and no files

Peers take turns within each repeat, so that a busy machine is busy for all; the medians and
their ratios are printed. Files a second are given by the clock and by the processor's time
(of all processes), which tells more where other programs run.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import gdcm
import numpy as np
import polars as pl
from pydicom.datadict import dictionary_VR, tag_for_keyword

import dicomgeom.index as indexing
from benchmarks.export_of_any_size import PHASES, SLICES, write_export
from dicomgeom import batches, reading
from dicomgeom.batches import Rows, repeated
from dicomgeom.header import READ_TAGS
from dicomgeom.quietness import quiet
from dicomgeom.scan import Scanner
from dicomgeom.sources import FoundFile, list_files

OPEN_DELAY_S = 0.005
DELAYED_FILES = 6_000
SEQUENTIAL_FILES = 400
SHARED_UIDS = ("series_instance_uid", "study_instance_uid", "frame_of_reference")
EXAM_FILES = PHASES * (SLICES + 3)


class Took(NamedTuple):
    """What one measurement cost."""

    wall_s: float
    cpu_s: float


def main() -> None:
    """Run what the command line asks for."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "anatprep-benchmark")
    options.add_argument("--files", type=int, default=20_000)
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--tables", type=int, default=0, metavar="FILES")
    asked = options.parse_args()
    if asked.tables:
        for files in (asked.tables // 8, asked.tables // 4, asked.tables // 2, asked.tables):
            report_tables(files)
        return
    asked.folder.mkdir(parents=True, exist_ok=True)
    export = write_export(asked.folder / f"export-{asked.files}", asked.files)
    report_speed(export, asked.folder, asked.files, asked.repeats)
    report_delay(export)


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def report_speed(export: Path, folder: Path, files: int, repeats: int) -> None:
    """One worker, two workers, and a second run, beside gdcm and pydicom."""
    paths = [f"{one.root}/{one.path}" for one in list_files(export)]
    catalogue = folder / "catalogue"
    indexing.index([export / "exam00000"], folder / "warm-up")

    def first(workers: int = 1) -> None:
        shutil.rmtree(catalogue, ignore_errors=True)
        indexing.index([export], catalogue, workers=workers)

    runs: dict[str, Callable[[], object]] = {
        "gdcm.Scanner, same tags": lambda: gdcm_scan(paths),
        "headers alone, our reader": lambda: read_headers_alone(export, own=True),
        "index, two workers": lambda: first(2),
        "index, one worker": first,
        "index again, nothing changed": first_again(export, catalogue),
    }
    took: dict[str, list[Took]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            took[name].append(measured(run))
    shutil.rmtree(catalogue)
    middle = {name: median(found) for name, found in took.items()}
    some = 1_000
    middle["headers alone, pydicom"] = scaled(
        measured(lambda: read_headers_alone(export, own=False, most=some)), files / some
    )
    say(f"{files} files, {repeats} repeats, load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")
    for name, one in middle.items():
        say(f"  {name:32s} {files / one.wall_s:9.0f} files/s   {files / one.cpu_s:9.0f} per cpu second")
    one_worker, gdcm_alone = middle["index, one worker"], middle["gdcm.Scanner, same tags"]
    ratios = {
        "one worker / gdcm alone": ratio(gdcm_alone, one_worker),
        "two workers / one": ratio(one_worker, middle["index, two workers"]),
        "second run / first": ratio(one_worker, middle["index again, nothing changed"]),
    }
    for name, (by_clock, by_cpu) in ratios.items():
        say(f"  {name:32s} {by_clock:9.2f} by the clock {by_cpu:9.2f} by the processor")


def first_again(export: Path, catalogue: Path) -> Callable[[], object]:
    """Index what has been indexed."""
    return lambda: indexing.index([export], catalogue)


def gdcm_scan(paths: list[str]) -> None:
    """Read the same tags with gdcm; it cannot ask for nested ones."""
    scanner = gdcm.Scanner()
    for keyword in READ_TAGS:
        tag = tag_for_keyword(keyword)
        assert tag is not None
        if dictionary_VR(tag) != "SQ":
            scanner.AddTag(gdcm.Tag(tag >> 16, tag & 0xFFFF))
    names = gdcm.FilenamesType()
    for path in paths:
        names.append(path)
    assert scanner.Scan(names)


def read_headers_alone(export: Path, *, own: bool, most: int | None = None) -> None:
    """Headers, understood, but in no table."""
    scanner = Scanner(own_reader=own)
    with quiet():
        for number, found in enumerate(list_files(export)):
            if number == most:
                return
            scanner.frames(found)


def report_delay(export: Path) -> None:
    """A network share: every open waits."""
    files = list(list_files(export))[:DELAYED_FILES]
    plain_open = os.open

    def delayed(*given: Any, **more: Any) -> int:
        time.sleep(OPEN_DELAY_S)
        return plain_open(*given, **more)

    os.open = delayed
    try:
        one = measured(lambda: batches.scan_batch(files[:SEQUENTIAL_FILES], b"salt" * 4, threads=1))
        many = measured(lambda: batches.scan_batch(files, b"salt" * 4))
    finally:
        os.open = plain_open
    sequential, together = SEQUENTIAL_FILES / one.wall_s, len(files) / many.wall_s
    say(f"{1e3 * OPEN_DELAY_S:.0f} ms added to every open")
    say(f"  one after the other {sequential:9.0f} files/s")
    say(f"  as index reads      {together:9.0f} files/s   {together / sequential:.1f} times")


def report_tables(files: int) -> None:
    """Cost of the tables alone, in a process of its own."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        took, peak_bytes = pool.apply(index_made_up, (files,))
    say(
        f"{files:9d} made-up headers: {took.wall_s:7.1f} s by the clock, {took.cpu_s:7.1f} s of processor, "
        f"{1e6 * took.cpu_s / files:6.1f} us a file, peak {peak_bytes / 2**20:6.0f} MB"
    )


def index_made_up(files: int) -> tuple[Took, int]:
    """Index files that do not exist: listing and reading are replaced, all else is as it is."""
    with tempfile.TemporaryDirectory() as folder:
        export = write_export(Path(folder) / "exam", EXAM_FILES)
        exam = batches.scan_batch(list(list_files(export)), b"salt" * 4)
        indexing.list_files = lambda source: made_up_files(files)
        reading.scan_batch = lambda found, salt: made_up_rows(found, exam)
        took = measured(lambda: indexing.index([export], Path(folder) / "catalogue"))
    return took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def made_up_files(files: int) -> Iterator[FoundFile]:
    """Names and sizes as of an export."""
    for number in range(files):
        exam, image = divmod(number, EXAM_FILES)
        yield FoundFile("/pacs/export", f"exam{exam:06}/series{image // PHASES:02}/{image:06}", 150_000, exam)


def made_up_rows(found: list[FoundFile], exam: Rows) -> Rows:
    """Rows of one exam under the names and identities of others."""
    numbers = np.array([int(f.path[4:10]) for f in found])
    images = np.array([int(f.path[-6:]) for f in found])
    names = pl.DataFrame({"path": [f.path for f in found], "exam": numbers.astype(str)})
    files = exam.files[images].with_columns(
        names["path"],
        root=pl.lit("/pacs/export"),
        size_bytes=pl.lit(150_000, pl.Int64),
        modified_ns=pl.Series(numbers, dtype=pl.Int64),
    )
    headers = exam.headers[images].with_columns(names["path"], root=pl.lit("/pacs/export"))
    own = headers["sop_instance_uid"] + "." + names["exam"]
    shared = {name: headers[name] + "." + names["exam"] for name in SHARED_UIDS}
    shared["patient_key"] = names["exam"].str.zfill(32)
    columns = {name: repeated(values.to_list()) for name, values in shared.items()}
    return Rows(files, headers.with_columns(sop_instance_uid=own, **columns))


def measured(run: Callable[[], object]) -> Took:
    """Time one run, with the processes it started."""
    wall_s, cpu_s = time.perf_counter(), cpu_of_all()
    run()
    return Took(time.perf_counter() - wall_s, cpu_of_all() - cpu_s)


def cpu_of_all() -> float:
    """Seconds of processor time of this process and of those it started and that have ended."""
    return sum(
        used.ru_utime + used.ru_stime
        for used in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def median(found: list[Took]) -> Took:
    """The middle of several measurements."""
    return Took(statistics.median(t.wall_s for t in found), statistics.median(t.cpu_s for t in found))


def scaled(took: Took, factor: float) -> Took:
    """What it would have cost for more files."""
    return Took(took.wall_s * factor, took.cpu_s * factor)


def ratio(slow: Took, fast: Took) -> tuple[float, float]:
    """How many times as fast, by the clock and by the processor."""
    return slow.wall_s / fast.wall_s, slow.cpu_s / fast.cpu_s


if __name__ == "__main__":
    main()
