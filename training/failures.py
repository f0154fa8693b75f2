"""What is said, in one line each, when a run cannot go on: of a loss, a GPU's memory, a full disk.

What the run had saved by then stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from dicomgeom.errors import NO_ROOM, AnatprepError, IntegrityError, Unreachable, WrongUse, first_line
from training.checkpoint import position_of
from training.free_memory import room_on
from training.run_folder import CHECKPOINT_FILE
from training.tasks.task import Batch

ROWS_TOLD = 32
"""Of a larger batch only the first rows are named."""

ROOM_SHARE = 0.9
"""Of the memory there is: what lies between its pieces is lost."""

PROBED = (2, 6)
"""Batches that are tried in order to estimate what a larger one needs."""


def kept(run: Path) -> str:
    """What is there to go on from, as a clause."""
    try:
        step = position_of(run / CHECKPOINT_FILE).step
    except IntegrityError:
        return "no checkpoint was made yet"
    return f"its last checkpoint, of step {step}, is kept"


def batch_told(store: str, rows: Sequence[int], crops: Sequence[Batch]) -> str:
    """The rows of a batch, and those of them that hold values no loss can be finite with.

    Rows are places in the store: they say nothing about patients, and the private catalogue traces them.
    """
    more = f" and {len(rows) - ROWS_TOLD} more" if len(rows) > ROWS_TOLD else ""
    told = f"rows {', '.join(str(row) for row in rows[:ROWS_TOLD])}{more} of the store {store}"
    odd = sorted({row for batch in crops for row in _odd_rows(batch)})
    if not odd:
        return told
    return f"{told}, of which {', '.join(map(str, odd[:ROWS_TOLD]))} hold infinite values"


def _odd_rows(batch: Batch) -> list[int]:
    """Rows with pixels that are no finite numbers, or with an infinite label; NaN is an unknown one."""
    odd = ~torch.isfinite(batch.image).flatten(1).all(dim=1)
    for values in batch.labels.values():
        if values.is_floating_point():
            odd |= torch.isinf(values).reshape(len(odd), -1).any(dim=1)
    found: list[int] = batch.example[odd].tolist()
    return found


def batch_that_fits(peak_bytes: Mapping[int, int], room_bytes: int) -> int:
    """The largest batch whose peak stays in the room, on the straight line through two measured peaks."""
    (few, least), (many, most) = sorted(peak_bytes.items())
    image_bytes = max(1.0, (most - least) / (many - few))
    return max(0, int((ROOM_SHARE * room_bytes - least) / image_bytes + few))


def too_large(batch: int, members: int, device: torch.device, step: Callable[[int], None]) -> str:
    """Why a step did not fit into the memory of a GPU, and what would.

    Parameters
    ----------
    batch
        Images in a batch of the whole team.
    members
        Processes that share a batch.
    step
        Does the step with so many images on this member, without changing the weights.
    """
    room_bytes = room_on(device)
    told = f"a batch of {batch} does not fit into the {room_bytes / 1e9:.1f} GB of {device}"
    try:
        peaks = {images: peak_on(device, lambda: step(images)) for images in PROBED}  # noqa: B023
        fits = batch_that_fits(peaks, room_bytes) * members
    except torch.OutOfMemoryError:
        fits = 0
    if not 0 < fits < batch:
        return f"{told}, nor would a few images: set a smaller backbone.width, in a new folder"
    return f"{told}; about {fits} would: set batch_size={fits} or a smaller backbone.width, in a new folder"


def peak_on(device: torch.device, work: Callable[[], None]) -> int:
    """Most bytes of a GPU that were in use at once during some work."""
    torch.cuda.reset_peak_memory_stats(device)
    work()
    return torch.cuda.max_memory_allocated(device)


@contextmanager
def told_in_one_line(run: Path) -> Iterator[None]:
    """Within, a full disk and a GPU without room for the network are errors of ours.

    Raises
    ------
    Unreachable
        The disk took no more.
    WrongUse
        The GPU's memory does not hold what is done outside the steps: to begin, to validate.
    """
    try:
        yield
    except AnatprepError:
        raise
    except torch.OutOfMemoryError as error:
        raise WrongUse(
            "the GPU has too little free memory outside the steps, as to begin or to validate "
            f"({first_line(error)}); {kept(run)}: end what else runs on it or take --device cpu and run the "
            "same command again, or set a smaller backbone.width in a new folder"
        ) from error
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise Unreachable(
            f"{run} could not be written on ({error.strerror}); {kept(run)}: free some space and run the "
            "same command again to go on"
        ) from error
