"""Where a batch's raw arrays come from: memory of the device, memory of the host, or the store itself.

The small columns and the rasters that the tasks need are read once into tensors when they fit: on the
device, else on the host, where the processes of a team share them (`training.shared_memory`). Larger stores
are streamed by their reader, a batch ahead in a thread of its own. All three give the same numbers, and none
waits for what a GPU still has to compute: what goes there goes through pinned memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dicomgeom.progress import Progress, silent
from pretext_targets.places import Place
from pretext_targets.reader import StoreReader
from training.free_memory import free_on, free_on_host
from training.shared_memory import Layout, Members, shared_arrays

DEVICE_SHARE, HOST_SHARE = 0.4, 0.5
"""How much of the free memory of a GPU, and of the host, resident images may take."""

READ_AT_ONCE = 256

Rows = NDArray[np.int64]


class Source(Protocol):
    """Gives raw arrays of rows as tensors on the training device."""

    place: str

    def fetch(self, rows: Rows) -> dict[str, Tensor]:
        """The arrays of these rows, in this order."""
        ...

    def announce(self, rows: Rows) -> None:
        """These rows will be asked for next."""
        ...


class Resident:
    """Rows held as tensors.

    Parameters
    ----------
    held
        Name -> tensor whose first axis runs along `rows`; all lie on one device.
    rows
        The store's row numbers that are held.
    examples
        Rows of the whole store.
    device
        Where batches are wanted.
    """

    def __init__(self, held: Mapping[str, Tensor], rows: Rows, examples: int, device: torch.device) -> None:
        self._held, self._device = held, device
        self._home = next(iter(held.values())).device
        self.place = "host" if self._home.type == "cpu" else "device"
        self._local = np.full(examples, -1, dtype=np.int64)
        self._local[rows] = np.arange(len(rows))

    def fetch(self, rows: Rows) -> dict[str, Tensor]:
        """Gather the rows where they lie, then move them."""
        local = brought(torch.from_numpy(self._local[rows]), self._home)
        return {name: brought(held.index_select(0, local), self._device) for name, held in self._held.items()}

    def announce(self, rows: Rows) -> None:
        """Nothing to do: everything is here."""


class Streamed:
    """Rows read from the store when they are asked for, the announced ones ahead of time."""

    place = "store"

    def __init__(self, place: Place, names: Sequence[str], device: torch.device) -> None:
        # A reader is for one thread; this one lives in the pool's only thread.
        self._reader = StoreReader(place)
        self._names = tuple(names)
        self._device = device
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="read-ahead")
        self._ahead: tuple[bytes, Future[dict[str, Tensor]]] | None = None

    def _read(self, rows: Rows) -> dict[str, Tensor]:
        read = {name: as_tensor(self._reader.read(name, rows)) for name in self._names}
        if self._device.type != "cuda":
            return read
        # Each thread has a current GPU of its own, and pinning memory asks that one.
        with torch.cuda.device(self._device):
            return {name: values.pin_memory() for name, values in read.items()}

    def fetch(self, rows: Rows) -> dict[str, Tensor]:
        """The rows, from the reading that was announced where it was this one."""
        if self._ahead is not None and self._ahead[0] == rows.tobytes():
            tensors = self._ahead[1].result()
        else:
            tensors = self._pool.submit(self._read, rows).result()
        self._ahead = None
        return {name: values.to(self._device, non_blocking=True) for name, values in tensors.items()}

    def announce(self, rows: Rows) -> None:
        """Begin to read them."""
        self._ahead = (rows.tobytes(), self._pool.submit(self._read, rows))


def as_tensor(values: NDArray[Any]) -> Tensor:
    """An array as a tensor; uint16 as the same bits in int16, since torch can hardly compute with uint16."""
    values = np.ascontiguousarray(values)
    if not values.flags.writeable:
        values = values.copy()
    return torch.from_numpy(values.view(np.int16) if values.dtype == np.uint16 else values)


def brought(values: Tensor, device: torch.device) -> Tensor:
    """A tensor on a device, without a wait: a copy from memory that is not pinned waits for the whole GPU."""
    if values.device.type == "cpu" and device.type == "cuda":
        return values.pin_memory().to(device, non_blocking=True)
    return values.to(device)


def open_source(
    reader: StoreReader,
    names: Sequence[str],
    rows: Rows,
    device: torch.device,
    *,
    memory_bytes: int | None = None,
    team: Members | None = None,
    progress: Progress = silent,
) -> Source:
    """Hold the rows in memory where they fit, else stream them.

    Parameters
    ----------
    names
        Arrays that batches need.
    rows
        Rows that will ever be asked for.
    memory_bytes
        The most that may be held; None takes a share of what is free.
    team
        Its members call this together; they hold the rows alike, those of a machine's host memory once.
    """
    layout = layout_of(reader, names, len(rows))
    together = team if team is not None and team.size > 1 else None
    on_gpu = device.type == "cuda" and layout.bytes <= _budget(device, memory_bytes)
    if together is not None:
        on_gpu = all(together.gathered(on_gpu))
    if on_gpu:
        return Resident(read_onto(device, reader, layout, rows, progress), rows, len(reader), device)

    def fill(name: str, values: NDArray[Any]) -> None:
        for start, some in _pieces(reader, name, rows, progress):
            values[start : start + len(some)] = some

    cpu = torch.device("cpu")
    fits = layout.bytes <= _budget(cpu, memory_bytes)
    held: dict[str, Tensor] | None = None
    if together is not None:
        shared = shared_arrays(layout, fits, fill, together)
        if shared is not None:
            held = {name: as_tensor(values) for name, values in shared.items()}
    elif fits:
        held = read_onto(cpu, reader, layout, rows, progress)
    if held is None:
        return Streamed(reader.place, names, device)
    return Resident(held, rows, len(reader), device)


def layout_of(reader: StoreReader, names: Sequence[str], count: int) -> Layout:
    """Of `count` examples."""
    attributes = reader.attributes
    fields = {one.name: one for one in attributes.fields}
    return Layout(
        {
            name: ((count, *attributes.shape_of(fields[name])[1:]), np.dtype(fields[name].dtype))
            for name in names
        }
    )


def share_of_memory(device: torch.device, on_host: int, on_device: int) -> int:
    """The most that each of several processes may hold which begin together, each with a store of its own.

    Parameters
    ----------
    on_host, on_device
        How many there are on this machine, and on the GPU `device`.
    """
    share = _budget(torch.device("cpu"), None) // on_host
    return min(share, _budget(device, None) // on_device) if device.type == "cuda" else share


def _budget(device: torch.device, memory_bytes: int | None) -> int:
    if memory_bytes is not None:
        return memory_bytes
    if device.type == "cuda":
        return int(DEVICE_SHARE * free_on(device))
    return int(HOST_SHARE * free_on_host())


def read_onto(
    device: torch.device, reader: StoreReader, layout: Layout, rows: Rows, progress: Progress
) -> dict[str, Tensor]:
    """The rows on a device, brought there a few at a time: the host never holds what a GPU has room for."""
    held = {}
    for name, (shape, dtype) in layout.arrays.items():
        held[name] = torch.empty(shape, dtype=as_tensor(np.empty(0, dtype)).dtype, device=device)
        for start, some in _pieces(reader, name, rows, progress):
            held[name][start : start + len(some)] = as_tensor(some)
    return held


def _pieces(
    reader: StoreReader, name: str, rows: Rows, progress: Progress
) -> Iterator[tuple[int, NDArray[Any]]]:
    """An array of the rows, `READ_AT_ONCE` at a time, each with where it begins."""
    for start in range(0, len(rows), READ_AT_ONCE):
        yield start, reader.read(name, rows[start : start + READ_AT_ONCE])
        if name == "image":
            progress("loading images", done=min(start + READ_AT_ONCE, len(rows)), total=len(rows))
