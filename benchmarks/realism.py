"""Realism measured: a network taught on digital hearts alone, tested on real patients.

Run: ``python -m benchmarks.realism OUT --acdc FOLDER [--knee FOLDER] [--part main] [--patients tune]``.
Short-axis images of digital patients become a labelled store, the recipe segment-sax learns from it, and
Dice is counted on ACDC (`benchmarks.realism_acdc`). The table adds one ingredient of the images after
another. Everything lies in OUT under a hash of its settings: run again, it goes on where it stopped.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.realism_acdc import (
    CLASSES,
    TEST_REMAINDER,
    TUNING_REMAINDERS,
    PhantomTaught,
    mean_with_interval,
    patients_in,
    scores,
)
from phantoms.looks import Look
from phantoms.short_axis_set import Variety, labelled_stack, write_short_axis_sets

SIDE = 96
SEED = 1
REDRAWS = 3

RECIPE = {
    "batch_size": "10",
    "optimiser.learning_rate": "1e-2",
    "optimiser.l1": "0",
    "schedule.kind": '"cosine"',
    "schedule.warmup_steps": "50",
    "tasks.segmentation.dice": "1.0",
    "checkpoint_every": "100",
    "validate_every": "1000000",
    "amp": "everywhere",
}
"""What differs from the shipped recipe segment-sax, whose width and length are for a GPU."""

AUGMENT = {
    "augment.rotation_deg": "20",
    "augment.scale_min": "0.8",
    "augment.scale_max": "1.25",
    "augment.shift_fraction": "0.08",
    "augment.gamma": "0.5",
    "augment.intensity_scale": "0.2",
    "augment.intensity_shift": "0.2",
    "augment.noise_sd": "0.1",
}
NO_AUGMENT = {"augment.rotation_deg": "0", "augment.scale_min": "1", "augment.scale_max": "1"}


@dataclass(frozen=True)
class Variant:
    """One row of the table: how the images look, what varies, whether training deforms them."""

    name: str
    look: Look
    variety: Variety
    augment: bool = True


NO_VARIETY, ORGANS, HEARTS = Variety(), Variety(organs=True), Variety(hearts=True, organs=True)
CHOSEN = Variant("chosen: all down to coil shading", Look(), NO_VARIETY)
"""The best of the table on the tuning patients, and so the one that is reported."""

TABLE = (
    Variant("ventricles on a plain background", Look(False, "fixed", False, False, False), NO_VARIETY),
    Variant("+ wide contrast", Look(False, "wide", False, False, False), NO_VARIETY),
    Variant("+ chest, vessels, atria, fat", Look(True, "wide", False, False, False), NO_VARIETY),
    Variant("+ texture, noise, cut k-space", Look(True, "wide", True, False, True), NO_VARIETY),
    Variant("+ coil shading, dark bands", Look(), NO_VARIETY),
    Variant("+ random organs", Look(), ORGANS),
    Variant("+ spread of hearts", Look(), HEARTS),
    Variant("+ spread of hearts, but published contrast", Look(contrast="published"), HEARTS),
    Variant("+ spread of hearts, but no augmentation", Look(), HEARTS, augment=False),
)


@dataclass(frozen=True)
class Effort:
    """How much is spent on one network."""

    stacks: int
    steps: int
    width: int


MAIN, EACH = Effort(stacks=120, steps=2400, width=12), Effort(stacks=60, steps=600, width=8)


def _hash(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


def store_of(out: Path, variant: Variant, stacks: int) -> Path:
    """Where a variant's store lies: named by its settings and by what its first stack looks like now."""
    first = labelled_stack(SEED, 0, [variant.look], variant.variety, SIDE)
    seen = hashlib.sha256(first.images.tobytes() + first.labels.tobytes()).hexdigest()
    key = _hash(asdict(variant.look), asdict(variant.variety), stacks, REDRAWS, SIDE, SEED, seen)
    return out / "stores" / key


def make_stores(out: Path, variants: Sequence[Variant], stacks: int, say: Callable[[str], None]) -> None:
    """Draw hearts and build the stores that are not there; looks of the same hearts are drawn at once."""
    by_variety: dict[Variety, dict[Path, Look]] = {}
    for variant in variants:
        store = store_of(out, variant, stacks)
        if not (store.parent / f"{store.name}.done").exists():
            by_variety.setdefault(variant.variety, {})[store] = variant.look
    for variety, wanted in by_variety.items():
        say(f"drawing {stacks} hearts in {len(wanted)} looks")
        sets = [store.with_name(f"{store.name}-set") for store in wanted]
        looks = list(wanted.values())
        write_short_axis_sets(sets, looks, variety, stacks=stacks, redraws=REDRAWS, seed=SEED, side=SIDE)
        for store, images in zip(wanted, sets, strict=True):
            _build(images, store)
            (store.parent / f"{store.name}.done").touch()
            shutil.rmtree(images)


