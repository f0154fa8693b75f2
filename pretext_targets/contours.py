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
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np
import polars as pl
import shapely
from numpy.typing import NDArray

from dicomgeom.catalogue import Catalogue
from dicomgeom.errors import NothingUsable, UnusableFile, WrongUse
from dicomgeom.progress import Progress, silent
from pretext_targets.annotations import BACKGROUND, NOT_IN_CATALOGUE, SEGMENT_TWICE, SEVERAL_IMAGES
from pretext_targets.store import NOT_ANNOTATED

CONTOUR_NAME: Final = re.compile(r"IM-\d+-(\d+)-([io])contour-manual\.txt")
TRAILING_NUMBER: Final = re.compile(r"(\d+)(?:\.dcm)?$", re.IGNORECASE)

CAVITY, MUSCLE = "LV cavity", "LV myocardium"
SEGMENT_NAMES: Final = (BACKGROUND, CAVITY, MUSCLE)

PATIENT_DEPTH: Final = 2
"""Folders down to the contours of the patient whose folder was given: SCD0000101/contours/i-contours."""

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


Key = tuple[tuple[str, ...], int]
"""A contour's folders, from the given one to that above its own, and the number of its image."""

Numbered = Mapping[str, Mapping[int, dict[str, Any] | None] | None]
"""Folder -> number -> the image with it."""

Place = tuple[str, str, int]
"""An image of a catalogue: root, path, frame. Two roots may hold the same path, of two patients."""


def _place(image: Mapping[str, Any]) -> Place:
    return image["root"], image["path"], image["frame"]


@dataclass(frozen=True, eq=False)
class ContourIndex:
    """Which images of a catalogue have contours; see `annotations.Annotations`."""

    digests: tuple[str, ...]
    drawn: tuple[ContourAnnotation, ...]
    images: Mapping[Place, int]
    """Images of the catalogue -> number in `drawn`."""
    unused: Mapping[str, int] = field(default_factory=dict)
    """Reason -> images with contours that are none of the catalogue's, or were drawn twice."""
    segment_names: tuple[str, ...] = SEGMENT_NAMES

    def __len__(self) -> int:
        return len(self.images)

    def key(self, image: Mapping[str, Any]) -> Place | None:
        """See `annotations.Annotations`."""
        place = _place(image)
        return place if place in self.images else None

    def find(self, image: Mapping[str, Any]) -> int | None:
        """Number of the annotation of an image, or None."""
        return self.images.get(_place(image))

    def annotation(self, number: int, image: Mapping[str, Any]) -> ContourAnnotation:
        """The annotation itself."""
        return self.drawn[number]


def index_contours(
    folder: Path, catalogue: Catalogue, *, first_pixel: int = FIRST_PIXEL, progress: Progress = silent
) -> ContourIndex:
    """Match the contour files under a folder with the images of a catalogue.

    The patient is the folder of the contour's path, nearest to the file, that is also a folder of
    images' paths, of one patient's; of those images only members of a stack count (localizers have
    numbers too). No patient is meant by a folder that holds the folders of other patients, by a name
    that folders in several places have (`contours`, `cinesax`), or by the given folder where contours
    lie deeper in it than a patient's do: by such a name the contours of somebody who was not indexed
    would fit another.

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
    contours, twice = _contours(folder)
    if not contours:
        raise NothingUsable(f"{folder} holds no contour named like IM-0001-0077-icontour-manual.txt")
    matched = _match(contours, numbered_images(catalogue))
    drawn: list[ContourAnnotation] = []
    digests: list[str] = []
    places: dict[Place, int] = {}
    unused = Counter({SEGMENT_TWICE: twice} if twice else {})
    for done, (key, paths) in enumerate(sorted(contours.items())):
        image = matched[key]
        if isinstance(image, str):
            unused[image] += 1
        elif _place(image) in places:
            unused[SEGMENT_TWICE] += 1
        else:
            places[_place(image)] = len(drawn)
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
    return ContourIndex(tuple(digests), tuple(drawn), places, dict(unused))


def _match(contours: Mapping[Key, Mapping[str, Path]], images: Numbered) -> dict[Key, dict[str, Any] | str]:
    """The image that each contour was drawn on, or the reason why there is none."""
    places: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for parts, _ in contours:
        for one in _folders(parts):
            places[one[-1]].add(one)
    found: dict[Key, dict[str, Any] | str] = dict.fromkeys(contours, NOT_IN_CATALOGUE)
    patients: dict[Key, tuple[str, ...]] = {}
    for key in contours:
        parts, number = key
        known = [one for one in _folders(parts) if one[-1] in images]
        patient = next((one for one in known if images[one[-1]] and len(places[one[-1]]) == 1), None)
        if patient is not None:
            patients[key] = patient
            image = (images[patient[-1]] or {}).get(number, NOT_IN_CATALOGUE)
            found[key] = SEVERAL_IMAGES if image is None else image
        elif known:
            found[key] = SEVERAL_IMAGES
    sets = {one[:depth] for one in patients.values() for depth in range(1, len(one))}
    return found | {key: NOT_IN_CATALOGUE for key, patient in patients.items() if patient in sets}


def _folders(parts: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The folders that a contour's patient may be, the nearest first; each with those above it."""
    highest = 1 if len(parts) > PATIENT_DEPTH else 0
    return [parts[: depth + 1] for depth in range(len(parts) - 1, highest - 1, -1)]


def _contours(folder: Path) -> tuple[dict[Key, dict[str, Path]], int]:
    """The file of each kind of an image's contours, and how many were passed over for another of its kind."""
    found: dict[Key, dict[str, Path]] = defaultdict(dict)
    twice = 0
    for path in sorted(folder.rglob("*.txt")):
        named = CONTOUR_NAME.fullmatch(path.name)
        if named:
            # The two kinds may lie in folders of their own, at the same depth.
            parts = path.parent.parent.relative_to(folder.parent).parts if path.parent != folder else ()
            kinds = found[(folder.name, *parts[1:]), int(named[1])]
            twice += named[2] in kinds
            kinds[named[2]] = path
    return dict(found), twice


def numbered_images(catalogue: Catalogue) -> Numbered:
    """Images of stacks by the folders above them and the number at the end of their file's name.

    Several of one number below a folder are None, and so are all of a folder of several patients: a
    contour that could be anybody's belongs to nobody.
    """
    members = catalogue.images.filter(pl.col("stack_id").is_not_null() & (pl.col("role") == "original"))
    found: dict[str, dict[int, dict[str, Any] | None]] = defaultdict(dict)
    patients: dict[str, set[str]] = defaultdict(set)
    columns = ("root", "path", "frame", "rows", "columns", "patient_key")
    for row in members.select(columns).iter_rows(named=True):
        number = TRAILING_NUMBER.search(row["path"])
        for folder in {Path(row["root"]).name, *PurePosixPath(row["path"]).parts[:-1]}:
            patients[folder].add(row["patient_key"])
            if number:
                same = found[folder]
                same[int(number[1])] = None if int(number[1]) in same else row
    return {folder: of if len(patients[folder]) == 1 else None for folder, of in found.items()}
