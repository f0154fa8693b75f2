"""What lies in a folder of NIfTI files: subjects, their volumes, their label maps, their planes.

The rules by which names are read stand in `nifti_sets.py`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

from dicomgeom.data_manifest import DataManifest
from dicomgeom.errors import UnusableFile
from dicomgeom.plane import ImagePlane, orthonormal_axes
from pretext_targets.build_reasons import AFFINES_DIFFER, SLICE_AXIS
from pretext_targets.nifti import is_nifti, stem_of
from pretext_targets.nifti_affines import (
    AS_IT_IS,
    Flips,
    affine_of,
    flips_between,
    has_code,
    has_slices_last,
    is_placeholder,
)
from pretext_targets.nifti_names import (
    LABEL_ENDING,
    numbered_word,
    refuse_numbers,
    refuse_strangers,
    session_of,
    subject_of,
)
from pretext_targets.patient_facts import PatientFacts
from pretext_targets.phases import Frames, evenly_spread
from pretext_targets.protocol import Protocol

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
    visit: str = ""
    """Folder and session, where there are several of one person."""


def subjects_of(folder: Path, protocol: Protocol, manifest: DataManifest) -> tuple[list[Subject], int]:
    """Subjects by name and visit, and how many files belong to another view.

    Raises
    ------
    WrongUse
        When nothing tells whether files are of one person or of several.
    """
    paths = sorted(path for path in folder.rglob("*") if is_nifti(path.name))
    stems = {path: stem_of(path.name).removesuffix(LABEL_ENDING) for path in paths}
    wanted = [path for path in paths if _is_wanted(stems[path], protocol, manifest)]
    words = {word for path in wanted if (word := numbered_word(stems[path]))}
    found: dict[tuple[str, str, str], list[Path]] = defaultdict(list)
    for path in wanted:
        place = path.parent.relative_to(folder).as_posix()
        found[subject_of(stems[path], words), place, session_of(stems[path])].append(path)
    subjects = []
    for (name, place, session), own in sorted(found.items()):
        labels = tuple(path for path in own if stem_of(path.name).endswith(LABEL_ENDING))
        images = tuple(path for path in own if path not in labels)
        subjects.append(Subject(name, images, labels, f"{place} {session}".strip()))
    return _told_apart(subjects, folder), len(paths) - len(wanted)


def _is_wanted(stem: str, protocol: Protocol, manifest: DataManifest) -> bool:
    views = [view for pattern, view in manifest.views.items() if fnmatchcase(stem, pattern)]
    return views[:1] == [protocol.carrier] or not manifest.views


def _told_apart(subjects: Sequence[Subject], folder: Path) -> list[Subject]:
    """The subjects, with a visit where there are several of one person."""
    visits: dict[str, list[Subject]] = defaultdict(list)
    for subject in subjects:
        visits[subject.name] += [subject] if subject.images else []
    for name, own in visits.items():
        places = sorted({one.images[0].parent.relative_to(folder).as_posix() for one in own})
        refuse_strangers(name, places)
        for one in own:
            refuse_numbers(name, [stem_of(path.name) for path in one.images])
    return [one if len(visits[one.name]) > 1 else replace(one, visit="") for one in subjects]


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
        affines = [affine_of(opened[one]) for one in (reference, path)]
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


def tells_pixel_size(opened: Any) -> bool:
    """Whether a file says how large its pixels are: 1 mm along all axes is what programs write by default."""
    if has_code(opened):
        return not is_placeholder(affine_of(opened))
    return any(step != 1 for step in opened.header.get_zooms()[:3])


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

    Raises
    ------
    UnusableFile
        When the third axis is not that of the slices.
    GeometryError
        When a believed affine has no planes with a right angle.
    """
    columns, rows, slices = (*opened.shape, 1)[:3]
    lost = not tells_pixel_size(opened)
    steps = [float(one) for one in opened.header.get_zooms()[:3]]
    spacing = [protocol.spacing_mm] * 2 if lost else steps[:2]
    placed = placed and not lost and has_code(opened)
    matrix = RAS_TO_LPS @ affine_of(opened) if placed else np.diag([spacing[0], spacing[1], 1.0, 1.0])
    across, along = (matrix[:3, axis] / np.linalg.norm(matrix[:3, axis]) for axis in (0, 1))
    right, down, _ = orthonormal_axes(across, along)
    planes = [
        ImagePlane(
            origin_mm=(matrix @ np.array([0.0, 0.0, place, 1.0]))[:3],
            right=right,
            down=down,
            column_spacing_mm=spacing[0],
            row_spacing_mm=spacing[1],
            columns=int(columns),
            rows=int(rows),
            frame_of_reference="",
        )
        for place in range(int(slices))
    ]
    if not lost and not has_slices_last(planes[0], steps, len(planes), protocol.carrier, placed=placed):
        raise UnusableFile(SLICE_AXIS)
    known = not placed and not lost and len(planes) > 1
    return planes, placed, steps[2] if known else np.nan
