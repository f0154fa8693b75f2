"""How well a linear probe tells the place of a slice from pretrained features, beside random ones.

    python -m benchmarks.linear_probe STORE RUN [RUN ...] [--subjects 0 8 2] [--draws 5]
        [--random 3] [--level -1]

STORE has training and test patients and knows where its slices lie; RUNs are finished pretrainings on its
training patients, or an experiment's folder of `cells`, whose pretrainings are taken. Each number is R^2 on
all test slices, of a ridge regression fitted on all training patients (0) or on so many of them: median and
range of the draws. Features are of the encoder's coarsest level (-1), or of another one (-2: the one before).
Random networks are shaped as the first run's is, one row for each scale of grey values that a run has. A star
says that nobody knows whether a network saw the test patients.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch

from pretext_targets.reader import StoreReader
from training.backbones import Backbone, make_backbone
from training.model import read_model
from training.probe import COARSEST, LocatedFeatures, located_features
from training.run_file import RUN_FILE
from training.settings import BackboneSettings
from training.transfer import WEIGHTS_FILE

PRETRAINING = "pretrain-"


def main() -> None:
    """Print one line of a table for each network, the best first."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("store", type=Path)
    options.add_argument("runs", type=Path, nargs="+")
    options.add_argument("--subjects", type=int, nargs="+", default=[0, 8, 2])
    options.add_argument("--draws", type=int, default=5)
    options.add_argument("--random", type=int, default=3)
    options.add_argument("--level", type=int, default=COARSEST)
    asked = options.parse_args()
    torch.set_num_threads(1)
    reader = StoreReader(asked.store)
    runs = named(run for folder in asked.runs for run in pretrainings_in(folder))
    if not runs:
        sys.exit(f"no finished pretraining in {', '.join(map(str, asked.runs))}")
    found = {name: [located_features(run, reader, level=asked.level)] for name, run in runs.items()}
    recipes = [read_model(run / WEIGHTS_FILE)[1].recipe for run in runs.values()]
    for scale in dict.fromkeys(recipe.normalise for recipe in recipes) if asked.random else ():
        found[f"**random**, {scale}"] = [
            located_features(one, reader, level=asked.level, normalise=scale)
            for one in random_networks(recipes[0].backbone, asked.random)
        ]
    rows = {
        name + " *" * (not some[0].strangers): measured(some, asked.subjects, asked.draws)
        for name, some in found.items()
    }
    first = next(iter(found.values()))[0].probed()
    say(
        f"{first.images} slices of {first.patients} test patients; fitted on up to {first.fitted_patients}.\n"
    )
    say("| network | " + " | ".join(f"on {number or 'all'}" for number in asked.subjects) + " |")
    say("|---" * (1 + len(asked.subjects)) + "|")
    for name, cells in sorted(rows.items(), key=lambda row: -statistics.median(row[1][-1])):
        say(f"| {name} | " + " | ".join(in_words(cell) for cell in cells) + " |")


def pretrainings_in(folder: Path) -> Iterator[Path]:
    """Finished pretrainings: the folder itself, or those in it."""
    for run in (folder, *sorted(folder.glob("*/"))):
        if (run / WEIGHTS_FILE).is_file() and recipe_of(run).startswith(PRETRAINING):
            yield run


def recipe_of(run: Path) -> str:
    """Name of the recipe of a run."""
    return str(json.loads((run / RUN_FILE).read_text())["recipe"]["name"])


def named(runs: Iterable[Path]) -> dict[str, Path]:
    """Runs by the name of their recipe; where several have one, with the name of their folder."""
    every = sorted(runs)
    counts = Counter(map(recipe_of, every))
    return {
        f"`{recipe_of(run)}`" + (f", {run.name}" if counts[recipe_of(run)] > 1 else ""): run for run in every
    }


def random_networks(settings: BackboneSettings, count: int) -> Iterator[Backbone]:
    """Networks as they are drawn."""
    for seed in range(count):
        torch.manual_seed(seed)
        yield make_backbone(settings)


def measured(networks: list[LocatedFeatures], subjects: list[int], draws: int) -> list[list[float]]:
    """R^2 of all networks and draws, for each number of subjects."""
    return [
        [one.probed(number, seed).r2 for one in networks for seed in range(draws if number else 1)]
        for number in subjects
    ]


def in_words(values: list[float]) -> str:
    """Median, and range where there are several."""
    middle = f"{statistics.median(values):.2f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):.2f} to {max(values):.2f})"


def say(line: str) -> None:
    """Print at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
