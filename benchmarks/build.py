"""How fast a store is built and read, beside what others take for less.

    python -m benchmarks.build --export FOLDER [--copies 12] [--work FOLDER] [--json FILE]

The export is a cardiac exam (DICOM); it is copied as so many patients, indexed and built with the
protocol cardiac-sax: 1.26 mm, 224 x 224, cubic. The peers get the same files:

- MONAI: LoadImage(ITKReader, or PydicomReader where itk is not installed), Spacing(mode=3),
  ResizeWithPadOrCrop, NormalizeIntensity; no labels, nothing written.
- SimpleITK: ReadImage, B-spline resampling to the grid; no labels, nothing written.
- pydicom: dcmread and pixel_array.

All take turns in one process on one core, several rounds; the median round counts. Rates are
given by processor time (of a core that others share, the share that was ours) and by the
clock. Two workers are compared with one as `benchmarks.build_workers` does; bars are in `TARGETS`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

import numpy as np

from benchmarks.build_export import SIDE, SPACING_MM, catalogue_of, planned, say
from dicomgeom.catalogue import open_catalogue
from pretext_targets.build import BuildPlan, build
from pretext_targets.reader import StoreReader
from pretext_targets.store import Compression

TARGETS = {
    "build / MONAI": 15.0,
    "build / SimpleITK": 4.0,
    "build / pydicom": 0.3,
    "two workers / one": 1.8,
    "random slices / zarr-python": 10.0,
    "batches / memmap, uncompressed": 0.5,
    "batches / memmap, lz4": 0.1,
}
MEMORY_BAR_MB = 700
ERROR_BAR = 1e-4

READING = ("build", "slices", "batches", "zarr", "memmap")

BATCH = 32


@dataclass(frozen=True)
class Rate:
    """Slices a second: by processor time and by the clock."""

    processor: float
    clock: float


def measured(work: Callable[[], int]) -> Rate:
    """Run work that says how many slices it did."""
    began, began_cpu = time.perf_counter(), time.process_time()
    count = work()
    return Rate(count / (time.process_time() - began_cpu), count / (time.perf_counter() - began))


def in_turns(rounds: int, works: dict[str, Callable[[], int]]) -> dict[str, Rate]:
    """Median rates of works that take turns."""
    found: dict[str, list[Rate]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            found[name].append(measured(work))
    return {
        name: Rate(
            statistics.median(one.processor for one in rates), statistics.median(one.clock for one in rates)
        )
        for name, rates in found.items()
    }


# --- the peers --------------------------------------------------------------------------------


def with_monai(paths: Sequence[str]) -> tuple[str, Callable[[], int]]:
    """Load, resample, pad and normalise as MONAI does."""
    import torch
    from monai.data import ITKReader, PydicomReader
    from monai.transforms import Compose, LoadImage, NormalizeIntensity, ResizeWithPadOrCrop, Spacing

    torch.set_num_threads(1)
    try:
        import itk  # type: ignore[import-not-found]  # noqa: F401

        reader: Any = ITKReader()
        through: tuple[int, ...] = (-1,)  # ITK gives a slice a third axis
    except ImportError:
        reader, through = PydicomReader(), ()
    steps = Compose(
        [
            LoadImage(reader=reader, ensure_channel_first=True),
            Spacing(pixdim=(SPACING_MM, SPACING_MM, *through), mode=3, padding_mode="mirror"),
            ResizeWithPadOrCrop((SIDE, SIDE, *through)),
            NormalizeIntensity(),
        ]
    )

    def work() -> int:
        for path in paths:
            assert steps(path).shape[1:3] == (SIDE, SIDE)
        return len(paths)

    return f"MONAI ({type(reader).__name__})", work


def sitk_on_grid(path: str) -> np.ndarray[Any, Any]:
    """One image on its grid by SimpleITK's B-spline, shape (rows, columns)."""
    import SimpleITK as sitk  # noqa: N813

    image = sitk.Cast(sitk.ReadImage(path), sitk.sitkFloat32)[:, :, 0]
    size, spacing = np.array(image.GetSize()), np.array(image.GetSpacing())
    turned = np.array(image.GetDirection()).reshape(2, 2)
    centre = np.array(image.GetOrigin()) + turned @ ((size - 1) / 2 * spacing)
    resampler = sitk.ResampleImageFilter()
    resampler.SetSize([SIDE, SIDE])
    resampler.SetOutputSpacing([SPACING_MM, SPACING_MM])
    resampler.SetOutputDirection(image.GetDirection())
    resampler.SetOutputOrigin((centre - turned @ np.full(2, (SIDE - 1) / 2 * SPACING_MM)).tolist())
    resampler.SetInterpolator(sitk.sitkBSpline3)
    return np.asarray(sitk.GetArrayFromImage(resampler.Execute(image)))


