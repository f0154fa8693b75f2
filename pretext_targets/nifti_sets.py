"""Labelled sets of NIfTI files: folders of images with label maps beside them.

A label map has the name of its image with `_gt` at the end. The subject is what stands
before the first `_`; of `case_001`, where the set has no other such word, it is both. Where a subject
has its whole cine (a file of four axes, as `_4d` of ACDC, `_sa` of M&Ms), all its frames become examples;
those without a label map are not annotated. A label map of four axes annotates the volumes in which
anything is drawn. A map called `frameNN` annotates the NNth volume of the cine, counted from 1; without a
cine the volumes themselves are the examples. ED and ES in a name are frames where the set tells which;
else their volumes are a stack of two phases, beside that of the cine (`_CINE` of M&Ms-2).

Each of several cines is a stack of its own, and so is each visit (folders of BIDS). A name in several
folders, or volumes that differ by a number alone, could be of several people: they are refused.

A label map whose affine says that it counts the voxels of its image the other way round along some
axes (as programs write that turn files to RAS) is turned back, exactly. Where the affines of a set are
to be believed, all files of a subject must lie on the same voxels otherwise, else it is left out: its
images share one plane a slice.

A set without geometry has locations by index, from the end that its manifest calls the base;
where even the spacing was lost (the affine is a placeholder) pixels are taken as they are, as
if they had the grid's spacing.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from dicomgeom.data_manifest import DataManifest
from dicomgeom.errors import GeometryError, NothingUsable, UnusableFile, WrongUse
from dicomgeom.privacy import hashed, split_position
from dicomgeom.progress import Progress, silent
from pretext_targets.annotations import (
    FRAMES_NOT_CHOSEN,
    NO_IMAGE,
    OTHER_VIEW,
    segment_order,
)
from pretext_targets.boxes import NO_GEOMETRY
from pretext_targets.build_plan import CHOICES, EXAMPLES, LEFT_OUT, WITHOUT_BOXES, BuildPlan
from pretext_targets.build_reasons import SIZES_DIFFER, reason_of
from pretext_targets.fingerprint import Fingerprint, content_of_images, sha256_of
from pretext_targets.label_codes import WITHOUT_CONTENT, UnnamedCodes, codes_of
from pretext_targets.labels import SliceLabels
from pretext_targets.nifti import NiftiAnnotation, NiftiLabels, open_nifti
from pretext_targets.nifti_affines import Flips
from pretext_targets.nifti_slices import slices_of, stack_id_of
from pretext_targets.nifti_stacks import VolumeStack, stacks_of
from pretext_targets.nifti_subjects import (
    Subject,
    Volume,
    chosen_volumes,
    maps_without_image,
    subjects_of,
    tells_pixel_size,
    with_flips,
)
from pretext_targets.patient_facts import NOTHING_TOLD, PatientFacts, TableOfFacts, read_facts
from pretext_targets.protocol import Protocol
from pretext_targets.splits import split_codes


def plan_nifti(
    folder: Path,
    protocol: Protocol,
    manifest: DataManifest,
    *,
    salt: bytes = b"",
    progress: Progress = silent,
) -> BuildPlan:
    """Plan a store of a folder of NIfTI files with label maps.

    Parameters
    ----------
    folder : Path
        The data set.
    protocol : Protocol
        Its grid, and the view that is wanted (`carrier`).
    manifest : DataManifest
        Says the views, codes, splits and which end is the base.
    salt : bytes
        Of the subjects' keys.

    Raises
    ------
    WrongUse
        When there is no such folder, or the manifest's codes make no sense.
    NothingUsable
        When it holds no image of the wanted view, or no label map of one.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise WrongUse(f"{folder} is no folder; give the folder of the data set")
    codes = codes_of(manifest)
    subjects, other = subjects_of(folder, protocol, manifest)
    draft = _Draft(folder, protocol, manifest, codes, salt, read_facts(folder, manifest))
    for done, subject in enumerate(subjects):
        draft.add(subject)
        progress("reading label maps", done=done + 1, total=len(subjects))
    if other:
        draft.left_out.append(("", None, other, OTHER_VIEW))
    return draft.finish(progress)


