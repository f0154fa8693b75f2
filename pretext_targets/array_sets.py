"""Exams as NumPy arrays, a file an exam and direction, with findings in tables beside them: MRNet's layout.

``train/sagittal/0000.npy`` has shape (slices, rows, columns); ``train-acl.csv`` names each exam of the set
and says 0 or 1. The folder that the manifest gives a view is the direction; the file's name is the exam. No
place in the patient and no spacing is left: pixels are taken as they are, and slices are known by their
number. Which end of the row is which side is unknown, so there is no linear location; its sine needs no side.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from dicomgeom.data_manifest import DataManifest
from dicomgeom.errors import NothingUsable, UnusableFile, WrongUse
from dicomgeom.plane import ImagePlane
from dicomgeom.privacy import hashed, split_position
from dicomgeom.progress import Progress, silent
from pretext_targets.annotations import OTHER_VIEW
from pretext_targets.arrays import ENDING, open_array
from pretext_targets.boxes import NO_GEOMETRY, no_boxes
from pretext_targets.build_plan import CHOICES, EXAMPLES, LEFT_OUT, WITHOUT_BOXES, BuildPlan
from pretext_targets.findings import Findings, of_no_exam, read_findings
from pretext_targets.fingerprint import Fingerprint, content_of_images, sha256_of
from pretext_targets.label_codes import WITHOUT_CONTENT
from pretext_targets.labels import SliceLabels, usable_grid
from pretext_targets.protocol import Protocol
from pretext_targets.splits import split_codes


def plan_arrays(
    folder: Path,
    protocol: Protocol,
    manifest: DataManifest,
    *,
    salt: bytes = b"",
    progress: Progress = silent,
) -> BuildPlan:
    """Plan a store of a folder of arrays, with the findings of the tables that lie in it.

    Raises
    ------
    WrongUse
        When there is no such folder, a table cannot be read, or two arrays have one name.
    NothingUsable
        When it holds no array of the wanted view, or its tables tell of none of its exams.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise WrongUse(f"{folder} is no folder; give the folder of the data set")
    paths = sorted(folder.rglob(f"*{ENDING}"))
    wanted = [path for path in paths if _view_of(path.relative_to(folder), manifest) == protocol.carrier]
    _refuse_namesakes([path.relative_to(folder) for path in wanted])
    tables = sorted(folder.glob("*.csv"))
    findings = read_findings(tables, salt) if tables else Findings((), {})
    slices: list[SliceLabels] = []
    rows: list[dict[str, Any]] = []
    left_out: list[tuple[str, int | None, int, str]] = []
    for done, path in enumerate(wanted):
        stack_id = f"{manifest.name}-{path.stem}-{protocol.carrier}"
        try:
            shape = open_array(str(path)).shape
        except UnusableFile as error:
            left_out.append((stack_id, None, 1, error.reason))
            continue
        number = len({one.stack for one in slices})
        for index in range(shape[0]):
            one = _slice(path.stem, stack_id, number, index, shape, protocol, findings, salt)
            rows.append(_row(one, len(slices), path.relative_to(folder), folder, manifest))
            slices.append(one)
        progress("reading arrays", done=done + 1, total=len(wanted))
    if len(paths) > len(wanted):
        left_out.append(("", None, len(paths) - len(wanted), OTHER_VIEW))
    if not rows:
        raise NothingUsable(
            f"{folder} holds no array of view {protocol.carrier} in the layout of {manifest.name}; "
            f"it should look like {manifest.layout[0].path}"
        )
    if findings.names and not any(set(one.findings) - {-1} for one in slices):
        raise of_no_exam(findings)
    content = content_of_images(folder, {row["path"] for row in rows}, [], progress)
    return _plan(rows, content, slices, left_out, protocol, manifest, findings, salt)


def _refuse_namesakes(paths: Sequence[Path]) -> None:
    """Two exams of one name would become one patient and one stack."""
    seen: dict[str, Path] = {}
    for path in paths:
        if seen.setdefault(path.stem, path) != path:
            raise WrongUse(
                f"{seen[path.stem]} and {path} have one name, which is the exam's; give each exam its own"
            )


