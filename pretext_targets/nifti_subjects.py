"""What lies in a folder of NIfTI files: subjects, their volumes, their label maps, their planes.

The rules by which names are read stand in `nifti_sets.py`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

from dicomgeom.data_manifest import DataManifest
from dicomgeom.errors import UnusableFile
from dicomgeom.plane import ImagePlane
from pretext_targets.build_reasons import AFFINES_DIFFER
from pretext_targets.nifti import is_nifti, read_nifti_slice, stem_of
from pretext_targets.nifti_affines import AS_IT_IS, Flips, flips_between
from pretext_targets.patient_facts import PatientFacts
from pretext_targets.phases import Frames, evenly_spread
from pretext_targets.protocol import Protocol

LABEL_ENDING = "_gt"

FRAME_NAME = re.compile(r"frame(\d+)")

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""NIfTI counts to the right-to-left and back-to-front other way round than DICOM."""


@dataclass(frozen=True)
class Volume:
    """One volume of a subject, and the label map drawn on it."""

    path: str
    first_frame: int
    phase_index: int | None
    labels: tuple[str, int] | None
    """Path of the label map, and the frame of its first slice."""
    flips: Flips = AS_IT_IS
    """How the label map counts the image's voxels."""


@dataclass(frozen=True)
class Subject:
    """All that a folder holds of one view of one subject; perhaps label maps alone."""

    name: str
    images: tuple[Path, ...]
    labels: tuple[Path, ...]


def subjects_of(folder: Path, protocol: Protocol, manifest: DataManifest) -> tuple[list[Subject], int]:
    """Subjects by name, and how many files belong to another view."""
    found: dict[tuple[str, str], list[Path]] = defaultdict(list)
    other = 0
    for path in sorted(path for path in folder.rglob("*") if is_nifti(path.name)):
        stem = stem_of(path.name).removesuffix(LABEL_ENDING)
        views = [view for pattern, view in manifest.views.items() if fnmatchcase(stem, pattern)]
        if views[:1] == [protocol.carrier] or not manifest.views:
            found[stem.split("_")[0], path.parent.relative_to(folder).as_posix()].append(path)
        else:
            other += 1
    subjects = []
    for (name, _), paths in sorted(found.items()):
        labels = tuple(path for path in paths if stem_of(path.name).endswith(LABEL_ENDING))
        subjects.append(Subject(name, tuple(path for path in paths if path not in labels), labels))
    return subjects, other


def volumes_of(subject: Subject, shapes: Mapping[Path, Sequence[int]], folder: Path) -> Iterator[Volume]:
    """The volumes of a subject: all of its cine, then those that are none of the cine's.

    Their label maps are taken to count voxels as they do: see `with_flips`.
    """
    slices = (*shapes[subject.images[0]], 1)[2]
    map_of = {stem_of(path.name).removesuffix(LABEL_ENDING): path for path in subject.labels}
    cines = [path for path in subject.images if len(shapes[path]) == 4 and shapes[path][3] > 1]
    within_cine = set()
    for cine in cines[:1]:
        own = map_of.get(stem_of(cine.name))
        for number in range(shapes[cine][3]):
            drawn = None
            if own is not None and _anything_drawn(own, number, slices):
                drawn = own.relative_to(folder).as_posix(), number * slices
            for stem, path in map_of.items():
                if _phase_of(stem) == number:
                    drawn = path.relative_to(folder).as_posix(), 0
                    within_cine.add(stem)
            yield Volume(cine.relative_to(folder).as_posix(), number * slices, number, drawn)
    for path in subject.images:
        stem = stem_of(path.name)
        if path not in cines and stem not in within_cine:
            own = map_of.get(stem)
            drawn = None if own is None else (own.relative_to(folder).as_posix(), 0)
            yield Volume(path.relative_to(folder).as_posix(), 0, _phase_of(stem), drawn)


