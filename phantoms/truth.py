"""What is true of an export, as tables beside it.

Layout of the truth folder::

    phantoms.json               format, version, seed, anatomy, options of the export
    exams.parquet               one row an exam: patient, group, ED and ES phase, beat
    series.parquet              one row a series: view, planes, description and whether it is right
    images.parquet              one row an image: where its file lies, slice and phase
    landmarks.parquet           one row a landmark at end-diastole, LPS mm
    volumes.parquet             one row a phase and segment, ml
    segmentations/EXAM/*.dcm    DICOM SEG (LABELMAP), one for a cine series
    tissues/EXAM/*.npz          tissue numbers (phantoms.tissues.Tissue), one for a cine series
    rows/EXAM.json              the rows of one exam, from which the tables are made
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from phantoms.exam import CardiacExam, ExamSeries

TABLES = ("exams", "series", "images", "landmarks", "volumes")

Rows = dict[str, list[dict[str, Any]]]


def exam_rows(exam: CardiacExam, name: str, images: Sequence[dict[str, Any]]) -> Rows:
    """All table rows of one exam.

    Parameters
    ----------
    name
        Name of the exam's folder, the key that joins the tables.
    images
        Rows of `images`, made while the files were written.
    """
    patient = exam.scene.patient
    volumes = exam.volumes_ml()
    return {
        "exams": [
            {
                "exam": name,
                "index": exam.index,
                "patient_id": exam.patient_id,
                "study_instance_uid": exam.uid("study"),
                "frame_of_reference": exam.frame_of_reference,
                "group": str(patient.group),
                "phases": exam.phases,
                "ed_phase": 0,
                "es_phase": exam.end_systole_phase,
                "beat_ms": patient.beat_ms,
                "long_axis": [float(value) for value in patient.patient_from_heart[:, 2]],
            }
        ],
        "series": [_series_row(exam, name, series) for series in exam.series],
        "images": list(images),
        "landmarks": [
            {"exam": name, "landmark": landmark, "x_mm": float(x), "y_mm": float(y), "z_mm": float(z)}
            for landmark, (x, y, z) in exam.scene.landmarks().items()
        ],
        "volumes": [
            {"exam": name, "phase_index": phase, "segment": segment, "volume_ml": float(volume)}
            for phase, of_phase in enumerate(volumes)
            for segment, volume in of_phase.items()
        ],
    }


def _series_row(exam: CardiacExam, name: str, series: ExamSeries) -> dict[str, Any]:
    file = f"{name}/{series.number:03d}"
    return {
        "exam": name,
        "series_instance_uid": series.uid,
        "series_number": series.number,
        "view": series.view,
        "cine": series.cine,
        "phases": exam.phases if series.cine else 1,
        "ed_phase": 0 if series.cine else None,
        "es_phase": exam.end_systole_phase if series.cine else None,
        "series_description": series.description,
        "description_is": series.description_is,
        "slices": [index for index, _ in series.planes],
        "origins_mm": [[float(v) for v in plane.origin_mm] for _, plane in series.planes],
        "normals": [[float(v) for v in plane.normal] for _, plane in series.planes],
        "segmentation": f"segmentations/{file}.dcm" if series.cine else "",
        "tissue": f"tissues/{file}.npz" if series.cine else "",
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