def with_simpleitk(paths: Sequence[str]) -> Callable[[], int]:
    """Read and resample as SimpleITK does."""
    import SimpleITK as sitk  # noqa: N813

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)

    def work() -> int:
        for path in paths:
            assert sitk_on_grid(path).shape == (SIDE, SIDE)
        return len(paths)

    return work


def with_pydicom(paths: Sequence[str]) -> Callable[[], int]:
    """Decode only."""
    import pydicom

    def work() -> int:
        for path in paths:
            assert pydicom.dcmread(path).pixel_array.size
        return len(paths)

    return work


# --- what is measured -------------------------------------------------------------------------


def speeds_of_building(plan: BuildPlan, work: Path, rounds: int, peer_slices: int) -> dict[str, Rate]:
    """The whole job and the peers, in turns."""
    files = plan.examples.select("root", "path").head(peer_slices).iter_rows()
    paths = [str(Path(root, path)) for root, path in files]
    monai_name, monai = with_monai(paths)

    def whole_job() -> int:
        with tempfile.TemporaryDirectory(dir=work) as folder:
            build(plan, Path(folder) / "store.zarr")
        return len(plan.examples)

    return in_turns(
        rounds,
        {
            "build": whole_job,
            monai_name: monai,
            "SimpleITK": with_simpleitk(paths),
            "pydicom": with_pydicom(paths),
        },
    )


def peak_memory_mb(work: Path) -> float:
    """Peak resident memory of a process that builds the whole store."""
    with tempfile.TemporaryDirectory(dir=work) as folder:
        command = [sys.executable, "-m", "benchmarks.build", "--only-build", folder, "--work", str(work)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout)


