"""What fails, or waits, on a GPU and on no CPU: tensors left on the host, values asked for, short floats."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from torch.utils import backend_registration

from training.recipe import shipped_recipes

REGISTERED_BY = "_setup_privateuseone_for_python_backend"


@pytest.fixture(scope="module")
def complaints() -> Any:
    """What is wrong with each recipe, and with each mistake made on purpose.

    In a process of its own, once: torch cannot forget a device, and its import takes seconds.
    """
    if not hasattr(backend_registration, REGISTERED_BY):
        pytest.skip("this version of torch cannot pretend a device")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.helpers.steps_on_an_accelerator"],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", shipped_recipes())
def test_a_recipe_runs_on_an_accelerator_without_waiting_for_it(name: str, complaints: Any) -> None:
    assert complaints["recipes"][name] == ""


@pytest.mark.parametrize(
    ("mistake", "said"),
    [
        ("from_the_host", r"(?i)\bdevices?\b"),
        ("that_waits", "DataDependentOutputException"),
        ("in_bfloat16", "AssertionError: location is of type torch.bfloat16"),
    ],
)
def test_a_mistake_that_no_cpu_minds_is_noticed(mistake: str, said: str, complaints: Any) -> None:
    assert re.search(said, complaints["mistakes"][mistake])
