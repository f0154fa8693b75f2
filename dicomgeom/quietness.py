"""Keep pydicom quiet while headers are scanned, whether it is loaded already or only when a file needs it."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

IGNORE: Final = 0
WARN: Final = 1
"""Modes of pydicom's reader, as it counts them; it starts with the second."""

_under_way = 0


@contextmanager
def quiet() -> Iterator[None]:
    """Keep pydicom from telling of odd values: they are judged when they are used, and may name a patient.

    All settings belong to the whole process, so that this stands round a scan and not in its threads.
    """
    global _under_way
    logger = logging.getLogger("pydicom")
    was_disabled, logger.disabled = logger.disabled, True
    settings = _settings()
    mode = WARN if settings is None else settings.reading_validation_mode
    _under_way += 1
    hush()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        _under_way -= 1
        logger.disabled = was_disabled
        settings = _settings()
        if settings is not None:
            settings.reading_validation_mode = mode


def hush() -> None:
    """Tell pydicom so, by whom it has just been loaded within a scan."""
    settings = _settings()
    if _under_way and settings is not None:
        settings.reading_validation_mode = IGNORE


def _settings() -> Any:
    """Settings of pydicom; None while it is not loaded."""
    return getattr(sys.modules.get("pydicom.config"), "settings", None)
