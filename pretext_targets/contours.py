"""Contours drawn by hand, as the Sunnybrook Cardiac Data hold them.

A text file holds one closed contour, a line `x y` a point, in pixels of its image; its name
(`IM-0001-0077-icontour-manual.txt`) names the image by number: the DICOM file of the same
patient whose name ends with it (`77.dcm`, `IM-0001-0077.dcm`). `icontour` is the endocardium, `ocontour`
the epicardium; papillary muscles count as cavity.

The pixel-centre rule: integer coordinates are pixel centres, the first pixel's is (1, 1), and a pixel is
inside when its centre is inside the polygon or on it. Nothing published says where the count
begins; the images do (docs/results/build.md#contours): on two patients the edge of the blood pool
lies 1.2 pixels left of the 38 endocardial contours and 1.1 above them when 0 is taken for the
first pixel, with 95 % intervals from 0.8 to 1.6 that leave out 0 and a half. `first_pixel=0` is for
files that others wrote. An image with an endocardium alone says nothing of what lies outside it, muscle or
not: that stays not annotated.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np
import polars as pl
import shapely
from numpy.typing import NDArray

from dicomgeom.catalogue import Catalogue
from dicomgeom.errors import NothingUsable, UnusableFile, WrongUse
from dicomgeom.progress import Progress, silent
from pretext_targets.annotations import BACKGROUND
from pretext_targets.store import NOT_ANNOTATED

CONTOUR_NAME: Final = re.compile(r"IM-\d+-(\d+)-([io])contour-manual\.txt")
TRAILING_NUMBER: Final = re.compile(r"(\d+)(?:\.dcm)?$", re.IGNORECASE)

CAVITY, MUSCLE = "LV cavity", "LV myocardium"
SEGMENT_NAMES: Final = (BACKGROUND, CAVITY, MUSCLE)

FIRST_PIXEL: Final = 1
"""Coordinate of the first pixel's centre in contour files."""


@dataclass(frozen=True)
class ContourAnnotation:
    """The contours of one image; a path is empty where that one was not drawn."""

    endocardium: str
    epicardium: str
    rows: int
    columns: int
    first_pixel: int = FIRST_PIXEL
    """Coordinate of the first pixel's centre."""

    def read(self, segment_names: tuple[str, ...]) -> NDArray[np.uint8]:
        """See `annotations.Annotation`."""
        code = {name: segment_names.index(name) for name in SEGMENT_NAMES}
        size = self.rows, self.columns
        inner, outer = (
            inside(read_contour(path) - self.first_pixel, *size) if path else None
            for path in (self.endocardium, self.epicardium)
        )
        drawn = np.full(size, NOT_ANNOTATED, dtype=np.uint8)
        if outer is not None:
            drawn[~outer] = code[BACKGROUND]
        if inner is not None:
            if outer is not None:
                drawn[outer] = code[MUSCLE]
            drawn[inner] = code[CAVITY]
        return drawn


def read_contour(path: str) -> NDArray[np.float64]:
    """Points (column, row) of a contour, shape (n, 2).

    Raises
    ------
    UnusableFile
        When the file holds no polygon.
    """
    try:
        text = Path(path).read_text("ascii")
        points = np.array(
            [[float(word) for word in line.split()] for line in text.splitlines() if line.strip()]
        )
    except (OSError, ValueError) as error:
        raise UnusableFile("contour-broken", type(error).__name__) from error
    if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3 or not np.isfinite(points).all():
        raise UnusableFile("contour-broken", f"numbers of shape {points.shape}")
    return points


def inside(points: NDArray[np.float64], rows: int, columns: int) -> NDArray[np.bool_]:
    """Pixels whose centre lies in a polygon of (column, row) points or on it, shape (rows, columns)."""
    polygon = shapely.Polygon(points)
    if not polygon.is_valid:  # a contour that crosses itself: the area that it goes round
        polygon = polygon.buffer(0)
    shapely.prepare(polygon)
    x, y = np.meshgrid(np.arange(columns, dtype=np.float64), np.arange(rows, dtype=np.float64))
    return np.asarray(shapely.intersects_xy(polygon, x, y))


