"""Look for files that our own header reader and pydicom understand differently.

Run with ``make fuzz``, or ``python -m tests.fuzz.header_reader -max_total_time=60``; needs
atheris. Each input is a list of edits to one of a few sound files. The damaged file is read
between sound files of its series, so that the comparison with what is known of the series
is tried, too. A difference stops the run, and libFuzzer keeps the input that caused it.
"""

from __future__ import annotations

import io
import sys

import atheris

with atheris.instrument_imports(include=["dicomgeom"]):
    from dicomgeom.errors import UnusableFile
    from dicomgeom.quietness import quiet
    from dicomgeom.scan import Scanner, status_of, whole_header

from tests.helpers.readers import plain
from tests.helpers.series_files import SYNTAXES, changed, series

SERIES = [list(series(4, syntax=syntax, private_bytes=size)) for syntax in SYNTAXES for size in (512, 1_280)]
OPTIONS = ("-max_len=160", "-len_control=0", "-timeout=20")
MOST_EDITS = 6
LONGEST_EDIT_BYTES = 16
HEADER_BYTES = 3_200


def main() -> None:
    """Hand over to libFuzzer, which takes its options from the command line."""
    atheris.Setup([sys.argv[0], *OPTIONS, *sys.argv[1:]], compare)
    with quiet():
        atheris.Fuzz()


def compare(data: bytes) -> None:
    """Read one damaged file both ways."""
    choices = atheris.FuzzedDataProvider(data)
    files = choices.PickValueInList(SERIES)
    edits = [
        (
            choices.ConsumeIntInRange(0, 2),
            choices.ConsumeIntInRange(128, HEADER_BYTES),
            choices.ConsumeBytes(choices.ConsumeIntInRange(1, LONGEST_EDIT_BYTES)),
        )
        for _ in range(choices.ConsumeIntInRange(1, MOST_EDITS))
    ]
    fast, slow = Scanner(), Scanner(own_reader=False)
    for sound in files[:3]:
        judged(fast, sound)
    damaged = changed(files[3], edits)
    for content in (damaged, files[3]):
        by_us, by_pydicom = judged(fast, content), judged(slow, content)
        if by_us != by_pydicom:
            raise AssertionError(f"read by us: {by_us}\nread by pydicom: {by_pydicom}")


def judged(scanner: Scanner, content: bytes) -> object:
    """What a scan makes of a file."""
    try:
        return [plain(whole_header(frame)) for frame in scanner.frames_in(io.BytesIO(content), len(content))]
    except UnusableFile as unusable:
        return status_of(unusable), unusable.reason, unusable.detail
    except Exception as error:  # noqa: BLE001  `Scanner.frames` turns it into this verdict
        return "unreadable", "unreadable-header", type(error).__name__


if __name__ == "__main__":
    main()
