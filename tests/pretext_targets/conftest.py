"""A small export with two hearts, its catalogue, and a protocol small enough for quick builds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dicomgeom.catalogue import Catalogue, open_catalogue
from dicomgeom.index import index
from dicomgeom.plane import ImagePlane
from pretext_targets.build import BuildPlan, build, plan_build
from pretext_targets.choose import StackPlanes
from pretext_targets.protocol import Protocol, load_protocol
from tests.helpers.dicom_files import uid, write_mr
from tests.helpers.object_storage import server, url

__all__ = ["server", "url"]

PATIENTS = ("PID-4711", "PID-4712")
PATIENT_NAME = "Secretovsky^Eve"
STUDY_DATE = "20190317"
"""Must never be found in a store."""

SMALL = {"columns": 48, "rows": 40, "column_spacing_mm": 4.5, "row_spacing_mm": 5.0}

SHARD = 7
"""Doesn't divide anything, so that slices and stacks fall across shards."""


@pytest.fixture(scope="session")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    for number, patient in enumerate(PATIENTS, start=1):
        write_heart(folder / patient, patient=patient, number=number)
    return folder


def write_heart(folder: Path, *, patient: str, number: int, slices: int = 4, phases: int = 3) -> None:
    """Write a short-axis stack 10 mm apart with a 4CH and a 2CH plane through it; no two images are alike."""
    heart_mm = np.array([35.0, -20.0, -10.0 * number])
    axis = np.array([1.0, -1.0, -1.0]) / np.sqrt(3)
    left = np.array([1.0, 0.0, 0.0]) - axis[0] * axis
    left /= np.linalg.norm(left)
    around = np.cross(axis, left)
    series = [(left, around, [heart_mm + 10.0 * (i - (slices - 1) / 2) * axis for i in range(slices)])]
    traces = [np.cos(turn) * left + np.sin(turn) * around for turn in np.radians([8.0, 66.0])]
    series += [(trace, axis, [heart_mm]) for trace in traces]
    rng = np.random.default_rng(number)
    for place, (right, down, centres) in enumerate(series):
        for slice_number, centre in enumerate(centres):
            image = plane(tuple(centre), tuple(right), tuple(down), **SMALL, frame=uid(5, number))
            for phase in range(phases):
                write_mr(
                    folder / f"{place}" / f"{slice_number}-{phase}.dcm",
                    image,
                    StudyInstanceUID=uid(6, number),
                    SeriesInstanceUID=uid(7, number, place),
                    SOPInstanceUID=uid(8, number, place, slice_number, phase),
                    PatientID=patient,
                    PatientName=PATIENT_NAME,
                    PatientBirthDate="19500101",
                    PatientSex="O",
                    StudyID="1",
                    AccessionNumber="1",
                    StudyDate=STUDY_DATE,
                    StudyTime="101500",
                    BodyPartExamined="HEART",
                    SliceThickness="8",
                    PositionReferenceIndicator="",
                    SeriesNumber=place + 1,
                    SeriesDescription=("SAX", "4CH", "2CH")[place],
                    InstanceNumber=slice_number * phases + phase + 1,
                    TriggerTime=30.0 * phase,
                    CardiacNumberOfImages=phases,
                    PixelData=rng.integers(50, 900, (image.rows, image.columns)).astype(np.uint16).tobytes(),
                )


@pytest.fixture(scope="session")
def catalogue(export: Path, tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    folder = tmp_path_factory.mktemp("catalogue") / "catalogue"
    index([export], folder)
    return open_catalogue(folder)


@pytest.fixture(scope="session")
def protocol() -> Protocol:
    return load_protocol("cardiac-sax").with_changes(rows=36, columns=40, spacing_mm=5.5)


@pytest.fixture(scope="session")
def plan(catalogue: Catalogue, protocol: Protocol) -> BuildPlan:
    return plan_build(catalogue, protocol)


@pytest.fixture(scope="session")
def built(plan: BuildPlan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete store; tests must not change it."""
    store = tmp_path_factory.mktemp("stores") / "built.zarr"
    build(plan, store, shard=SHARD)
    return store


def plane(
    centre_mm: tuple[float, float, float] = (0, 0, 0),
    right: tuple[float, float, float] = (1, 0, 0),
    down: tuple[float, float, float] = (0, 1, 0),
    *,
    columns: int = 160,
    rows: int = 140,
    column_spacing_mm: float = 1.8,
    row_spacing_mm: float = 2.1,
    frame: str = "1.2.3",
) -> ImagePlane:
    """A plane by its centre; axes need not be normalised, and `down` is made square to `right`."""
    across = np.asarray(right, dtype=np.float64) / np.linalg.norm(right)
    along = np.asarray(down, dtype=np.float64) - (across @ down) * across
    axes = across, along / np.linalg.norm(along)
    offset = axes[0] * column_spacing_mm * (columns - 1) / 2 + axes[1] * row_spacing_mm * (rows - 1) / 2
    return ImagePlane(
        origin_mm=np.asarray(centre_mm, dtype=np.float64) - offset,
        right=axes[0],
        down=axes[1],
        column_spacing_mm=column_spacing_mm,
        row_spacing_mm=row_spacing_mm,
        columns=columns,
        rows=rows,
        frame_of_reference=frame,
    )


def stack(view: str, *planes: ImagePlane, **row: object) -> StackPlanes:
    """A stack of planes, with a row of the stacks table that says what is asked of it."""
    values: dict[str, object] = {
        "stack_id": f"st-{view}",
        "view": view,
        "kind": "cine",
        "study_instance_uid": "1.2",
        "patient_key": "00" * 16,
        "normal": planes[0].normal.tolist(),
        "apex_known": True,
        "n_phases": 25,
        "complete": True,
        "fat_suppressed": False,
        "superseded_by": "",
        "acquired_at": None,
        "series_number": 1,
        "frame_assumed": False,
    }
    return StackPlanes(values | row, tuple(range(len(planes))), planes)