def _build(images: Path, store: Path) -> None:
    from dicomgeom.data_manifest import load_data_manifest
    from pretext_targets.build import build
    from pretext_targets.nifti_sets import plan_nifti
    from pretext_targets.protocol import load_protocol

    grid = load_protocol("cardiac-sax").with_changes(rows=SIDE, columns=SIDE, spacing_mm=1.0)
    acdc = load_data_manifest("acdc")
    train_all = acdc.own_splits[0].model_copy(update={"split": "train", "paths": ("*",)})
    build(plan_nifti(images, grid, acdc.model_copy(update={"own_splits": (train_all,)})), store)


def weights_of(out: Path, variant: Variant, effort: Effort, say: Callable[[str], None]) -> Path:
    """Train a variant, or go on with it, or find it done."""
    from training.loop import train
    from training.recipe import load_recipe

    store = store_of(out, variant, effort.stacks)
    size = {"steps": str(effort.steps), "backbone.width": str(effort.width)}
    changes = RECIPE | (AUGMENT if variant.augment else NO_AUGMENT) | size
    run = out / "runs" / _hash(store.name, changes)
    weights = run / "weights.safetensors"
    if not weights.exists():
        say(f"training: {variant.name}, {effort.steps} steps")
        train(load_recipe("segment-sax", changes), {"": store}, run, device="cpu")
    return weights


def dice_of(weights: Path, acdc: Path, patients: str) -> dict[str, list[float]]:
    """Dice of a network by moment and structure, remembered beside its weights."""
    remainders = (TEST_REMAINDER,) if patients == "test" else TUNING_REMAINDERS
    kept = weights.with_name(f"acdc-{patients}.json")
    if not kept.exists():
        found = scores(PhantomTaught(weights), acdc, patients_in(acdc, remainders))
        kept.write_text(json.dumps(found), encoding="utf-8")
    table: dict[str, list[float]] = json.loads(kept.read_text(encoding="utf-8"))
    return table


def row_of(name: str, table: dict[str, list[float]]) -> str:
    """A line of Markdown: mean with its interval, then each structure at each moment."""
    mean, low, high = mean_with_interval(list(table.values()))
    cells = [f"{sum(column) / len(column):.3f}" for column in table.values()]
    return f"| {name} | **{mean:.3f}** ({low:.3f} to {high:.3f}) | {' | '.join(cells)} |"


def head() -> list[str]:
    """The head of such a table."""
    columns = [f"{moment} {name}" for moment in ("ED", "ES") for name in CLASSES]
    return [f"| trained on | mean (95 %) | {' | '.join(columns)} |", "|---" * (len(columns) + 2) + "|"]


def report(out: Path, acdc: Path, patients: str, part: str, say: Callable[[str], None]) -> list[str]:
    """Train what is asked for, and tell."""
    lines = [f"ACDC patients: {patients}", "", *head()]
    jobs = [(CHOSEN, MAIN)] if part in ("main", "all") else []
    jobs += [(variant, EACH) for variant in TABLE] if part in ("table", "all") else []
    for effort in dict.fromkeys(effort for _, effort in jobs):
        make_stores(out, [variant for variant, one in jobs if one == effort], effort.stacks, say)
    for variant, effort in jobs:
        table = dice_of(weights_of(out, variant, effort, say), acdc, patients)
        lines.append(row_of(f"{variant.name}, width {effort.width}, {effort.steps} steps", table))
        say(lines[-1])
    return lines


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--acdc", type=Path, required=True)
    parser.add_argument("--knee", type=Path)
    parser.add_argument("--part", choices=("main", "table", "pictures", "all"), default="all")
    parser.add_argument("--patients", choices=("tune", "test"), default="test")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)

    def say(text: str) -> None:
        sys.stderr.write(text + "\n")

    if asked.part in ("pictures", "all"):
        from benchmarks.realism_pictures import draw_pictures

        draw_pictures(asked.out, asked.acdc, asked.knee)
    if asked.part != "pictures":
        lines = report(asked.out, asked.acdc, asked.patients, asked.part, say)
        (asked.out / f"realism-{asked.part}-{asked.patients}.md").write_text("\n".join(lines) + "\n")
        sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
