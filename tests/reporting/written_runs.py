"""Run folders as the training writes them, without training."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

PATIENT = "ab" * 16


def written_run(folder: Path, *, dice: float, init: str = "", **said: Any) -> Path:
    """A finished run of segmentation, measured on `PATIENT`; `said` goes into its evaluation."""
    folder.mkdir(parents=True)
    recipe = {
        "name": "segment-sax",
        "paper": "A paper",
        "steps": 30,
        "batch_size": 4,
        "streams": [{"task": "x"}],
    }
    run = {
        "format": "anatprep-run",
        "version": 1,
        "state": "done",
        "recipe": recipe,
        "recipe_sha256": "ef" * 32,
        "stores": {},
        "init_sha256": init,
        "notes": [],
        "steps": 30,
        "seconds": 3.0,
        "images_per_second": 40.0,
        "losses": {},
    }
    if init:
        run["transfer"] = {"coverage": 0.98, "matched": 130, "missing": [], "misfitting": []}
    (folder / "run.json").write_text(json.dumps(run))
    lines = [
        {"step": s, "loss": 1 / s, "parts": {"main/a": 1 / s}, "images_per_s": 9.0} for s in (10, 20, 30)
    ]
    lines += [{"step": step, "validation": {"main/a": dice / step}} for step in (20, 30)]
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"step": 40, "lo')
    write_evaluation(folder, {PATIENT: {"dice LV cavity": dice}}, **said)
    write_samples(folder)
    return folder


def write_evaluation(folder: Path, patients: Mapping[str, Mapping[str, float]], **said: Any) -> None:
    """What `evaluate` writes, of one task, on some patients."""
    names = dict.fromkeys(name for one in patients.values() for name in one)
    values = {name: [one[name] for one in patients.values() if name in one] for name in names}
    task = {
        "images": 6,
        "patients": patients,
        "mean": {name: float(np.mean(some)) for name, some in values.items()},
        "sd": {name: float(np.std(some, ddof=1)) if len(some) > 1 else None for name, some in values.items()},
        "counts": {"dice LV cavity: empty in truth": 2},
    }
    content = {"split": "test", "tasks": {"segmentation": task}, **said}
    (folder / "evaluation.json").write_text(json.dumps(content))


def write_samples(folder: Path, **more: Any) -> None:
    """Two validation images with what is true and what is said."""
    image = np.random.default_rng(0).normal(size=(2, 16, 12)).astype(np.float32)
    classes = (image > 0.5).astype(np.uint8)
    heat = np.abs(np.stack([image, image], axis=1))
    np.savez(
        folder / "samples.npz",
        image=image,
        target_segmentation=classes,
        prediction_segmentation=classes,
        target_heatmaps=heat,
        prediction_heatmaps=heat,
        target_location=np.array([0.25, np.nan], dtype=np.float32),
        prediction_location=np.array([0.5, 0.75], dtype=np.float32),
        held_out=np.array(True),
        **more,
    )
