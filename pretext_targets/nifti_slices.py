"""The slices of one subject of a set of NIfTI files, with what is known of each."""

from __future__ import annotations

from typing import Any

import numpy as np

from dicomgeom.data_manifest import DataManifest
from dicomgeom.privacy import hashed
from pretext_targets.boxes import NO_GEOMETRY, no_boxes
from pretext_targets.labels import SliceLabels, usable_grid
from pretext_targets.nifti_subjects import Subject, planes_of
from pretext_targets.patient_facts import PatientFacts
from pretext_targets.protocol import Protocol


def slices_of(
    opened: Any,
    subject: Subject,
    protocol: Protocol,
    manifest: DataManifest,
    *,
    number: int,
    stack_id: str,
    phases: int,
    facts: PatientFacts,
    salt: bytes,
) -> list[tuple[int, SliceLabels]]:
    """Every slice, base first where that is known, with its place in the files.

    Parameters
    ----------
    opened : nibabel image
        The stack's first, which gives all of them their planes.
    number : int
        The stack's number in the plan.
    phases : int
        Volumes of the stack.
    """
    assert manifest.labels is not None
    base = manifest.labels.base
    planes, placed, distance_mm = planes_of(opened, protocol, placed=manifest.geometry == "present")
    count = len(planes)
    order = range(count - 1, -1, -1) if base == "last" else range(count)
    key = f"{manifest.name}/{subject.name}"
    visit = f"{key}/study/{subject.visit}" if subject.visit else f"{key}/study"
    labels = []
    for index, stored in enumerate(order):
        relative = index / (count - 1) if count > 1 else np.nan
        counts = protocol.carrier == "SAX" and base != "unknown"
        labels.append(
            (
                stored,
                SliceLabels(
                    stack=number,
                    stack_id=stack_id,
                    slice_index=index,
                    n_slices=count,
                    n_phases=phases,
                    plane=planes[stored],
                    grid=usable_grid(planes[stored], protocol),
                    line=np.full((len(protocol.partners), 3), np.nan),
                    boxes=no_boxes(NO_GEOMETRY),
                    location=relative if counts else np.nan,
                    location_sine=float(np.sin(np.pi * min(relative, 1 - relative))),
                    patient_key=hashed(salt, key),
                    study_key=hashed(salt, visit),
                    stack_key=hashed(salt, stack_id),
                    placed=placed,
                    slice_distance_mm=distance_mm,
                    facts=facts,
                ),
            )
        )
    return labels


def stack_id_of(subject: Subject, protocol: Protocol, manifest: DataManifest, stack: str = "") -> str:
    """What a stack of a subject is called in a plan: by visit and its own name where there are several."""
    words = (manifest.name, subject.name, protocol.carrier, subject.visit, stack)
    return "-".join(word for word in words if word)
