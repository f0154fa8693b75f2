"""The stacks of one subject of a set of NIfTI files: which volumes, and which label maps, belong together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pretext_targets.nifti import read_nifti_slice, stem_of
from pretext_targets.nifti_names import LABEL_ENDING, frame_of, phase_of, series_of
from pretext_targets.nifti_subjects import Subject, Volume
from pretext_targets.patient_facts import PatientFacts


@dataclass(frozen=True)
class VolumeStack:
    """Volumes at the same planes."""

    name: str
    """What sets it apart from the subject's others; empty where it needs nothing."""
    images: tuple[Path, ...]
    """All files whose images it holds, copies of frames of a cine too; the first gives the planes."""
    volumes: tuple[Volume, ...]


def stacks_of(
    subject: Subject, shapes: Mapping[Path, Sequence[int]], folder: Path, facts: PatientFacts
) -> list[VolumeStack]:
    """Every cine is a stack; volumes that are frames of none are one more.

    Volumes of one phase are of several series: then each series is a stack. Label maps are taken to
    count voxels as their images do: see `with_flips`.
    """
    maps = {stem_of(path.name).removesuffix(LABEL_ENDING): path for path in subject.labels}
    cines = [path for path in subject.images if len(shapes[path]) == 4 and shapes[path][3] > 1]
    stills = [path for path in subject.images if path not in cines]
    stacks = []
    for cine in cines:
        alone = len(cines) == 1
        frames = _frames_of(cine, shapes[cine][3], [*maps, *map(_stem, stills)], facts, alone=alone)
        drawn = {frames[stem]: maps[stem] for stem in reversed([*maps]) if stem in frames}
        copies = [
            path
            for path in stills
            if _stem(path) in frames and maps.get(_stem(path)) in (None, drawn.get(frames[_stem(path)]))
        ]
        volumes = _of_cine(cine, shapes[cine], drawn, maps.get(_stem(cine)), folder)
        images = tuple(sorted((cine, *copies)))
        stacks.append(VolumeStack("" if alone else _stem(cine), images, volumes))
        stills = [path for path in stills if path not in copies]
        maps = {stem: path for stem, path in maps.items() if path not in drawn.values()}
    return stacks + _of_stills(stills, maps, folder, facts, beside=bool(cines))


def _frames_of(
    cine: Path, count: int, stems: Sequence[str], facts: PatientFacts, *, alone: bool
) -> dict[str, int]:
    """Names that are those of frames of a cine; of several cines, of the one of their series."""
    own = [stem for stem in stems if stem != _stem(cine)]
    numbers = {
        stem: frame_of(stem, facts) for stem in own if alone or series_of(stem) == series_of(_stem(cine))
    }
    return {stem: number for stem, number in numbers.items() if number is not None and number < count}


def _of_cine(
    cine: Path, shape: Sequence[int], drawn: Mapping[int, Path], own: Path | None, folder: Path
) -> tuple[Volume, ...]:
    """All frames of a cine, each with its label map: one `drawn` on it alone, or part of the cine's `own`."""
    slices, frames = shape[2:4]
    path = cine.relative_to(folder).as_posix()
    volumes = []
    for number in range(frames):
        labels = None
        if number in drawn:
            labels = drawn[number].relative_to(folder).as_posix(), 0
        elif own is not None and _anything_drawn(own, number, slices):
            labels = own.relative_to(folder).as_posix(), number * slices
        volumes.append(Volume(path, number * slices, number, labels))
    return tuple(volumes)


def _of_stills(
    stills: Sequence[Path], maps: Mapping[str, Path], folder: Path, facts: PatientFacts, *, beside: bool
) -> list[VolumeStack]:
    """Volumes that are frames of no cine, `beside` one perhaps."""
    phases = [phase for path in stills if (phase := phase_of(_stem(path), facts)) is not None]
    several = len(set(phases)) < len(phases)
    series: dict[str, list[Path]] = defaultdict(list)
    for path in stills:
        series[series_of(_stem(path)) if several else "stills" if beside else ""].append(path)
    return [
        VolumeStack(name, tuple(paths), _at_their_phases(paths, maps, folder, facts))
        for name, paths in series.items()
    ]


def _at_their_phases(
    paths: Sequence[Path], maps: Mapping[str, Path], folder: Path, facts: PatientFacts
) -> tuple[Volume, ...]:
    """The volumes of one stack: of two that state one phase, the second is at an unknown one."""
    volumes, stated = [], set[int | None]()
    for path in paths:
        own, phase = maps.get(_stem(path)), phase_of(_stem(path), facts)
        drawn = None if own is None else (own.relative_to(folder).as_posix(), 0)
        volumes.append(
            Volume(path.relative_to(folder).as_posix(), 0, None if phase in stated else phase, drawn)
        )
        stated.add(phase)
    return tuple(volumes)


def _stem(path: Path) -> str:
    return stem_of(path.name)


def _anything_drawn(path: Path, volume: int, slices: int) -> bool:
    return any(read_nifti_slice(str(path), volume * slices + place).any() for place in range(slices))
