"""The log of a run: one JSON object a line for programs, TensorBoard for eyes.

After a resume the log goes on from the checkpoint's step: lines beyond it, of steps that are now run again,
are cut off first, so that no step is in it twice. TensorBoard does the same by a mark at the head of each
of its files; torch's own writer would put the name of the machine into theirs.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.checkpoint import write_atomically

if TYPE_CHECKING:
    from training.trackers import Tracker

LOG_FILE, TENSORBOARD_FOLDER = "log.jsonl", "tensorboard"


def read_log(run: Path) -> Iterator[dict[str, Any]]:
    """The lines of a run's log; a last line that was cut off in its middle is left out."""
    path = run / LOG_FILE
    if not path.is_file():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            return


class RunLog:
    """Writes the log from a step on.

    Parameters
    ----------
    run
        The run's folder.
    step
        Steps already done: later lines are dropped.
    tracker
        Where else the numbers go.
    """

    def __init__(self, run: Path, step: int, tracker: Tracker | None = None) -> None:
        self._tracker = tracker
        kept = [line for line in read_log(run) if line["step"] <= step]
        write_atomically(run / LOG_FILE, "".join(json.dumps(line) + "\n" for line in kept).encode())
        self._file = (run / LOG_FILE).open("a", encoding="utf-8")
        self._board = Board(run / TENSORBOARD_FOLDER, step)

    def write(self, line: Mapping[str, Any]) -> None:
        """Append one line, and its numbers to TensorBoard."""
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        values = {name: value for name, value in _numbers(line) if name != "step"}
        self._board.write(line["step"], values)
        if self._tracker:
            self._tracker.write(line["step"], values)

    def close(self) -> None:
        """Close all of them."""
        self._file.close()
        self._board.close()
        if self._tracker:
            self._tracker.close()


class Board:
    """One of TensorBoard's files of events, named for the step it begins after.

    Parameters
    ----------
    folder
        Made when it is not there.
    step
        Steps already done: TensorBoard drops later ones of earlier files.
    """

    def __init__(self, folder: Path, step: int) -> None:
        from tensorboard.compat.proto.event_pb2 import (  # type: ignore[import-untyped]
            Event,
            SessionLog,
        )
        from tensorboard.summary.writer.record_writer import RecordWriter  # type: ignore[import-untyped]

        folder.mkdir(exist_ok=True)
        # What an earlier start from the same step wrote is of steps that are now run again.
        self._file = (folder / f"events.out.tfevents.{step:010d}").open("wb")
        self._records = RecordWriter(self._file)
        self._append(Event(file_version="brain.Event:2"))
        self._append(Event(step=step + 1, session_log=SessionLog(status=SessionLog.START)))

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Append the numbers of a step."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[import-untyped]

        scalars = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._append(Event(step=step, summary=Summary(value=scalars)))
        self._file.flush()

    def _append(self, event: Any) -> None:
        event.wall_time = time.time()
        self._records.write(event.SerializeToString())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _numbers(line: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for name, value in line.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{prefix}{name}/")
        elif isinstance(value, int | float):
            yield prefix + name, float(value)
