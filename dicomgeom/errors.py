"""Every error anatprep raises on purpose, and the exit code it ends a command with.

::

    AnatprepError                 exit 2   base of all; its text is one line for people
    ├── WrongUse                  exit 2   an option, a recipe or a protocol that makes no sense
    │   └── GeometryError         exit 2   numbers that are no plane, line or stack
    ├── NothingUsable             exit 4   the input was read, and nothing in it can be used
    ├── IntegrityError            exit 5   a catalogue, store, run or experiment: broken, or none
    │   ├── HalfWritten           exit 5   interrupted; the same command again finishes it
    │   ├── WrongVersion          exit 5   written by another version of its format
    │   └── Unreachable           exit 5   a disk or a server that took or gave no more
    └── UnusableFile              never leaves a scan: becomes a row with its reason

Exit code 3 ("done, but some input was skipped") is a result, not an error.
"""

from __future__ import annotations

import errno

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
"""What a system answers where a disk, or what one may use of it, is full."""

EXIT_DONE = 0
EXIT_WRONG_USE = 2
EXIT_SOME_SKIPPED = 3
EXIT_NOTHING_USABLE = 4
EXIT_INTEGRITY = 5


def first_line(error: BaseException) -> str:
    """What somebody else's error says, in one line; its kind where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def in_plain_words(said: str) -> str:
    """What pydantic says of a value, as people would.

    >>> in_plain_words("Value error, a partner is listed twice")
    'a partner is listed twice'
    >>> in_plain_words("Input should be greater than 0")
    'must be greater than 0'
    """
    for theirs, ours in (("Value error, ", ""), ("Input should ", "must "), ("String should ", "must ")):
        said = said.replace(theirs, ours)
    return said


class AnatprepError(Exception):
    """Base of all errors; the text says what was found, what was expected, what to do."""

    exit_code: int = EXIT_WRONG_USE


class WrongUse(AnatprepError):
    """The user asked for something that makes no sense."""


class GeometryError(WrongUse, ValueError):
    """Numbers that cannot be a plane, a line or a stack."""


class NothingUsable(AnatprepError):
    """The input was read, and nothing in it can be used."""

    exit_code = EXIT_NOTHING_USABLE


class IntegrityError(AnatprepError):
    """A catalogue, store, run or experiment that is broken, or is not one at all."""

    exit_code = EXIT_INTEGRITY


class HalfWritten(IntegrityError):
    """Interrupted while it was written; running the same command again finishes it."""


class WrongVersion(IntegrityError):
    """Written in another version of its format."""


class Unreachable(IntegrityError):
    """The disk or server where something lies took or gave no more; what is there stays."""


class UnusableFile(AnatprepError):
    """One file that cannot be used: `reason` is a word for machines, `detail` for people."""

    def __init__(self, reason: str, detail: str = "", *, readable: bool = True) -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
        self.readable = readable
