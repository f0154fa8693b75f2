"""Keep pydicom quiet while headers are scanned, whether it is loaded already or only when a file needs it."""

from __future__ import annotations

import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final

IGNORE: Final = 0
WARN: Final = 1
"""Modes of pydicom's reader, as it counts them; it starts with the second."""

_lock = threading.Lock()
_under_way = 0
_undo = ExitStack()
"""What the last one out restores."""


@contextmanager
def quiet() -> Iterator[None]:
    """Keep pydicom from telling of odd values: they are judged when they are used, and may name a patient.

    All settings belong to the whole process. Blocks may overlap, in one thread or in several: the
    first one in saves and changes the settings, the last one out restores them.
    """
    global _under_way
    with _lock:
        if not _under_way:
            _silence()
        _under_way += 1
        _set_mode(IGNORE)  # each time, since pydicom may have been loaded since the first
    try:
        yield
    finally:
        with _lock:
            _under_way -= 1
            if not _under_way:
                _undo.close()


def hush() -> None:
    """Tell pydicom so, by whom it has just been loaded within a scan."""
    with _lock:
        if _under_way:
            _set_mode(IGNORE)


def _silence() -> None:
    logger, settings = logging.getLogger("pydicom"), _settings()
    _undo.callback(_set_mode, WARN if settings is None else settings.reading_validation_mode)
    _undo.callback(setattr, logger, "disabled", logger.disabled)
    logger.disabled = True
    _undo.enter_context(warnings.catch_warnings())
    warnings.simplefilter("ignore")


def _set_mode(mode: int) -> None:
    settings = _settings()
    if settings is not None:
        settings.reading_validation_mode = mode


def _settings() -> Any:
    """Settings of pydicom; None while it is not loaded."""
    return getattr(sys.modules.get("pydicom.config"), "settings", None)
