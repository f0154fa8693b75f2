"""What every pixel of a phantom's image is made of, matched to the images like segmentations.

Tissue images are DICOM SEG label maps whose segment numbers are tissues, 0 among them; beside them lies the
table that says what each number is (`tissue_table.py`). A frame belongs to the image it references.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dicomgeom.errors import NothingUsable, UnusableFile, WrongUse
from dicomgeom.progress import Progress, silent
from pretext_targets.labelled import SegmentationIndex, index_segmentations
from pretext_targets.seg_objects import read_numbers
from pretext_targets.tissue_table import FILE, TissueFacts, read_tissue_table


@dataclass(frozen=True)
class TissueImage:
    """The tissue image of one frame."""

    path: str
    sop_instance_uid: str
    frame: int
    tissues: int
    """How many tissues its table has."""

    def read(self) -> NDArray[np.uint8]:
        """Tissue of every pixel of the image, shape (rows, columns).

        Raises
        ------
        UnusableFile
            When it cannot be read, or holds numbers that its table does not.
        """
        numbers = read_numbers(self.path, self.sop_instance_uid, self.frame)
        if int(numbers.max(initial=0)) >= self.tissues:
            raise UnusableFile("tissue-unknown", f"found number {numbers.max()} of {self.tissues} tissues")
        return numbers


@dataclass(frozen=True, eq=False)
class TissueIndex:
    """Of which images the tissues are known.

    Attributes
    ----------
    tissues : tuple of TissueFacts
        Meaning of the codes.
    digests : tuple of str
        SHA-256 of each file the tissue images come from.
    """

    tissues: tuple[TissueFacts, ...]
    digests: tuple[str, ...]
    _parts: tuple[SegmentationIndex, ...]

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def find(self, image: Mapping[str, Any]) -> TissueImage | None:
        """The tissue image of an image (a row of the images table), or None."""
        for part in self._parts:
            number = part.find(image)
            if number is not None:
                path = str(part.files_of(number)[-1])
                return TissueImage(path, image["sop_instance_uid"], image["frame"], len(self.tissues))
        return None


def index_tissues(folder: Path, *, progress: Progress = silent) -> TissueIndex:
    """Find the tissue images under a folder: the truth of one phantom export, or of several.

    Raises
    ------
    WrongUse
        When there is no such folder, or two tables in it differ.
    NothingUsable
        When it holds no tissue image.
    IntegrityError
        When a table cannot be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise WrongUse(f"{folder} is no folder; give the folder that holds the truth of a phantom export")
    tables = sorted(folder.rglob(FILE))
    if not tables:
        raise NothingUsable(
            f"{folder} holds no {FILE}; give the truth of an export that `anatprep phantom --tissues` wrote"
        )
    tissues = read_tissue_table(tables[0])
    for other in tables[1:]:
        if read_tissue_table(other) != tissues:
            raise WrongUse(
                f"{other} and {tables[0]} number the tissues otherwise; build a store of each export"
            )
    parts = tuple(index_segmentations(table.parent, progress=progress) for table in tables)
    digests = tuple(digest for part in parts for digest in part.digests)
    return TissueIndex(tissues, digests, parts)
