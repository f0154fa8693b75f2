"""Where real exams lie on machines that have them; tests that use them skip, saying so, elsewhere."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
REAL = Path(os.environ.get("ANATPREP_REAL_DATA", PROJECT.parent / "shared" / "real"))


def real_exam(name: str) -> Path:
    """Folder of a real data set, or skip the test."""
    folder = REAL / name
    if not folder.is_dir():
        pytest.skip(f"real data not on this machine: {name} (looked in {REAL}; set ANATPREP_REAL_DATA)")
    return folder