def with_flips(
    volumes: Sequence[Volume], first: Path, opened: Mapping[Path, Any], folder: Path, *, believed: bool
) -> list[Volume]:
    """The volumes of a subject, told how their label maps lie on them.

    Where the affines of a set are not believed, one that says something else than its image's is
    passed over; but two that agree on every voxel's place, one reversed, don't do so by chance.

    Parameters
    ----------
    volumes : sequence of Volume
        Of one subject.
    first : Path
        The image that gives all of them their planes.
    opened : mapping
        Path -> file, with `shape` and `affine`.
    folder : Path
        What the volumes' paths are relative to.
    believed : bool
        Whether the affines of this data set are to be believed.

    Raises
    ------
    UnusableFile
        When a believed affine has the voxels of a label map elsewhere than those of its image, or
        those of an image elsewhere than those of the first.
    """

    def flips(reference: Path, path: Path) -> Flips:
        columns, rows, slices = (*opened[reference].shape, 1)[:3]
        affines = [np.asarray(opened[one].affine, dtype=np.float64) for one in (reference, path)]
        found = flips_between(affines[0], affines[1], (columns, rows, slices))
        if found is None and believed:
            raise UnusableFile(AFFINES_DIFFER, path.name)
        return found or AS_IT_IS

    found = []
    for volume in volumes:
        image = folder / volume.path
        if believed and flips(first, image) != AS_IT_IS:
            raise UnusableFile(AFFINES_DIFFER, image.name)
        drawn = volume.labels
        found.append(volume if drawn is None else replace(volume, flips=flips(image, folder / drawn[0])))
    return found


def chosen_volumes(volumes: Sequence[Volume], frames: Frames, facts: PatientFacts) -> set[int]:
    """Places of the volumes that a protocol's `frames` asks for; none where it asks for what is not told."""
    every = set(range(len(volumes)))
    if isinstance(frames, int):
        return set(evenly_spread(len(volumes), frames))
    if frames == "all":
        return every
    wanted = {facts.ed_phase} if frames == "ED" else {facts.ed_phase, facts.es_phase}
    return {place for place in every if volumes[place].phase_index in wanted - {-1}}


def maps_without_image(subject: Subject, volumes: Sequence[Volume], folder: Path) -> int:
    """How many label maps of a subject are those of no volume of it."""
    used = {folder / volume.labels[0] for volume in volumes if volume.labels is not None}
    images = {stem_of(path.name) for path in subject.images}
    return sum(
        path not in used and stem_of(path.name).removesuffix(LABEL_ENDING) not in images
        for path in subject.labels
    )


def _phase_of(stem: str) -> int | None:
    """Place in the heart cycle that a name states, counted from 0."""
    found = FRAME_NAME.search(stem)
    return int(found[1]) - 1 if found else None


def _anything_drawn(path: Path, volume: int, slices: int) -> bool:
    return any(read_nifti_slice(str(path), volume * slices + place).any() for place in range(slices))


def tells_pixel_size(opened: Any) -> bool:
    """Whether a file says how large its pixels are: an affine that is the identity says nothing."""
    return not np.allclose(np.asarray(opened.affine, dtype=np.float64), np.eye(4))


def planes_of(opened: Any, protocol: Protocol, *, placed: bool) -> tuple[list[ImagePlane], bool, float]:
    """The plane of every slice, whether it really lies there, and how far apart slices are if it does not.

    Parameters
    ----------
    opened : nibabel image
        Shape and affine.
    protocol : Protocol
        Its spacing is taken where the file has lost its own.
    placed : bool
        Whether the affines of this data set are to be believed.
    """
    columns, rows, slices = (*opened.shape, 1)[:3]
    affine = np.asarray(opened.affine, dtype=np.float64)
    lost = not tells_pixel_size(opened)
    spacing = [protocol.spacing_mm] * 2 if lost else [float(one) for one in opened.header.get_zooms()[:2]]
    placed = placed and not lost
    matrix = RAS_TO_LPS @ affine if placed else np.diag([spacing[0], spacing[1], 1.0, 1.0])
    across, along = (matrix[:3, axis] / np.linalg.norm(matrix[:3, axis]) for axis in (0, 1))
    planes = [
        ImagePlane(
            origin_mm=(matrix @ np.array([0.0, 0.0, place, 1.0]))[:3],
            right=across,
            down=along,
            column_spacing_mm=spacing[0],
            row_spacing_mm=spacing[1],
            columns=int(columns),
            rows=int(rows),
            frame_of_reference="",
        )
        for place in range(int(slices))
    ]
    known = not placed and not lost and len(planes) > 1
    return planes, placed, float(opened.header.get_zooms()[2]) if known else np.nan
