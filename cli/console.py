"""What a command shows: tables and sentences for people, one JSON object for scripts.

With ``--json`` standard output carries exactly one JSON object and everything else goes
to standard error, so that ``anatprep ... --json | jq`` always works.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from threading import Timer
from typing import TYPE_CHECKING, Any

import typer

from dicomgeom.errors import EXIT_DONE, EXIT_SOME_SKIPPED
from dicomgeom.progress import Progress, Waiting

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

UPDATES_PER_SECOND = 5
"""How often a progress bar is drawn again at most: each time takes a millisecond."""

QUIET_S = 2.0
"""Where there is no terminal: nothing is told of work that takes no longer, so that an error is one line."""

LINE_EVERY_S = 60.0
LINE_EVERY_SHARE = 0.04
"""Where there is no terminal: how long one kind of work is silent, in seconds, or as a share of the time
since the command began, whichever is longer. A day of it is told in about 130 lines."""

NEVER_S = float("-inf")
"""Of what was not told yet: when it was."""

PIPE_WIDTH = 240
"""Columns of text where standard output is no terminal."""


class Screen:
    """Where one command talks.

    Parameters
    ----------
    as_json : bool
        Keep standard output for the one JSON object.
    """

    def __init__(self, *, as_json: bool = False) -> None:
        from rich.console import Console

        self.as_json = as_json
        stream = sys.stderr if as_json else sys.stdout
        # A pipe has no width: cut nothing there.
        width = None if stream.isatty() else PIPE_WIDTH
        self._text: Console = Console(
            stderr=as_json, width=width, highlight=False, markup=False, emoji=False, soft_wrap=True
        )

    def fall_silent(self) -> None:
        """Print nothing from now on: of several processes that do one work, one talks."""
        self._text.quiet, self.as_json = True, False

    def say(self, text: str = "") -> None:
        """Print a line for people, as it stands."""
        self._text.print(text)

    def heading(self, text: str) -> None:
        """Print a line that stands out on a terminal."""
        self._text.print(text, style="bold")

    def command(self, line: str) -> None:
        """Print a command the way one would see it in a shell."""
        self._text.print(f"$ {line}", style="cyan")

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[object]], *, title: str = "") -> None:
        """Print rows under their columns; numbers stand right. Without rows nothing is printed."""
        if not rows:
            return
        from rich.box import SIMPLE_HEAD
        from rich.table import Table

        table = Table(title=title or None, box=SIMPLE_HEAD, title_justify="left", pad_edge=False)
        for number, column in enumerate(columns):
            values = [row[number] for row in rows]
            right = bool(values) and all(value is None or isinstance(value, int | float) for value in values)
            table.add_column(column, justify="right" if right else "left", overflow="fold")
        for row in rows:
            table.add_row(*(spelled(value) for value in row))
        self._text.print(table, soft_wrap=False)

    def counts(self, title: str, counts: Mapping[str, int]) -> None:
        """Print how often each thing was there, the most frequent first."""
        if counts:
            ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
            self.table((title, "count"), ordered)

    def next_command(self, line: str) -> None:
        """Name the command that comes next."""
        self.say(f"next: {line}")

    @contextmanager
    def progress(self) -> Iterator[Progress]:
        """Give a progress callback: bars on a terminal; elsewhere plain lines now and then."""
        if not sys.stderr.isatty():
            with _Lines(self) as lines:
                yield lines
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}", style="dim"),
            TimeRemainingColumn(),
        )
        with Bars(
            *columns, console=Console(stderr=True), refresh_per_second=UPDATES_PER_SECOND, transient=True
        ) as bars:
            yield _OneBar(bars)

    @property
    def is_silent(self) -> bool:
        """Whether another process talks."""
        return self._text.quiet

    def finish(self, result: Mapping[str, Any], *, skipped: bool = False, exit_code: int = EXIT_DONE) -> None:
        """Print the JSON object where one was asked for, and end with the right exit code.

        Raises
        ------
        typer.Exit
            When the code is not 0: `exit_code`, or 3 when some input was skipped.
        """
        if self.as_json:
            print_json(result)
        code = EXIT_SOME_SKIPPED if skipped and exit_code == EXIT_DONE else exit_code
        if code != EXIT_DONE:
            raise typer.Exit(code)


class _OneBar:
    """Shows the step that is under way; a text that changes within a step changes its caption."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._bar: TaskID | None = None
        self._what = ""
        self._total: int | None = None
        self._done = 0
        self._drawn_at_s = 0.0

    def __call__(self, what: str, *, done: int, total: int | None) -> None:
        goes_on = self._bar is not None and total == self._total and done >= self._done
        if self._bar is None or not (what == self._what or goes_on):
            if self._bar is not None:
                self._bars.remove_task(self._bar)
            self._bar = self._bars.add_task(what, total=total, rate="")
            self._drawn_at_s = 0.0
        self._what, self._total, self._done = what, total, done
        now_s = time.monotonic()
        if now_s - self._drawn_at_s >= 1 / UPDATES_PER_SECOND or done == total:
            speed = self._bars.tasks[-1].speed  # of the last half minute
            self._bars.update(self._bar, description=what, completed=done, total=total, rate=rate_told(speed))
            self._drawn_at_s = now_s


