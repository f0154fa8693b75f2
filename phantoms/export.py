"""Writing phantom exams: images into the export, truth beside it.

An exam is written into a hidden folder beside the export and moved in when it is complete, its
truth before it. So an exam that is there is whole, and an interrupted run is finished by the
same command. The truth knows every exam of its export (`rows/EXAM.json`): what else lies there is
somebody's, and nothing is written beside it.
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
from dicomgeom.folder_marks import MARKS, is_workspace, made_by_anatprep
from dicomgeom.progress import Progress, silent
from phantoms.anatomies import ANATOMIES
from phantoms.dicom_export import exam_folder_name
from phantoms.exam_writer import write_exam
from phantoms.options import ExportOptions
from phantoms.tissue_truth import write_tissue_table
from phantoms.truth import write_tables

FORMAT, VERSION = "anatprep-phantoms", 3
MARKER, UNFINISHED = "phantoms.json", ".unfinished"


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
        How many. A larger number on the same folder adds exams, a smaller one than lie there is refused.
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
        When the numbers make no sense, one of export and truth lies inside the other, the truth folder
        belongs to an export with another seed or other options, one of the two holds something else, or
        the export holds more exams.
    IntegrityError
        When the truth folder's marker is broken.
    """
    folder = Path(folder)
    truth = Path(truth) if truth is not None else folder.with_name(folder.name + "-truth")
    chosen = options or ExportOptions()
    if phases is not None:
        chosen = replace(chosen, phases=phases)
    if traps:
        chosen = replace(chosen, traps=tuple(dict.fromkeys((*chosen.traps, *traps))))
    _check(folder, truth, exams, anatomy, seed, workers)
    mine = _marker(anatomy, seed, chosen)
    _check_truth(truth, mine)
    names = [exam_folder_name(seed, index) for index in range(exams)]
    _check_export(folder, truth, names)
    _claim(truth, mine)
    if chosen.tissues:
        write_tissue_table(truth / "tissues")
    folder.mkdir(parents=True, exist_ok=True)
    waiting = [index for index, name in enumerate(names) if not (folder / name).is_dir()]
    progress("writing phantom exams", done=exams - len(waiting), total=exams)
    for done, _ in enumerate(_written(folder, truth, waiting, anatomy, seed, chosen, workers), start=1):
        progress("writing phantom exams", done=exams - len(waiting) + done, total=exams)
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
    if folder.resolve().is_relative_to(truth.resolve()):
        raise WrongUse(f"the export {folder} lies inside the truth folder {truth}; choose one outside it")
    if folder.exists() and not folder.is_dir():
        raise WrongUse(f"{folder} is a file; an export is a folder")


def _marker(anatomy: str, seed: int, options: ExportOptions) -> dict[str, Any]:
    """What the truth folder says of the export it belongs to, as plain JSON values."""
    mine = {
        "format": FORMAT,
        "version": VERSION,
        "anatomy": anatomy,
        "seed": seed,
        "options": asdict(options),
    }
    return dict(json.loads(json.dumps(mine)))


def _check_truth(truth: Path, mine: dict[str, Any]) -> None:
    """Refuse a truth folder that holds something else, or belongs to another export."""
    marker = truth / MARKER
    if not marker.exists():
        strangers = _names(truth) - {MARKER + UNFINISHED}
        if strangers or (truth.exists() and not truth.is_dir()):
            raise WrongUse(f"{truth} holds something else than truth of phantoms; give another --truth")
        return
    try:
        theirs = json.loads(marker.read_text(encoding="utf-8"))
    except ValueError:
        raise IntegrityError(
            f"{marker} is not readable JSON; delete {truth} and its export to write anew"
        ) from None
    if theirs != mine:
        raise WrongUse(
            f"{truth} belongs to an export with another seed, anatomy or other options; choose another folder"
        )


def _check_export(folder: Path, truth: Path, names: Sequence[str]) -> None:
    """Refuse an export that holds what the truth does not know, or exams beyond those asked for."""
    known = {path.stem for path in (truth / "rows").glob("*.json")}
    there = {name for name in _names(folder) if not made_by_anatprep(str(folder / name), MARKS)}
    there -= {name for name in there if is_workspace(str(folder / name))}
    strangers = sorted(there - known)
    if strangers:
        told = ", ".join(strangers[:3]) + (", ..." if len(strangers) > 3 else "")
        raise WrongUse(
            f"{folder} holds {told}, which this command did not write as far as {truth} tells; "
            "choose a new folder"
        )
    more = there - set(names)
    if more:
        rows = (json.loads((truth / "rows" / f"{name}.json").read_text(encoding="utf-8")) for name in more)
        needed = 1 + max(row["exams"][0]["index"] for row in rows)
        raise WrongUse(
            f"{folder} holds more than {len(names)} of its exams already; give --exams {needed} or more, "
            "or choose a new folder"
        )


def _names(folder: Path) -> set[str]:
    """What a folder holds; hidden files are nobody's content."""
    return {path.name for path in folder.iterdir() if path.name[0] != "."} if folder.is_dir() else set()


def _claim(truth: Path, mine: dict[str, Any]) -> None:
    """Make the truth folder, unless it is there."""
    marker = truth / MARKER
    if not marker.exists():
        truth.mkdir(parents=True, exist_ok=True)
        unfinished = truth / (MARKER + UNFINISHED)
        unfinished.write_text(json.dumps(mine, indent=1, sort_keys=True), encoding="utf-8")
        unfinished.replace(marker)


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
