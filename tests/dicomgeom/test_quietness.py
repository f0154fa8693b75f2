"""What is hushed while headers are scanned, and restored after."""

from __future__ import annotations

import logging
import sys
import threading
import warnings
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydicom.config import settings

from dicomgeom.pixels import read_image
from dicomgeom.quietness import IGNORE, WARN, hush, quiet
from tests.helpers.dicom_files import axial, write_mr

LOGGER = logging.getLogger("pydicom")


def state() -> tuple[bool, int, list[Any]]:
    return LOGGER.disabled, settings.reading_validation_mode, list(warnings.filters)


def assert_hushed() -> None:
    assert LOGGER.disabled
    assert settings.reading_validation_mode == IGNORE
    warnings.warn("a value that names a patient", stacklevel=1)  # an error in all tests


@pytest.mark.parametrize("first_out", [0, 1])
def test_blocks_that_overlap_stay_quiet_until_the_last_is_left(first_out: int) -> None:
    before = state()
    blocks = [ExitStack(), ExitStack()]
    for block in blocks:
        block.enter_context(quiet())
        assert_hushed()
    blocks[first_out].close()
    assert_hushed()
    blocks[1 - first_out].close()
    assert state() == before


def test_threads_that_overlap_leave_everything_as_they_found_it() -> None:
    before, threads = state(), 4
    together = threading.Barrier(threads)
    heard = []

    def scan(number: int) -> None:
        together.wait()
        for turn in range(200):
            with quiet():
                if not LOGGER.disabled or settings.reading_validation_mode != IGNORE:
                    heard.append((number, turn))

    scans = [threading.Thread(target=scan, args=(number,)) for number in range(threads)]
    for one in scans:
        one.start()
    for one in scans:
        one.join()
    assert not heard
    assert state() == before


def test_an_error_within_a_block_restores_everything() -> None:
    before = state()
    with pytest.raises(KeyError), quiet():
        raise KeyError
    assert state() == before


def test_settings_of_the_user_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LOGGER, "disabled", True)
    monkeypatch.setattr(settings, "reading_validation_mode", 2)
    with quiet():
        assert_hushed()
    assert state()[:2] == (True, 2)


@pytest.mark.parametrize("told_by", ["hush", "another block"])
def test_pydicom_loaded_within_a_block_is_hushed_and_freed_after(
    monkeypatch: pytest.MonkeyPatch, told_by: str
) -> None:
    monkeypatch.delitem(sys.modules, "pydicom.config")
    loaded = SimpleNamespace(reading_validation_mode=WARN)
    with quiet():
        monkeypatch.setitem(sys.modules, "pydicom.config", SimpleNamespace(settings=loaded))
        if told_by == "hush":
            hush()
        else:
            with quiet():
                pass
        assert loaded.reading_validation_mode == IGNORE
    assert loaded.reading_validation_mode == WARN
    hush()  # changes nothing where no scan is under way
    assert loaded.reading_validation_mode == WARN


def test_reading_pixels_neither_unhushes_a_scan_nor_silences_what_follows(tmp_path: Path) -> None:
    write_mr(tmp_path / "a", axial())
    disabled, _, filters = state()
    with quiet():
        read_image(str(tmp_path), "a")
        assert_hushed()
    read_image(str(tmp_path), "a")
    assert (LOGGER.disabled, list(warnings.filters)) == (disabled, filters)
