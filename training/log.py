"""The log of a run: one JSON object a line for programs, TensorBoard for eyes.

After a resume the log goes on from the checkpoint's step: lines beyond it, of steps that are now run again,
are cut off first, so that no step is in it twice.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from training.checkpoint import write_atomically

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
    """

    def __init__(self, run: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        kept = [line for line in read_log(run) if line["step"] <= step]
        write_atomically(run / LOG_FILE, "".join(json.dumps(line) + "\n" for line in kept).encode())
        self._file = (run / LOG_FILE).open("a", encoding="utf-8")
        self._board = SummaryWriter(run / TENSORBOARD_FOLDER, purge_step=step + 1)

    def write(self, line: Mapping[str, Any]) -> None:
        """Append one line, and its numbers to TensorBoard."""
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        for name, value in _numbers(line):
            if name != "step":
                self._board.add_scalar(name, value, line["step"])

    def close(self) -> None:
        """Close both."""
        self._file.close()
        self._board.close()


def _numbers(line: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for name, value in line.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{prefix}{name}/")
        elif isinstance(value, int | float):
            yield prefix + name, float(value)
