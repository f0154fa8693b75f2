"""One small export, written once for all tests that read files."""

from __future__ import annotations

from pathlib import Path

import pytest

from phantoms.cardiac_exam import CardiacExam
from phantoms.export import PhantomSummary, write_exams
from phantoms.options import ExportOptions

TINY = ExportOptions(
    phases=4,
    spacing_mm=4.5,
    columns=72,
    rows=64,
    vendor="siemens",
    enhanced_share=0,
    compressed_share=0,
    dicomdir_share=0,
    late_enhancement_share=0,
    flow_share=0,
    repeat_share=0,
)


@pytest.fixture(scope="session")
def tiny() -> ExportOptions:
    """Options for exams that take well under a second."""
    return TINY


@pytest.fixture(scope="session")
def export(tmp_path_factory: pytest.TempPathFactory) -> PhantomSummary:
    """Two small exams with their truth."""
    folder: Path = tmp_path_factory.mktemp("phantoms") / "export"
    return write_exams(folder, exams=2, seed=5, options=TINY)


@pytest.fixture(scope="session")
def exam() -> CardiacExam:
    """A full-size exam of which nothing has been sampled yet."""
    return CardiacExam(
        5,
        0,
        ExportOptions(phases=20, spacing_mm=1.6, columns=192, rows=192, vendor="siemens", repeat_share=0),
    )
