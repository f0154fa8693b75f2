"""The phantoms there are."""

from __future__ import annotations

from collections.abc import Mapping

from phantoms.cardiac_exam import CardiacExam
from phantoms.exam import Exam
from phantoms.knee_exam import KneeExam
from phantoms.options import ExportOptions

_EXAMS: Mapping[str, type[Exam]] = {"cardiac": CardiacExam, "knee": KneeExam}

ANATOMIES = tuple(_EXAMS)
"""Their names."""


def exam_of(anatomy: str, seed: int, index: int, options: ExportOptions) -> Exam:
    """Exam `index` of an export of this anatomy."""
    return _EXAMS[anatomy](seed, index, options)