def largest_error(plan: BuildPlan, store: Path) -> float:
    """Largest difference from SimpleITK's B-spline, over the image's range, inside the image."""
    reader = StoreReader(store)
    worst = 0.0
    for example in range(0, len(reader), max(1, len(reader) // 40)):
        row = plan.examples.row(example, named=True)
        expected = sitk_on_grid(str(Path(row["root"], row["path"])))
        scale, offset = (float(reader.column(f"image_{name}")[example]) for name in ("scale", "offset"))
        found = reader.read("image", [example])[0] * scale + offset
        inside = found != 0
        worst = max(worst, float(np.abs(found - expected)[inside].max() / np.ptp(expected)))
    return worst


def speeds_of_reading(store: Path, raw: Path, rounds: int) -> dict[str, Rate]:
    """Random slices against zarr-python, batches against a raw memmap of the same images."""
    import zarr

    rng = np.random.default_rng(0)
    reader, array = StoreReader(store), zarr.open_array(store / "image", mode="r")
    if not raw.is_file():
        np.asarray(reader.read("image", np.arange(len(reader)))).tofile(raw)
    mapped = np.memmap(raw, dtype=np.uint16, mode="r").reshape(len(reader), SIDE, SIDE)
    batches = rng.integers(0, len(reader), (20, BATCH))
    singles = rng.integers(0, len(reader), 100)
    works: dict[str, Callable[[], int]] = {
        "slices": lambda: sum(len(reader.read("image", [one])) for one in singles),
        "zarr": lambda: sum(np.asarray(array[int(one)]).shape[0] > 0 for one in singles),
        "batches": lambda: sum(len(reader.read("image", batch)) for batch in batches),
        "memmap": lambda: sum(len(np.array(mapped[batch])) for batch in batches),
    }
    return in_turns(rounds + 4, works)


def reading_of_every_kind(plan: BuildPlan, work: Path, rounds: int) -> dict[Compression, dict[str, Rate]]:
    """Build the store with each compression and read it; says sizes and speeds side by side."""
    kinds: tuple[Compression, ...] = ("lz4", "zstd", "none")
    found: dict[Compression, dict[str, Rate]] = {}
    say(f"  {'compression':12s} {'bytes a slice':>14s} " + " ".join(f"{one:>9s}" for one in READING))
    for kind in kinds:
        store = work / f"{kind}.zarr"
        shutil.rmtree(store, ignore_errors=True)
        built = measured(lambda kind=kind, store=store: build(plan, store, compression=kind).examples)  # type: ignore[misc]
        found[kind] = speeds_of_reading(store, work / "images.raw", rounds)
        size = sum(path.stat().st_size for path in (store / "image").rglob("*") if path.is_file())
        rates = {"build": built, **found[kind]}
        figures = " ".join(f"{rates[name].processor:9.0f}" for name in READING)
        say(f"  {kind:12s} {size / len(plan.examples):14.0f} {figures}")
    return found


def report(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure everything and say it as it comes."""
    work = Path(arguments.work)
    plan = planned(catalogue_of(Path(arguments.export), arguments.copies, work))
    say(f"{len(plan.examples)} slices of {arguments.copies} patients")
    ratios: dict[str, float] = {}
    speeds = speeds_of_building(plan, work, arguments.rounds, arguments.peer_slices)
    for name, rate in speeds.items():
        say(f"  {name:24s} {rate.processor:8.0f} slices a processor second, {rate.clock:8.0f} a second")
        if name != "build":
            ratios[f"build / {name.split(' ')[0]}"] = speeds["build"].processor / rate.processor
    memory_mb = peak_memory_mb(work)
    reading = reading_of_every_kind(plan, work, arguments.rounds)
    error = largest_error(plan, work / "lz4.zarr")
    fast, plain = reading["lz4"], reading["none"]
    ratios["random slices / zarr-python"] = fast["slices"].processor / fast["zarr"].processor
    ratios["batches / memmap, uncompressed"] = plain["batches"].processor / plain["memmap"].processor
    ratios["batches / memmap, lz4"] = fast["batches"].processor / fast["memmap"].processor
    from benchmarks.build_workers import report as report_workers

    ratios["two workers / one"] = report_workers(plan, work, arguments.rounds)
    for name, bar in TARGETS.items():
        say(f"{name:34s} {ratios[name]:8.2f}  (at least {bar:g})")
    say(f"{'peak memory of a worker':34s} {memory_mb:8.0f}  MB (below {MEMORY_BAR_MB})")
    say(f"{'largest error to SimpleITK':34s} {error:8.1e}  of the range (below {ERROR_BAR:g})")
    return {"ratios": ratios, "peak_memory_mb": memory_mb, "largest_error": error}


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--export", help="a cardiac exam with a short-axis cine")
    parser.add_argument("--copies", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peer-slices", type=int, default=100)
    parser.add_argument("--work", help="a folder to work in; kept")
    parser.add_argument("--json", help="a file for the figures")
    parser.add_argument("--only-build", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only_build:
        build(
            planned(open_catalogue(Path(arguments.work) / "catalogue")), Path(arguments.only_build) / "s.zarr"
        )
        status = Path("/proc/self/status").read_text("ascii")  # getrusage counts the parent before exec too
        say(float(status.split("VmHWM:")[1].split()[0]) / 1024)
        return
    with tempfile.TemporaryDirectory() as folder:
        arguments.work = arguments.work or folder
        figures = report(arguments)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(figures, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
