"""Which phases of a slice become examples: all, some evenly spread, end-diastole, end-systole.

End-diastole and end-systole are the catalogue's proposals: its table of phases where it has one
(`anatprep index --propose-ed-es`), else worked out from the pixels when the build is planned.
A stack for which nothing can be proposed gives all its phases, and the plan says so.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from dicomgeom.catalogue import Catalogue
from dicomgeom.phase_table import phases_by_slice, read_phases
from dicomgeom.phases import EdEs, propose_ed_es

Frames = str | int
"""As in a protocol: "all", "ED", "ED+ES" or how many."""


def evenly_spread(count: int, wanted: int) -> list[int]:
    """`wanted` of `count` places, evenly spread from the first; all when there are fewer."""
    if wanted >= count:
        return list(range(count))
    return [(index * count) // wanted for index in range(wanted)]


class PhaseChoice:
    """Chooses the frames of each slice, stack by stack."""

    def __init__(self, catalogue: Catalogue, frames: Frames) -> None:
        self._catalogue, self._frames = catalogue, frames
        by_beat = frames in ("ED", "ED+ES")
        self._told = read_phases(catalogue.folder) if by_beat else None
        self.untold: list[str] = []
        """Stacks that give all phases because nothing could be proposed."""

    def of_stack(self, stack_id: str, images: pl.DataFrame) -> dict[int, list[int]]:
        """Places of the chosen frames of each slice.

        Parameters
        ----------
        stack_id : str
            The stack.
        images : DataFrame
            Its rows of the images table, by slice and phase.
        """
        slices = {int(key[0]): part for key, part in images.partition_by("slice_index", as_dict=True).items()}
        if isinstance(self._frames, int):
            return {index: evenly_spread(len(part), self._frames) for index, part in slices.items()}
        every = {index: list(range(len(part))) for index, part in slices.items()}
        if self._frames == "all":
            return every
        chosen = self._by_beat(self._proposal(stack_id), images, slices)
        if not chosen:
            self.untold.append(stack_id)
        return every | chosen

    def _proposal(self, stack_id: str) -> EdEs:
        if self._told is not None:
            rows = self._told.filter(pl.col("stack_id") == stack_id).drop("stack_id").to_dicts()
            if rows:
                return EdEs(**rows[0])
        return propose_ed_es(self._catalogue, stack_id)

    def _by_beat(
        self, told: EdEs, images: pl.DataFrame, slices: dict[int, pl.DataFrame]
    ) -> dict[int, list[int]]:
        chosen: dict[int, list[int]] = {}
        for row in phases_by_slice(images, told).iter_rows(named=True):
            names = ("ed_phase",) if self._frames == "ED" else ("ed_phase", "es_phase")
            wanted: Sequence[int | None] = [row[name] for name in names]
            phases = slices[row["slice_index"]]["phase_index"].to_list()
            places = [place for place, phase in enumerate(phases) if phase is not None and phase in wanted]
            if places:
                chosen[row["slice_index"]] = places
        return chosen
