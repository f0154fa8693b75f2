"""Built stores, byte by byte, and builds that are killed at a given moment."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from dicomgeom.catalogue import Catalogue
from tests.helpers.real import PROJECT


def content_of(store: Path) -> dict[str, bytes]:
    """Every file of a store."""
    return {
        path.relative_to(store).as_posix(): path.read_bytes()
        for path in sorted(store.rglob("*"))
        if path.is_file()
    }


KILLED = """
import os, signal, sys
from pathlib import Path
from types import SimpleNamespace
from dicomgeom.catalogue import open_catalogue
from pretext_targets import folder, shard
from pretext_targets.build import build, plan_build
from pretext_targets.protocol import load_protocol

catalogue, store, moment = sys.argv[1:]

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def die_after(calls, original):
    left = [calls]
    def replacement(*given, **named):
        left[0] -= 1
        return die() if left[0] < 0 else original(*given, **named)
    return replacement

if moment == "before a row":
    shard.write_row = die_after(2, shard.write_row)
if moment == "among a shard's files":
    # Each shard moves 24 files in, and then its row.
    folder.os = SimpleNamespace(**vars(os) | {"replace": die_after(62, os.replace)})
if moment == "before the end":
    import pretext_targets.build
    pretext_targets.build.finish = die
progress = die if moment == "at once" else (
    lambda what, *, done, total: die() if moment == "between shards" and done == 2 else None)
protocol = load_protocol("cardiac-sax").with_changes(rows=36, columns=40, spacing_mm=5.5)
build(plan_build(open_catalogue(Path(catalogue)), protocol), store, shard=7, progress=progress)
"""


def kill_build(catalogue: Catalogue, store: Path | str, moment: str) -> None:
    """Begin a build in another process, which is killed at this moment."""
    command = [sys.executable, "-c", KILLED, str(catalogue.folder), str(store), moment]
    ended = subprocess.run(command, cwd=PROJECT, check=False, capture_output=True, text=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
