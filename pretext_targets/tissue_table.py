"""What the codes of `tissue` stand for, kept in a store's attributes: training computes signals from it."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dicomgeom.errors import IntegrityError

FILE = "tissues.json"
"""Name of the table, in the folder of the tissue images."""

FORMAT, VERSION = "anatprep-tissues", 1

UNKNOWN_TISSUE = 255
"""Code in `tissue` of an image of which nobody knows what it shows."""


class TissueFacts(BaseModel):
    """One tissue: what decides its brightness.

    Attributes
    ----------
    density
        Proton density, 0 to 1; what has none (air) gives no signal.
    t1_ms, t2_ms
        Relaxation times.
    fat
        Share of it that is fat, 0 to 1, whose signal can be suppressed.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    density: float = Field(ge=0, le=1)
    t1_ms: float = Field(gt=0)
    t2_ms: float = Field(gt=0)
    fat: float = Field(default=0.0, ge=0, le=1)


class _Row(TissueFacts):
    number: int


class _Table(BaseModel):
    format: str
    version: int
    tissues: tuple[_Row, ...] = Field(min_length=1, max_length=UNKNOWN_TISSUE)


def read_tissue_table(path: Path) -> tuple[TissueFacts, ...]:
    """Tissues in the order of their numbers, which count from 0.

    Raises
    ------
    IntegrityError
        When the file is no such table.
    """
    expected = f"expected a table of {FORMAT}, version {VERSION}, as `anatprep phantom` writes it"
    try:
        table = _Table.model_validate(json.loads(path.read_bytes()))
    except (OSError, ValueError, ValidationError) as error:
        raise IntegrityError(f"{path} cannot be read; {expected}") from error
    if (table.format, table.version) != (FORMAT, VERSION):
        raise IntegrityError(f"{path} is {table.format}, version {table.version}; {expected}")
    if [row.number for row in table.tissues] != list(range(len(table.tissues))):
        raise IntegrityError(f"{path}: the tissues' numbers do not count from 0; {expected}")
    return tuple(TissueFacts(**row.model_dump(exclude={"number"})) for row in table.tissues)
