"""Where a batch's raw arrays come from: memory of the device, memory of the host, or the store itself.

The small columns and the rasters that the tasks need are read once into tensors when they fit: on the
device, else on the host. Larger stores are streamed by their reader, a batch ahead in a thread of its own.
All three give the same numbers.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dicomgeom.progress import Progress, silent
from pretext_targets.places import Place
from pretext_targets.reader import StoreReader

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
    arrays
        Name -> array whose first axis runs along `rows`.
    rows
        The store's row numbers that are held.
    examples
        Rows of the whole store.
    home, device
        Where the tensors lie, and where batches are wanted.
    """

    def __init__(
        self,
        arrays: Mapping[str, NDArray[Any]],
        rows: Rows,
        examples: int,
        home: torch.device,
        device: torch.device,
    ) -> None:
        self.place = "device" if home == device and home.type != "cpu" else "host"
        self._device = device
        self._held = {name: as_tensor(values).to(home) for name, values in arrays.items()}
        self._pinned = home.type == "cpu" and device.type == "cuda"
        self._local = np.full(examples, -1, dtype=np.int64)
        self._local[rows] = np.arange(len(rows))
        self._home = home

    def fetch(self, rows: Rows) -> dict[str, Tensor]:
        """Gather the rows where they lie, then move them."""
        local = torch.from_numpy(self._local[rows]).to(self._home)
        gathered = {name: held.index_select(0, local) for name, held in self._held.items()}
        if self._pinned:
            return {
                name: values.pin_memory().to(self._device, non_blocking=True)
                for name, values in gathered.items()
            }
        return {name: values.to(self._device) for name, values in gathered.items()}

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
        self._ahead: tuple[bytes, Future[dict[str, NDArray[Any]]]] | None = None

    def _read(self, rows: Rows) -> dict[str, NDArray[Any]]:
        return {name: self._reader.read(name, rows) for name in self._names}

    def fetch(self, rows: Rows) -> dict[str, Tensor]:
        """The rows, from the reading that was announced where it was this one."""
        if self._ahead is not None and self._ahead[0] == rows.tobytes():
            arrays = self._ahead[1].result()
        else:
            arrays = self._pool.submit(self._read, rows).result()
        self._ahead = None
        return {
            name: as_tensor(values).to(self._device, non_blocking=True) for name, values in arrays.items()
        }

    def announce(self, rows: Rows) -> None:
        """Begin to read them."""
        self._ahead = (rows.tobytes(), self._pool.submit(self._read, rows))


def as_tensor(values: NDArray[Any]) -> Tensor:
    """An array as a tensor; uint16 as the same bits in int16, since torch can hardly compute with uint16."""
    values = np.ascontiguousarray(values)
    if not values.flags.writeable:
        values = values.copy()
    return torch.from_numpy(values.view(np.int16) if values.dtype == np.uint16 else values)


def open_source(
    reader: StoreReader,
    names: Sequence[str],
    rows: Rows,
    device: torch.device,
    *,
    memory_bytes: int | None = None,
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
    """
    needed = len(rows) * _bytes_a_row(reader, names)
    home = device if device.type == "cpu" or needed <= _budget(device, memory_bytes) else torch.device("cpu")
    if home.type == "cpu" and needed > _budget(home, memory_bytes):
        return Streamed(reader.place, names, device)
    arrays = {name: _read_all(reader, name, rows, progress) for name in names}
    return Resident(arrays, rows, len(reader), home, device)


def _bytes_a_row(reader: StoreReader, names: Sequence[str]) -> int:
    attributes = reader.attributes
    fields = {one.name: one for one in attributes.fields}
    shapes = {name: attributes.shape_of(fields[name])[1:] for name in names}
    return sum(
        int(np.prod(shape, dtype=np.int64)) * np.dtype(fields[name].dtype).itemsize
        for name, shape in shapes.items()
    )


def _budget(device: torch.device, memory_bytes: int | None) -> int:
    if memory_bytes is not None:
        return memory_bytes
    if device.type == "cuda":
        return int(DEVICE_SHARE * torch.cuda.mem_get_info(device)[0])
    return int(HOST_SHARE * os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))


def _read_all(reader: StoreReader, name: str, rows: Rows, progress: Progress) -> NDArray[Any]:
    parts = []
    for start in range(0, len(rows), READ_AT_ONCE):
        parts.append(reader.read(name, rows[start : start + READ_AT_ONCE]))
        if name == "image":
            progress("loading images", done=min(start + READ_AT_ONCE, len(rows)), total=len(rows))
    return np.concatenate(parts) if parts else reader.read(name, rows)
