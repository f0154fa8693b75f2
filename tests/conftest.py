"""Settings that every test shares."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# The tests train tiny networks; one thread each is fastest and gives equal sums everywhere.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Machines that run tests are slow in bursts: a deadline would fail by chance, never by fault.
settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")


@pytest.fixture(autouse=True)
def no_workspace_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the workspace of the person who runs the tests out of them."""
    monkeypatch.delenv("ANATPREP_WORKSPACE", raising=False)


@pytest.fixture(scope="session")
def heart_export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give an export of one small heart exam; not to be changed."""
    from tests.helpers.exams import write_heart_exam

    return write_heart_exam(tmp_path_factory.mktemp("export"))
