"""Writing phantom exams: images into the export, truth beside it.

An exam is written into a hidden folder beside the export and moved in when it is complete, its
truth before it. So an exam that is there is whole, and an interrupted run is finished by the
same command.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from dicomgeom.errors import IntegrityError, WrongUse
from dicomgeom.progress import Progress, silent
from phantoms.anatomies import ANATOMIES
from phantoms.dicom_export import exam_folder_name
from phantoms.exam_writer import write_exam
from phantoms.options import ExportOptions
from phantoms.tissue_truth import write_tissue_table
from phantoms.truth import write_tables

FORMAT, VERSION = "anatprep-phantoms", 3


@dataclass(frozen=True)
class PhantomSummary:
    """What an export holds once it is complete."""

    folder: Path
    truth: Path
    exams: int
    files: int

    def as_json(self) -> dict[str, Any]:
        """Plain values for `--json`."""
        return {
            "folder": str(self.folder),
            "truth": str(self.truth),
            "exams": self.exams,
            "files": self.files,
        }


def write_exams(
    folder: Path,
    *,
    exams: int,
    anatomy: str = "cardiac",
    seed: int = 0,
    truth: Path | None = None,
    workers: int = 1,
    phases: int | None = None,
    traps: Sequence[str] = (),
    options: ExportOptions | None = None,
    progress: Progress = silent,
) -> PhantomSummary:
    """Write an export of phantom exams, or finish one that was interrupted.

    Parameters
    ----------
    folder : Path
        The export; each exam becomes a folder in it.
    exams : int
        How many. A larger number on the same folder adds exams.
    anatomy : str
        Which phantom: "cardiac" or "knee".
    seed : int
        Exam i is a function of (seed, i) and the options.
    truth : Path or None
        Where the truth goes, outside the export; default: beside it, with "-truth" appended.
    workers : int
        Processes to use.
    phases : int or None
        Short for `ExportOptions(phases=...)`.
    traps : sequence of str
        Short for `ExportOptions(traps=...)`: pitfalls, by the names of `phantoms.traps.TRAPS`.
    options : ExportOptions or None
        Acquisition and filing.

    Raises
    ------
    WrongUse
        When the numbers make no sense, the truth lies inside the export, or the truth folder
        belongs to an export with another seed or other options.
    """
    folder = Path(folder)
    truth = Path(truth) if truth is not None else folder.with_name(folder.name + "-truth")
    chosen = options or ExportOptions()
    if phases is not None:
        chosen = replace(chosen, phases=phases)
    if traps:
        chosen = replace(chosen, traps=tuple(dict.fromkeys((*chosen.traps, *traps))))
    _check(folder, truth, exams, anatomy, seed, workers)
    _claim(truth, anatomy, seed, chosen)
    if chosen.tissues:
        write_tissue_table(truth / "tissues")
    folder.mkdir(parents=True, exist_ok=True)
    waiting = [index for index in range(exams) if not (folder / exam_folder_name(seed, index)).is_dir()]
    progress("writing phantom exams", done=exams - len(waiting), total=exams)
    for done, _ in enumerate(_written(folder, truth, waiting, anatomy, seed, chosen, workers), start=1):
        progress("writing phantom exams", done=exams - len(waiting) + done, total=exams)
    names = [exam_folder_name(seed, index) for index in range(exams)]
    write_tables(truth, [truth / "rows" / f"{name}.json" for name in names])
    files = sum(
        1 for name in names for path in (folder / name).rglob("*") if path.is_file() and not path.is_symlink()
    )
    return PhantomSummary(folder=folder, truth=truth, exams=exams, files=files)


def _check(folder: Path, truth: Path, exams: int, anatomy: str, seed: int, workers: int) -> None:
    if anatomy not in ANATOMIES:
        raise WrongUse(f"no phantom of anatomy {anatomy!r}; there is: {', '.join(ANATOMIES)}")
    if exams < 1:
        raise WrongUse(f"the number of exams must be at least 1, found {exams}")
    if seed < 0:
        raise WrongUse(f"the seed must be 0 or more, found {seed}")
    if workers < 1:
        raise WrongUse(f"the number of workers must be at least 1, found {workers}")
    if truth.resolve().is_relative_to(folder.resolve()):
        raise WrongUse(f"the truth folder {truth} lies inside the export {folder}; choose one outside it")
    if folder.exists() and not folder.is_dir():
        raise WrongUse(f"{folder} is a file; an export is a folder")


def _claim(truth: Path, anatomy: str, seed: int, options: ExportOptions) -> None:
    """Make the truth folder, or check that it belongs to the same export."""
    mine = {
        "format": FORMAT,
        "version": VERSION,
        "anatomy": anatomy,
        "seed": seed,
        "options": asdict(options),
    }
    marker = truth / "phantoms.json"
    if not marker.exists():
        truth.mkdir(parents=True, exist_ok=True)
        unfinished = truth / "phantoms.json.unfinished"
        unfinished.write_text(json.dumps(mine, indent=1, sort_keys=True), encoding="utf-8")
        unfinished.replace(marker)
        return
    try:
        theirs = json.loads(marker.read_text(encoding="utf-8"))
    except ValueError:
        raise IntegrityError(
            f"{marker} is not readable JSON; delete {truth} and its export to write anew"
        ) from None
    if theirs != json.loads(json.dumps(mine)):
        raise WrongUse(
            f"{truth} belongs to an export with another seed, anatomy or other options; choose another folder"
        )


def _written(
    folder: Path,
    truth: Path,
    indices: list[int],
    anatomy: str,
    seed: int,
    options: ExportOptions,
    workers: int,
) -> Iterator[int]:
    """Write exams, yielding each index when it is complete."""
    if workers == 1 or len(indices) < 2:
        for index in indices:
            yield write_exam(folder, truth, anatomy, seed, index, options)
        return
    with ProcessPoolExecutor(min(workers, len(indices)), mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(write_exam, folder, truth, anatomy, seed, index, options) for index in indices]
        try:
            for job in as_completed(jobs):
                yield job.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