class _Lines:
    """Writes plain lines to standard error: at the start of each kind of work, and then now and then.

    For logs of jobs, which nobody watches and everybody searches: little is written, and never over anything.
    """

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._began_s = time.monotonic()
        self._kinds: dict[str, _Kind] = {}
        self._latest: _Kind | None = None
        # Some work tells of itself once and is silent for long: that is told without being asked.
        self._first_words = Timer(QUIET_S, self._tell_latest)
        self._first_words.daemon = True

    def __enter__(self) -> _Lines:
        self._first_words.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._first_words.cancel()

    def __call__(self, what: str, *, done: int, total: int | None) -> None:
        if isinstance(what, Waiting):
            self._screen.say(what)
            return
        now_s = time.monotonic()
        kind = self._kinds.get(what)
        if kind is None:
            kind = self._kinds[what] = _Kind(what, now_s, done)
        elif done < kind.done:  # the same kind once more, of something else
            kind.first_s, kind.first_done = now_s, done
        kind.done, kind.total = done, total
        self._latest = kind
        since_s = now_s - self._began_s
        if since_s >= QUIET_S and now_s - kind.told_s >= max(LINE_EVERY_S, LINE_EVERY_SHARE * since_s):
            self._tell(kind, now_s)

    def _tell_latest(self) -> None:
        if self._latest is not None and self._latest.told_s == NEVER_S:
            self._tell(self._latest, time.monotonic())

    def _tell(self, kind: _Kind, now_s: float) -> None:
        kind.told_s = now_s
        if not self._screen.is_silent:
            sys.stderr.write(f"{kind.line(now_s)}\n")
            sys.stderr.flush()


@dataclass
class _Kind:
    """One kind of work: since when, and how far it was then and is now; when it was told last."""

    what: str
    first_s: float
    first_done: int
    done: int = 0
    total: int | None = None
    told_s: float = NEVER_S

    def line(self, now_s: float) -> str:
        """Spell it as "training: 1,200 of 50,000, 3.1/s, 4:22:05 left"."""
        parts = [f"{self.done:,}" if self.total is None else f"{self.done:,} of {self.total:,}"]
        seconds, came = now_s - self.first_s, self.done - self.first_done
        if came > 0 and seconds > 0:
            parts.append(rate_told(came / seconds))
            if self.total is not None and self.total > self.done:
                left_s = round((self.total - self.done) * seconds / came)
                parts.append(f"{timedelta(seconds=left_s)} left")
        return f"{self.what}: {', '.join(parts)}"


def rate_told(per_second: float | None) -> str:
    """A rate: "12/s", or of a minute or an hour where less than one is done in a second or minute."""
    if not per_second:
        return ""
    for unit, seconds in (("s", 1), ("min", 60)):
        if per_second * seconds >= 1:
            return f"{per_second * seconds:,.3g}/{unit}" if per_second < 1000 else f"{per_second:,.0f}/{unit}"
    return f"{per_second * 3600:.3g}/h"


def print_json(result: Mapping[str, Any]) -> None:
    """Print one JSON object on standard output; NaN, which JSON does not know, becomes null."""
    sys.stdout.write(json.dumps(_plain(result), ensure_ascii=False, allow_nan=False) + "\n")
    sys.stdout.flush()


def _plain(value: Any) -> Any:
    """Turn a value into what JSON can hold."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):  # NumPy scalars and arrays
        return _plain(value.tolist())
    if isinstance(value, float) and value - value != 0:
        return None
    if value is None or isinstance(value, str | int | float):
        return value
    return str(value)


def counted(count: int, singular: str, plural: str = "") -> str:
    """Spell a number with its noun: "1 patient", "2 studies"; the plural takes an s unless it is given."""
    return f"{count} {singular if count == 1 else plural or singular + 's'}"


def spelled(value: object) -> str:
    """Spell one cell of a table."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return "" if value != value else f"{value:.4g}"
    return str(value)
