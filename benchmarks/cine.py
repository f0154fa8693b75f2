"""Errors of the proposed end-diastole (ED) and end-systole (ES), in phases and in R-R.

Against the truth of phantom exams (written here, or an export given with its truth beside
it), against Sunnybrook's manual contours (ED and ES are the two phases that have them), and
against the contours of all phases of the biv-me example (largest and smallest area of the
endocardium over its short-axis slices). Phases count on the circle of the beat: the last
phase is one step before the first.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl
from scipy.spatial import ConvexHull

from dicomgeom.catalogue import Catalogue, open_catalogue
from dicomgeom.index import index
from dicomgeom.phases import EdEs, propose_ed_es
from phantoms.export import write_exams

Case = tuple[str, str, int, int, int, EdEs]
"""(exam, view and way, phases, true ED, true ES, proposal)."""


def circular(found: int, true: int, phases: int) -> int:
    """Signed error in phases on the circle of the beat."""
    return (found - true + phases // 2) % phases - phases // 2


def indexed(source: Path, work: Path) -> Catalogue:
    """Index a folder and open its catalogue."""
    index([source], work)
    return open_catalogue(work)


def phantom_cases(export: Path, work: Path) -> Iterator[Case]:
    """All cine stacks of all exams, long axes with and without the help of the short axis."""
    truth = pl.read_parquet(export.with_name(export.name + "-truth") / "exams.parquet")
    catalogue = indexed(export, work)
    cines = catalogue.stacks.filter(pl.col("kind") == "cine")
    named = cines.join(truth, on="study_instance_uid").sort("exam", "view")
    for row in named.iter_rows(named=True):
        ways = {"": False} if row["view"] == "SAX" else {" by SAX": False, " alone": True}
        for way, alone in ways.items():
            proposal = propose_ed_es(catalogue, row["stack_id"], alone=alone)
            what = ("SAX" if row["view"] == "SAX" else "long axis") + way
            yield row["exam"], what, row["phases"], row["ed_phase"], row["es_phase"], proposal


def sunnybrook_cases(folder: Path, work: Path) -> Iterator[Case]:
    """The two patients: contours are named by image number, numbers run through the phases of a slice."""
    catalogue = indexed(folder, work)
    for row in catalogue.stacks.filter(pl.col("kind") == "cine").sort("stack_id").iter_rows(named=True):
        images = catalogue.images.filter(pl.col("stack_id") == row["stack_id"])
        patient = Path(images["path"][0]).parts[0]
        phase_of = dict(images.select("instance_number", "phase_index").iter_rows())
        contours = {
            kind: Counter(
                phase_of[int(re.findall(r"\d+", path.name)[1])]
                for path in (folder / patient / "contours" / f"{kind}-contours").iterdir()
            )
            for kind in ("i", "o")
        }
        ed = contours["o"].most_common(1)[0][0]  # epicardial contours are drawn at end-diastole only
        es = max((n, phase) for phase, n in contours["i"].items() if phase != ed)[1]
        yield patient, "SAX", row["n_phases"], ed, es, propose_ed_es(catalogue, row["stack_id"])


def biv_me_cases(folder: Path, work: Path) -> Iterator[Case]:
    """One patient with contours in every phase."""
    catalogue = indexed(folder, work)
    files = sorted((folder / "example" / "guidepoints").rglob("GPFile_*.txt"))
    areas = [_endocardial_area_mm2(path) for path in files]
    ed, es = int(np.argmax(areas)), int(np.argmin(areas))
    for row in catalogue.stacks.filter(pl.col("kind") == "cine").sort("view").iter_rows(named=True):
        if row["view"] == "SAX":
            yield "biv-me", "SAX", row["n_phases"], ed, es, propose_ed_es(catalogue, row["stack_id"])
        elif row["view"] in ("2CH", "3CH", "4CH"):
            for way, alone in {" by SAX": False, " alone": True}.items():
                proposal = propose_ed_es(catalogue, row["stack_id"], alone=alone)
                yield "biv-me", row["view"] + way, row["n_phases"], ed, es, proposal


def _endocardial_area_mm2(path: Path) -> float:
    slices: dict[str, list[list[float]]] = {}
    for line in path.read_text().splitlines()[1:]:
        x, y, z, kind, slice_id, *_ = line.split("\t")
        if kind == "SAX_LV_ENDOCARDIAL":
            slices.setdefault(slice_id, []).append([float(x), float(y), float(z)])
    return sum(_flat_area(np.array(points)) for points in slices.values())


def _flat_area(points: np.ndarray) -> float:
    centred = points - points.mean(axis=0)
    axes = np.linalg.svd(centred, full_matrices=False)[2]
    return float(ConvexHull(centred @ axes[:2].T).volume)


def table(cases: Sequence[Case]) -> Iterator[str]:
    """One line a case."""
    yield "| exam | stack | phases | ED true, found | ES true, found | confidence |"
    yield "|---|---|---|---|---|---|"
    for exam, what, phases, ed, es, told in cases:
        found = f"{ed}, {told.ed_phase} | {es}, {told.es_phase}"
        yield f"| {exam} | {what} | {phases} | {found} | {told.confidence:.2f} |"


def summary(cases: Sequence[Case]) -> Iterator[str]:
    """Errors by kind of stack, and whether confidence ranks them."""
    yield "| stack | cases | | mean error | mean size | largest | within 1 | within 2 | mean size, R-R |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for what in sorted({case[1] for case in cases}):
        some = [case for case in cases if case[1] == what and case[5].ed_phase is not None]
        for name, errors in (
            ("ED", [circular(told.ed_phase or 0, ed, n) for _, _, n, ed, _, told in some]),
            ("ES", [circular(told.es_phase or 0, es, n) for _, _, n, _, es, told in some]),
        ):
            size = np.abs(errors)
            share = float(np.mean([abs(e) / case[2] for e, case in zip(errors, some, strict=True)]))
            yield (
                f"| {what} | {len(some)} | {name} | {np.mean(errors):+.2f} | {size.mean():.2f} | "
                f"{size.max()} | {np.mean(size <= 1):.2f} | {np.mean(size <= 2):.2f} | {share:.3f} |"
            )
    yield "\n| confidence | cases | mean size of the ES error, phases | within 2 |\n|---|---|---|---|"
    for low, high in ((0, 0.3), (0.3, 0.6), (0.6, 0.8), (0.8, 1.01)):
        some = [c for c in cases if low <= c[5].confidence < high and c[5].es_phase is not None]
        if some:
            size = np.abs([circular(c[5].es_phase or 0, c[4], c[2]) for c in some])
            bounds = f"{low:g} to {min(high, 1):g}"
            yield f"| {bounds} | {len(some)} | {size.mean():.2f} | {np.mean(size <= 2):.2f} |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--exams", type=int, default=14)
    parser.add_argument("--seed", type=int, default=41)
    parser.add_argument("--phantoms", type=Path, help="an export of phantoms to use (or to write)")
    parser.add_argument("--sunnybrook", type=Path)
    parser.add_argument("--biv-me", type=Path)
    chosen = parser.parse_args(arguments)
    lines: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        export = chosen.phantoms or work / "phantoms"
        write_exams(export, exams=chosen.exams, seed=chosen.seed)
        lines += ["### Phantoms\n", *summary(list(phantom_cases(export, work / "c1")))]
        if chosen.sunnybrook:
            lines += ["\n### Sunnybrook\n", *table(list(sunnybrook_cases(chosen.sunnybrook, work / "c2")))]
        if chosen.biv_me:
            lines += ["\n### biv-me\n", *table(list(biv_me_cases(chosen.biv_me, work / "c3")))]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
