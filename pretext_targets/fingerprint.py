"""The hash of a plan: equal when, and only when, the store would be the same.

It covers what the labels follow from (protocol, identities, planes, choices), not the labels
themselves, so that it doesn't depend on rounding; and not the scanned root, so that a moved
export can be finished elsewhere.

Of a labelled set's files it covers every byte. An export of terabytes is not read to plan: its
images count by path, frame, SOP Instance UID, length and place in the patient, so other pixels of
the same length go unnoticed. Times of modification don't count: copying an export changes them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import polars as pl

from dicomgeom.plane import ImagePlane
from dicomgeom.progress import Progress
from pretext_targets.choose import Choice, StackPlanes
from pretext_targets.folder import record_of


class Fingerprint:
    """Hash of all that a store's content follows from."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, content: Any) -> None:
        """Add plain JSON values."""
        self._hash.update(json.dumps(content, sort_keys=True).encode("utf-8") + b"\n")

    def add_stack(self, stack: StackPlanes, choices: Iterable[Choice]) -> None:
        """Add a carrier and the partner planes that cut it."""
        planes = [_numbers(plane) for plane in stack.planes]
        self.add([*_identity(stack), stack.slice_indices, planes])
        for choice in choices:
            if choice.partner is not None and choice.plane is not None:
                self.add([choice.view, *_identity(choice.partner), _numbers(choice.plane)])

    def add_table(self, table: pl.DataFrame) -> None:
        """Add all columns of a table but the scanned root."""
        for name in sorted(set(table.columns) - {"root"}):
            self.add([name, table[name].to_list()])

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()


def sha256_of(content: Any) -> str:
    """Hash of plain JSON values."""
    one = Fingerprint()
    one.add(content)
    return one.sha256


def content_of_images(
    folder: Path, paths: Collection[str], planes: Iterable[ImagePlane], progress: Progress
) -> list[Any]:
    """What image files hold, and the planes they lie in, as plain JSON values.

    Parameters
    ----------
    folder : Path
        What the paths are relative to.
    """
    digests = []
    for done, path in enumerate(sorted(paths)):
        digests.append(record_of(folder / path).sha256)
        progress("hashing images", done=done + 1, total=len(paths))
    return [digests, [_numbers(plane) for plane in planes]]


def _identity(stack: StackPlanes) -> list[Any]:
    return [stack.stack_id, stack.row["view"], list(stack.row["normal"]), stack.row["apex_known"]]


def _numbers(plane: ImagePlane) -> list[float]:
    axes = [*plane.origin_mm.tolist(), *plane.right.tolist(), *plane.down.tolist()]
    return [*axes, plane.column_spacing_mm, plane.row_spacing_mm, plane.columns, plane.rows]
