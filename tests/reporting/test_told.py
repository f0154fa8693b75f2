"""Free text loses what looks like a path, a UID or a date, and nothing else."""

from __future__ import annotations

import pytest

from reporting.told import HIDDEN, told


@pytest.mark.parametrize(
    "private",
    [
        "/export/somebody/exam 1",
        "~/doe",
        "../pacs/doe",
        "C:\\export\\doe",
        "\\\\server\\share",
        "s3://bucket/doe.zarr",
        "https://somewhere.example/doe",
        "1.2.840.113619.2.55",
        "2019-03-17",
        "17.03.2019",
        "20190317",
    ],
)
def test_what_looks_private_is_hidden(private: str) -> None:
    shown = told(f"begun from {private}, then stopped")
    assert private.split()[0] not in shown
    assert HIDDEN in shown
    assert shown.startswith("begun from ")


@pytest.mark.parametrize(
    "harmless",
    [
        "Zhang, Wei et al., Medical Image Analysis 2024",
        "main/heatmap",
        "0.5, 1e-2, 12345678",
        "80 / 3",
        "version 1.6.1",
        "and/or",
        "optimiser / learning_rate",
    ],
)
def test_other_text_stays_as_it_is(harmless: str) -> None:
    assert told(harmless) == harmless


def test_numbers_are_spelled() -> None:
    assert told(3) == "3"