def _view_of(path: Path, manifest: DataManifest) -> str | None:
    return next((manifest.views[part] for part in path.parts[:-1] if part in manifest.views), None)


def _slice(
    exam: str,
    stack_id: str,
    stack: int,
    index: int,
    shape: tuple[int, ...],
    protocol: Protocol,
    findings: Findings,
    salt: bytes,
) -> SliceLabels:
    count, rows, columns = shape
    plane = ImagePlane(
        origin_mm=np.array([0.0, 0.0, float(index)]),
        right=np.array([1.0, 0.0, 0.0]),
        down=np.array([0.0, 1.0, 0.0]),
        column_spacing_mm=protocol.spacing_mm,
        row_spacing_mm=protocol.spacing_mm,
        columns=columns,
        rows=rows,
    )
    # The exam alone is the patient: nothing tells which exams are of one person.
    patient_key, study_key = hashed(salt, exam), hashed(salt, f"{exam}/study")
    return SliceLabels(
        stack=stack,
        stack_id=stack_id,
        slice_index=index,
        n_slices=count,
        n_phases=1,
        plane=plane,
        grid=usable_grid(plane, protocol),
        line=np.full((len(protocol.partners), 3), np.nan),
        boxes=no_boxes(NO_GEOMETRY),
        location=np.nan,
        location_sine=float(np.sin(np.pi * index / (count - 1))) if count > 1 else np.nan,
        patient_key=patient_key,
        study_key=study_key,
        stack_key=hashed(salt, stack_id),
        placed=False,
        findings=findings.of(study_key, patient_key) if findings.names else (),
    )


def _row(one: SliceLabels, place: int, path: Path, folder: Path, manifest: DataManifest) -> dict[str, Any]:
    return {
        "place": place,
        "stack_id": one.stack_id,
        "slice_index": one.slice_index,
        "root": str(folder),
        "path": path.as_posix(),
        "frame": one.slice_index,
        "sop_instance_uid": "",
        "phase_index": 0,
        "size_bytes": (folder / path).stat().st_size // one.n_slices,
        "segmentation": None,
        "patient_key": one.patient_key.hex(),
        "split_position": split_position(f"{manifest.name}/{path.stem}"),
    }


def _plan(
    rows: list[dict[str, Any]],
    content: list[Any],
    slices: list[SliceLabels],
    left_out: list[tuple[str, int | None, int, str]],
    protocol: Protocol,
    manifest: DataManifest,
    findings: Findings,
    salt: bytes,
) -> BuildPlan:
    table = pl.DataFrame(rows, infer_schema_length=None)
    table = table.with_columns(split=split_codes(table, manifest))
    examples = table.select(EXAMPLES.keys()).cast(pl.Schema(EXAMPLES))
    fingerprint = Fingerprint()
    fingerprint.add(content)
    described = manifest.model_dump(mode="json", exclude=WITHOUT_CONTENT)
    fingerprint.add([protocol.as_dict(), described, findings.sha256])
    fingerprint.add([hashed(salt, manifest.name).hex()])
    fingerprint.add_table(examples)
    without = [(one.stack_id, one.slice_index, NO_GEOMETRY) for one in slices]
    return BuildPlan(
        protocol=protocol,
        examples=examples,
        skipped_phases=pl.DataFrame(schema=EXAMPLES),
        slices=tuple(slices),
        left_out=pl.DataFrame(left_out, schema=LEFT_OUT, orient="row"),
        choices=pl.DataFrame(schema=CHOICES),
        without_boxes=pl.DataFrame(without, schema=WITHOUT_BOXES, orient="row"),
        phases_untold=(),
        sha256=fingerprint.sha256,
        parts_sha256={
            "files": sha256_of([content, examples.drop("root", "split").to_dict(as_series=False)]),
            "findings": findings.sha256,
            "manifest": sha256_of(described),
            "salt": sha256_of(hashed(salt, manifest.name).hex()),
        },
        without_pixel_size=examples["path"].n_unique(),
        finding_names=findings.names,
    )