@dataclass(frozen=True, eq=False)
class ContourIndex:
    """Which images of a catalogue have contours; see `annotations.Annotations`."""

    digests: tuple[str, ...]
    drawn: tuple[ContourAnnotation, ...]
    images: Mapping[tuple[str, int], int]
    """(path, frame) in the catalogue -> number in `drawn`."""
    unmatched: int = 0
    """Images with contours that the catalogue does not hold."""
    segment_names: tuple[str, ...] = SEGMENT_NAMES

    def __len__(self) -> int:
        return len(self.images)

    def find(self, image: Mapping[str, Any]) -> int | None:
        """Number of the annotation of an image, or None."""
        return self.images.get((image["path"], image["frame"]))

    def annotation(self, number: int, image: Mapping[str, Any]) -> ContourAnnotation:
        """The annotation itself."""
        return self.drawn[number]


def index_contours(
    folder: Path, catalogue: Catalogue, *, first_pixel: int = FIRST_PIXEL, progress: Progress = silent
) -> ContourIndex:
    """Match the contour files under a folder with the images of a catalogue.

    The patient is the folder of the contour's path, nearest to the file, that is also a folder
    of images' paths; of those images only members of a stack count (localizers have numbers too).

    Raises
    ------
    WrongUse
        When there is no such folder.
    NothingUsable
        When it holds no contour, or none of an image of the catalogue.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise WrongUse(f"{folder} is no folder; give the folder that holds the contour files")
    contours = _contours(folder)
    if not contours:
        raise NothingUsable(f"{folder} holds no contour named like IM-0001-0077-icontour-manual.txt")
    images = numbered_images(catalogue)
    drawn: list[ContourAnnotation] = []
    digests: list[str] = []
    places: dict[tuple[str, int], int] = {}
    for done, ((parts, number), paths) in enumerate(sorted(contours.items())):
        image = next(filter(None, (images.get((part, number)) for part in reversed(parts))), None)
        if image is not None:
            places[image["path"], image["frame"]] = len(drawn)
            both = [str(paths.get(kind, "")) for kind in "io"]
            size = image["rows"], image["columns"]
            drawn.append(ContourAnnotation(both[0], both[1], *size, first_pixel))
            digests += [hashlib.sha256(path.read_bytes()).hexdigest() for _, path in sorted(paths.items())]
        progress("reading contours", done=done + 1, total=len(contours))
    if not drawn:
        raise NothingUsable(
            f"none of the {len(contours)} images with contours under {folder} is in the catalogue; "
            "give the contours of the export that was indexed"
        )
    return ContourIndex(tuple(digests), tuple(drawn), places, unmatched=len(contours) - len(drawn))


def _contours(folder: Path) -> dict[tuple[tuple[str, ...], int], dict[str, Path]]:
    """(folders of the patient, image number) -> kind -> file; both kinds of an image come together."""
    found: dict[tuple[tuple[str, ...], int], dict[str, Path]] = defaultdict(dict)
    for path in sorted(folder.rglob("*.txt")):
        named = CONTOUR_NAME.fullmatch(path.name)
        if named:
            # The two kinds may lie in folders of their own, at the same depth.
            parts = path.parent.parent.relative_to(folder.parent).parts if path.parent != folder else ()
            found[(folder.name, *parts[1:]), int(named[1])][named[2]] = path
    return dict(found)


def numbered_images(catalogue: Catalogue) -> dict[tuple[str, int], dict[str, Any] | None]:
    """(folder, number) -> the one image of a stack below that folder whose file name ends with the number.

    None where there are several: a contour that could be any of theirs belongs to none.
    """
    members = catalogue.images.filter(pl.col("stack_id").is_not_null() & (pl.col("role") == "original"))
    found: dict[tuple[str, int], dict[str, Any] | None] = {}
    for row in members.select("root", "path", "frame", "rows", "columns").iter_rows(named=True):
        number = TRAILING_NUMBER.search(row["path"])
        if number:
            for folder in {Path(row["root"]).name, *PurePosixPath(row["path"]).parts[:-1]}:
                key = folder, int(number[1])
                found[key] = None if key in found else row
    return found
