"""What is true of an export, as tables beside it.

Layout of the truth folder::

    phantoms.json               format, version, seed, anatomy, options of the export
    exams.parquet               one row an exam: patient, vendor, diagnosis, ED and ES phase, measures
    series.parquet              one row a series: view, kind, planes, description and whether it is right
    images.parquet              one row an image: file and frame, slice and phase; whether it can be read
    landmarks.parquet           one row a landmark at end-diastole, LPS mm
    volumes.parquet             one row a phase and segment, ml
    segmentations/EXAM/*.dcm    DICOM SEG (LABELMAP), one for a segmented series
    nifti/EXAM/*.nii.gz         the same labels, one file a stack (phases as fourth axis)
    tissues/tissues.json        table of tissues: number, name, proton density, T1, T2, whether it is fat
    tissues/EXAM/*.dcm          tissue of every pixel as DICOM SEG, one for a segmented series
    rows/EXAM.json              the rows of one exam, from which the tables are made
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from phantoms.exam import Exam, ExamSeries

TABLES = ("exams", "series", "images", "landmarks", "volumes")

Rows = dict[str, list[dict[str, Any]]]


def exam_rows(
    exam: Exam, name: str, images: Sequence[dict[str, Any]], stacks: Mapping[str, Sequence[str]]
) -> Rows:
    """All table rows of one exam.

    Parameters
    ----------
    name
        Name of the exam's folder, the key that joins the tables.
    images
        Rows of `images`, made while the files were written.
    stacks
        NIfTI files of each stack.
    """
    return {
        "exams": [
            {
                "exam": name,
                "index": exam.index,
                "patient_id": exam.patient_id,
                "study_instance_uid": exam.uid("study"),
                "frame_of_reference": exam.frame_of_reference,
                "anatomy": exam.anatomy,
                "vendor": exam.flavour.name,
                "enhanced": exam.enhanced,
                "transfer_syntax": exam.syntax_name,
                "sex": exam.sex,
                "height_m": exam.height_m,
                "weight_kg": exam.weight_kg,
                **_phases(exam),
                **exam.truth(),
            }
        ],
        "series": [_series_row(exam, name, series, stacks) for series in exam.series],
        "images": list(images),
        "landmarks": [
            {"exam": name, "landmark": landmark, "x_mm": float(x), "y_mm": float(y), "z_mm": float(z)}
            for landmark, (x, y, z) in exam.landmarks().items()
        ],
        "volumes": [
            {"exam": name, "phase_index": phase, "segment": segment, "volume_ml": float(volume)}
            for phase, of_phase in enumerate(exam.volumes_ml())
            for segment, volume in of_phase.items()
        ],
    }


def _phases(exam: Exam) -> dict[str, int | None]:
    if exam.end_systole_phase is None:
        return {"phases": 1, "ed_phase": None, "es_phase": None}
    phases = max(series.acquisition.phases for series in exam.series)
    return {"phases": phases, "ed_phase": 0, "es_phase": exam.end_systole_phase}


def _series_row(
    exam: Exam, name: str, series: ExamSeries, stacks: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    file = f"{name}/{series.number:03d}"
    return {
        "exam": name,
        "series_instance_uid": series.uid,
        "series_number": series.number,
        "view": series.view,
        "kind": series.acquisition.kind,
        "cine": series.cine,
        "fat_suppressed": series.acquisition.fat_suppressed,
        "phases": series.acquisition.phases,
        "ed_phase": 0 if series.cine else None,
        "es_phase": exam.end_systole_phase if series.cine else None,
        "series_description": series.description,
        "description_is": series.description_is,
        "stack": series.stack,
        "slices": [index for index, _ in series.planes],
        "origins_mm": [[float(v) for v in plane.origin_mm] for _, plane in series.planes],
        "rights": [[float(v) for v in plane.right] for _, plane in series.planes],
        "downs": [[float(v) for v in plane.down] for _, plane in series.planes],
        "normals": [[float(v) for v in plane.normal] for _, plane in series.planes],
        "spacing_mm": [series.planes[0][1].row_spacing_mm, series.planes[0][1].column_spacing_mm],
        "segmentation": f"segmentations/{file}.dcm" if series.segmented else "",
        "tissue": f"tissues/{file}.dcm" if series.segmented and exam.options.tissues else "",
        "nifti": [f"nifti/{name}/{one}" for one in stacks.get(series.stack, ())],
    }


def save_rows(path: Path, rows: Rows) -> None:
    """Rows of one exam as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows, sort_keys=True), encoding="utf-8")


def write_tables(truth: Path, row_files: Iterable[Path]) -> None:
    """Join the rows of all exams into Parquet tables."""
    import polars as pl

    gathered: Rows = {table: [] for table in TABLES}
    for path in row_files:
        rows: Rows = json.loads(path.read_text(encoding="utf-8"))
        for table in TABLES:
            gathered[table] += rows[table]
    for table, of_table in gathered.items():
        unfinished = truth / f"{table}.parquet.unfinished"
        pl.DataFrame(of_table, infer_schema_length=None).write_parquet(unfinished)
        unfinished.replace(truth / f"{table}.parquet")
