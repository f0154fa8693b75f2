"""What a batch is a number of: slices, pairs of slices, or whole series; and which rows each brings along.

A unit is named by one of its rows, so that the same order serves all three. Slices of one stack and phase
make a series; the two slices of a pair come from one series, the second drawn by the unit's key.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pretext_targets.reader import StoreReader
from training.draws import mixed, uniform
from training.sources import Rows

_PARTNER, _WITHIN, _VIEW = 201, 202, 203


@dataclass(frozen=True)
class Picked:
    """The rows of one view of a batch.

    Attributes
    ----------
    rows
        (b,) rows of the store.
    keys
        (b,) int64 keys of their random draws.
    unit
        (b,) int64 the unit of the batch, from 0, that each row belongs to.
    """

    rows: Rows
    keys: Tensor
    unit: Tensor


class Units(Protocol):
    """Units of a stream; `rows` names them all, one row each."""

    rows: Rows

    def pick(self, units: Rows, keys: Tensor) -> list[Picked]:
        """The rows of some units with their keys: one entry, or two for pairs."""
        ...


class Slices:
    """Every row by itself."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows

    def pick(self, units: Rows, keys: Tensor) -> list[Picked]:
        """The rows themselves."""
        return [Picked(units, keys, torch.arange(len(units)))]


class Pairs:
    """Two slices of one series; a row whose series has no other is left out."""

    def __init__(self, rows: Rows, series: NDArray[np.int64], place: NDArray[np.int64]) -> None:
        self._members = _members(rows, series, place)
        self._of_row = {int(row): members for members in self._members for row in members}
        self.rows = np.array([row for row in rows if len(self._of_row[int(row)]) > 1], dtype=np.int64)

    def pick(self, units: Rows, keys: Tensor) -> list[Picked]:
        """The rows, and for each another row of its series: every other one with the same chance."""
        chance = uniform(keys, _PARTNER).double().numpy()
        partners = np.array(
            [self._partner(int(row), float(c)) for row, c in zip(units, chance, strict=True)], dtype=np.int64
        )
        unit = torch.arange(len(units))
        return [Picked(units, keys, unit), Picked(partners, keys, unit)]

    def _partner(self, row: int, chance: float) -> int:
        others = self._of_row[row]
        others = others[others != row]
        return int(others[int(chance * len(others))])


class Series:
    """All slices of a stack at one phase, in their order along it; named by the first."""

    def __init__(self, rows: Rows, series: NDArray[np.int64], place: NDArray[np.int64]) -> None:
        self._of_first = {int(members[0]): members for members in _members(rows, series, place)}
        self.rows = np.array(sorted(self._of_first), dtype=np.int64)

    def pick(self, units: Rows, keys: Tensor) -> list[Picked]:
        """All rows of these series, one series after the other; each row with a key of its own."""
        members = [self._of_first[int(first)] for first in units]
        unit = torch.from_numpy(np.repeat(np.arange(len(units)), [len(one) for one in members]))
        rows = np.concatenate(members) if members else np.zeros(0, np.int64)
        return [Picked(rows, mixed(keys[unit], _WITHIN, torch.from_numpy(rows)), unit)]


def _members(rows: Rows, series: NDArray[np.int64], place: NDArray[np.int64]) -> list[Rows]:
    """Rows of each series in the order of their places."""
    order = np.lexsort((rows, place, series))
    cuts = np.flatnonzero(np.diff(series[order])) + 1
    return np.split(rows[order], cuts) if len(rows) else []


def make_units(kind: str, rows: Rows, reader: StoreReader) -> Units:
    """The units of a kind ("slice", "pair", "series") that rows of a store make up."""
    if kind == "slice":
        return Slices(rows)
    series = series_of(reader, rows)
    place = reader.column("slice_index")[rows].astype(np.int64)
    return Pairs(rows, series, place) if kind == "pair" else Series(rows, series, place)


def series_of(reader: StoreReader, rows: Rows) -> NDArray[np.int64]:
    """(n,) numbers, equal for rows of one stack and phase."""
    stacks = reader.column("stack_key")[rows]
    phases = reader.column("phase_index")[rows].astype(np.int32)
    named = np.concatenate([stacks, phases.view(np.uint8).reshape(len(rows), 4)], axis=1)
    return np.unique(named, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)


def view_keys(keys: Tensor, number: int) -> Tensor:
    """Keys of the draws of view `number` (from 0) of the same rows; the first view keeps its own."""
    return keys if number == 0 else mixed(keys, _VIEW, number)
