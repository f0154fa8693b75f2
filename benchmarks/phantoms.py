"""What a phantom exam costs on one core, and what its parts do; hearts against the literature.

Run: ``python -m benchmarks.phantoms [--patients 200] [--pictures DIR --biv-me DIR --knee DIR]``.
Prints Markdown. Pictures need matplotlib; folders of real exams are drawn above them, to compare by eye.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phantoms.anatomies import exam_of
from phantoms.cardiac_exam import CardiacExam
from phantoms.cardiac_groups import MYOCARDIUM_G_ML
from phantoms.cardiac_scene import CardiacScene
from phantoms.cardiac_volumes import chamber_volumes_ml
from phantoms.exam import Exam, ExamSeries
from phantoms.export import write_exams
from phantoms.options import ExportOptions

TINY = ExportOptions(phases=4, spacing_mm=4.5, columns=72, rows=64, vendor="ge", enhanced_share=0)
SIZES = {
    "heart, full": ("cardiac", ExportOptions(vendor="siemens", enhanced_share=0, compressed_share=0)),
    "heart, full, enhanced": (
        "cardiac",
        ExportOptions(vendor="philips", enhanced_share=1, compressed_share=0),
    ),
    "heart, tiny (72 x 64, 4 phases)": ("cardiac", TINY),
    "knee, full": ("knee", ExportOptions(vendor="siemens", enhanced_share=0, compressed_share=0)),
    "knee, tiny (72 x 64)": ("knee", TINY),
}
Image = NDArray[np.generic]


def cost(anatomy: str, options: ExportOptions, seed: int = 5, exams: int = 3) -> tuple[float, float]:
    """Seconds of one core and files, means over exams; the first is made to warm up and not counted."""
    with tempfile.TemporaryDirectory() as folder:
        write_exams(Path(folder) / "warm", exams=1, seed=99, anatomy=anatomy, options=TINY)
        started_s = time.process_time()
        summary = write_exams(
            Path(folder) / "export", exams=exams, seed=seed, anatomy=anatomy, options=options
        )
        return (time.process_time() - started_s) / exams, summary.files / exams


def group_table(patients: int) -> list[str]:
    """Measures of the truth by group and sex."""
    measured: dict[tuple[str, str], list[list[float]]] = defaultdict(list)
    for i in range(patients):
        scene = CardiacScene(np.random.default_rng([9, i]))
        patient = scene.patient
        filled, emptied = chamber_volumes_ml(scene, [0.0, patient.end_systole])
        surface = patient.body_surface_m2
        measured[str(patient.group), patient.sex].append(
            [
                filled["LV cavity"] / surface,
                100 * (1 - emptied["LV cavity"] / filled["LV cavity"]),
                filled["LV myocardium"] * MYOCARDIUM_G_ML / surface,
                scene.heart.thickest_wall_mm,
                filled["RV cavity"] / surface,
                100 * (1 - emptied["RV cavity"] / filled["RV cavity"]),
            ]
        )
    rows = [
        "| group | sex | n | LV EDV | LV EF, % | LV mass | thickest wall, mm | RV EDV | RV EF, % |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for (group, sex), numbers in sorted(measured.items()):
        values = np.array(numbers)
        cells = [f"{m:.0f} ± {d:.0f}" for m, d in zip(values.mean(axis=0), values.std(axis=0), strict=True)]
        rows.append(f"| {group} | {sex} | {len(values)} | {' | '.join(cells)} |")
    return rows


def images_of(exam: Exam, series: list[ExamSeries], shares: tuple[float, ...]) -> list[Image]:
    """First images of the slices at some shares of a stack's depth."""
    slices = [(one, plane) for one in series for plane in one.planes]
    chosen = [slices[int(share * (len(slices) - 1))] for share in shares]
    return [next(iter(exam.images(replace(one, planes=(plane,))))).pixels for one, plane in chosen]