class _Draft:
    """A plan while it grows, subject by subject."""

    def __init__(
        self,
        folder: Path,
        protocol: Protocol,
        manifest: DataManifest,
        codes: Mapping[int, str],
        salt: bytes,
        facts: TableOfFacts | None,
    ) -> None:
        self.facts = facts
        self.folder, self.protocol, self.manifest, self.salt = folder, protocol, manifest, salt
        self.believed = manifest.geometry == "present"
        self.codes, self.unnamed = codes, UnnamedCodes(codes)
        self.without_pixel_size = 0
        self.slices: list[SliceLabels] = []
        self.rows: list[dict[str, Any]] = []
        self.skipped: list[dict[str, Any]] = []
        self.untold: list[str] = []
        self.agreeing, self.contradicting = 0, 0
        self.drawn: list[NiftiAnnotation] = []
        self.digests: list[str] = []
        self.places: dict[tuple[str, int], int] = {}
        self.left_out: list[tuple[str, int | None, int, str]] = []
        self.turned: list[tuple[str, Flips]] = []
        self.unused: Counter[str] = Counter()
        self._stacks = 0

    def add(self, subject: Subject) -> None:
        """Add all slices and volumes of a subject."""
        if not subject.images:
            self.unused[NO_IMAGE] += len(subject.labels)
            return
        facts = NOTHING_TOLD if self.facts is None else self.facts.of(subject.name)
        try:
            opened = {path: open_nifti(str(path)) for path in (*subject.images, *subject.labels)}
            shapes = {path: one.shape for path, one in opened.items()}
            if len({(*shape, 1)[:3] for shape in shapes.values()}) != 1:
                raise UnusableFile(SIZES_DIFFER)
            stacks = stacks_of(subject, shapes, self.folder, facts)
        except (UnusableFile, GeometryError) as error:
            stack_id = stack_id_of(subject, self.protocol, self.manifest)
            self.left_out.append((stack_id, None, len(subject.images), reason_of(error)))
            return
        added = [self._add_stack(subject, stack, opened, facts) for stack in stacks]
        if any(added):
            volumes = [volume for stack in stacks for volume in stack.volumes]
            self.unused[NO_IMAGE] += maps_without_image(subject, volumes, self.folder)
            self.digests += [hashlib.sha256(path.read_bytes()).hexdigest() for path in subject.labels]

    def _add_stack(
        self, subject: Subject, stack: VolumeStack, opened: Mapping[Path, Any], facts: PatientFacts
    ) -> bool:
        """Add a stack of a subject, or tell why it is left out."""
        first = stack.images[0]  # gives all files of a stack their planes
        stack_id = stack_id_of(subject, self.protocol, self.manifest, stack.name)
        try:
            volumes = with_flips(stack.volumes, first, opened, self.folder, believed=self.believed)
            labels = slices_of(
                opened[first],
                subject,
                self.protocol,
                self.manifest,
                number=self._stacks,
                stack_id=stack_id,
                phases=len(volumes),
                facts=facts,
                salt=self.salt,
            )
        except (UnusableFile, GeometryError) as error:
            self.left_out.append((stack_id, None, len(stack.images), reason_of(error)))
            return False
        self.without_pixel_size += 0 if tells_pixel_size(opened[first]) else len(stack.images)
        self.turned += [(volume.path, volume.flips) for volume in volumes if any(volume.flips)]
        self._compare(volumes, facts)
        chosen = chosen_volumes(volumes, self.protocol.frames, facts)
        if not chosen:
            self.untold.append(stack_id)
        self._add_volumes(subject, volumes, labels, chosen or set(range(len(volumes))))
        self._stacks += 1
        return True

    def _add_volumes(
        self,
        subject: Subject,
        volumes: Sequence[Volume],
        labels: Sequence[tuple[int, SliceLabels]],
        chosen: Collection[int],
    ) -> None:
        for place, volume in enumerate(volumes):
            if volume.labels is not None and place in chosen:
                path, first = volume.labels
                self.unnamed.add(str(self.folder / path), first, len(labels))
        for stored, one in labels:
            for place, volume in enumerate(volumes):
                self._add_image(one, stored, volume, subject, taken=place in chosen)
            self.slices.append(one)

    def _compare(self, volumes: Sequence[Volume], facts: PatientFacts) -> None:
        """Count whether the told phases are those that somebody labelled."""
        told = {facts.ed_phase, facts.es_phase} - {-1}
        labelled = {volume.phase_index for volume in volumes if volume.labels is not None}
        if told and labelled - {None}:
            self.agreeing += bool(told & labelled)
            self.contradicting += not told & labelled

    def _add_image(
        self, one: SliceLabels, stored: int, volume: Volume, subject: Subject, *, taken: bool
    ) -> None:
        frame = volume.first_frame + stored
        if volume.labels is not None and not taken:
            self.unused[FRAMES_NOT_CHOSEN] += 1
        elif volume.labels is not None:
            path, first = volume.labels
            across, along, through = volume.flips
            drawn = first + (one.n_slices - 1 - stored if through else stored)
            self.places[volume.path, frame] = len(self.drawn)
            self.drawn.append(NiftiAnnotation(str(self.folder / path), drawn, self.codes, (across, along)))
        (self.rows if taken else self.skipped).append(
            {
                "place": len(self.slices),
                "stack_id": one.stack_id,
                "slice_index": one.slice_index,
                "root": str(self.folder),
                "path": volume.path,
                "frame": frame,
                "sop_instance_uid": "",
                "phase_index": volume.phase_index,
                "size_bytes": (self.folder / volume.path).stat().st_size,
                "segmentation": self.places.get((volume.path, frame)),
                "patient_key": one.patient_key.hex(),
                "split_position": split_position(f"{self.manifest.name}/{subject.name}"),
            }
        )

    def finish(self, progress: Progress) -> BuildPlan:
        """The plan."""
        protocol, name = self.protocol, self.manifest.name
        if not self.rows or not self.places:
            what = "no image" if not self.rows else "no label map"
            raise NothingUsable(
                f"{self.folder} holds {what} of view {protocol.carrier} in the layout of {name}; "
                f"it should look like {self.manifest.layout[0].path}"
            )
        if self.contradicting and not self.agreeing:
            raise WrongUse(
                f"{self.folder}: none of {self.contradicting} patients has a label map at the ED or ES "
                f"that is told; facts.first_frame of the manifest {name} may be wrong"
            )
        names = segment_order(self.codes.values())
        unused = {reason: count for reason, count in sorted(self.unused.items()) if count}
        examples, skipped = self._table(self.rows), self._table(self.skipped)
        paths = {*examples["path"], *skipped["path"]}
        images = content_of_images(self.folder, paths, [one.plane for one in self.slices], progress)
        fingerprint = Fingerprint()
        fingerprint.add(images)
        described = self.manifest.model_dump(mode="json", exclude=WITHOUT_CONTENT)
        fingerprint.add([protocol.as_dict(), described, names, self.digests])
        fingerprint.add([hashed(self.salt, name).hex()])
        if self.facts is not None:
            fingerprint.add([self.facts.names, [astuple(one.facts) for one in self.slices]])
        distances = [one.slice_distance_mm for one in self.slices]
        if np.isfinite(distances).any():
            fingerprint.add(distances)
        if self.turned:
            fingerprint.add(self.turned)
        fingerprint.add_table(examples)
        fingerprint.add_table(skipped)
        return BuildPlan(
            protocol=protocol,
            examples=examples,
            skipped_phases=skipped,
            slices=tuple(self.slices),
            left_out=pl.DataFrame(self.left_out, schema=LEFT_OUT, orient="row"),
            choices=pl.DataFrame(schema=CHOICES),
            without_boxes=pl.DataFrame(
                [(one.stack_id, one.slice_index, NO_GEOMETRY) for one in self.slices],
                schema=WITHOUT_BOXES,
                orient="row",
            ),
            phases_untold=tuple(self.untold),
            sha256=fingerprint.sha256,
            parts_sha256=self._parts(described, images, examples, skipped),
            diagnosis_names=None if self.facts is None else self.facts.names,
            segmentations=NiftiLabels(names, tuple(self.digests), tuple(self.drawn), self.places, unused),
            annotations_unused=unused,
            codes_unnamed=self.unnamed.found(),
            without_pixel_size=self.without_pixel_size,
        )

    def _parts(
        self,
        described: Mapping[str, Any],
        images: Sequence[Any],
        examples: pl.DataFrame,
        skipped: pl.DataFrame,
    ) -> dict[str, str]:
        """What the plan is made of: see `same_plan.PARTS`."""
        files = [
            one.drop("root", "segmentation", "split").to_dict(as_series=False) for one in (examples, skipped)
        ]
        parts = {
            "files": sha256_of([files, images, [one.slice_distance_mm for one in self.slices]]),
            "segmentations": sha256_of([self.digests, self.turned]),
            "manifest": sha256_of(described),
            "salt": sha256_of(hashed(self.salt, self.manifest.name).hex()),
        }
        if self.facts is not None:
            parts["patients"] = sha256_of([self.facts.names, [astuple(one.facts) for one in self.slices]])
        return parts

    def _table(self, rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
        """Frames as a plan's table."""
        if not rows:
            return pl.DataFrame(schema=EXAMPLES)
        table = pl.DataFrame(rows, infer_schema_length=None)
        table = table.with_columns(split=split_codes(table, self.manifest))
        return table.select(EXAMPLES.keys()).cast(pl.Schema(EXAMPLES))