def heart_images(exam: CardiacExam) -> list[Image]:
    """Three short-axis slices and the long axes."""
    stack = [series for series in exam.series if series.view == "SAX" and series.cine]
    views = [next(s for s in exam.series if s.view == view) for view in ("4CH", "2CH", "3CH")]
    return images_of(exam, stack, (0.25, 0.5, 0.7)) + [images_of(exam, [view], (0.0,))[0] for view in views]


def real_series(folder: Path) -> dict[int, list[Any]]:
    """Images of a folder by series number (of `Se<number>` in the path where it has one)."""
    import re

    import pydicom
    from pydicom.errors import InvalidDicomError

    found: dict[int, list[Any]] = defaultdict(list)
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        try:
            dataset = pydicom.dcmread(path)
        except InvalidDicomError:
            continue
        if "PixelData" in dataset:
            named = re.search(r"Se(\d+)", str(path))
            found[int(named[1]) if named else int(dataset.SeriesNumber)].append(dataset)
    return found


def draw(path: Path, rows: list[tuple[str, list[Image]]]) -> None:
    """A table of pictures."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    columns = max(len(images) for _, images in rows)
    figure, axes = plt.subplots(len(rows), columns, figsize=(2.4 * columns, 2.4 * len(rows)), squeeze=False)
    for axes_row, (title, images) in zip(axes, rows, strict=True):
        for axis in axes_row:
            axis.axis("off")
        axes_row[0].set_title(title, fontsize=8, loc="left")
        for axis, image in zip(axes_row, images, strict=False):
            axis.imshow(image, cmap="gray", vmin=0, vmax=np.percentile(image, 99.5))
    figure.tight_layout()
    figure.savefig(path, dpi=70, pil_kwargs={"quality": 82})
    plt.close(figure)


def draw_all(out: Path, biv_me: Path | None, knee: Path | None) -> None:
    """Hearts and knees; above them the real exams, where their folders are given."""
    out.mkdir(parents=True, exist_ok=True)
    plain = ExportOptions(enhanced_share=0)
    hearts = [CardiacExam(4, index, plain) for index in (0, 2, 5, 6)]
    rows = [(f"phantom: {exam.scene.patient.group}", heart_images(exam)) for exam in hearts]
    if biv_me:
        series = real_series(biv_me)
        first = [min(series[number], key=lambda d: float(d.TriggerTime)) for number in (11, 2, 4, 6, 8, 7)]
        rows.insert(0, ("real", [dataset.pixel_array for dataset in first]))
    draw(out / "phantom-hearts.jpg", rows)
    series, shares = real_series(knee) if knee else {}, (0.12, 0.35, 0.5, 0.68, 0.88)
    exam = exam_of("knee", 1, 0, plain)
    rows = []
    for name, number, view in (
        ("SAG PD FS", 3, "SAG"),
        ("COR", 4, "COR"),
        ("AX", 5, "AX"),
        ("SAG T1", 6, "SAG"),
    ):
        if series:
            stack = sorted(series[number], key=lambda d: int(d.InstanceNumber))
            rows.append((f"real: {name}", [stack[int(s * (len(stack) - 1))].pixel_array for s in shares]))
        wanted = [s for s in exam.series if s.view == view and s.acquisition.fat_suppressed != ("T1" in name)]
        rows.append((f"phantom: {name}", images_of(exam, wanted, shares)))
    draw(out / "phantom-knees.jpg", rows)


def main() -> None:
    """Write the tables; draw if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=200)
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--biv-me", type=Path)
    parser.add_argument("--knee", type=Path)
    asked = parser.parse_args()
    if asked.pictures:
        draw_all(asked.pictures, asked.biv_me, asked.knee)
        return
    lines = ["| exam | seconds of one core | files |", "|---|---|---|"]
    for name, (anatomy, options) in SIZES.items():
        seconds, files = cost(anatomy, options)
        lines.append(f"| {name} | {seconds:.2f} | {files:.0f} |")
    sys.stdout.write("\n".join([*lines, "", *group_table(asked.patients)]) + "\n")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
