"""Traps in what says where, when and to what an image belongs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np

from phantoms.dicom_export import decimal
from phantoms.exam import Exam
from phantoms.exam_files import DataSetTrap, ExamFile, change, cines, copied, main_stack, moved


def localizer_shares_series(exam: Exam, files: list[ExamFile], rng: np.random.Generator) -> None:
    """Localizers take the Series Instance UID and number of the short-axis stack."""
    stack = main_stack(files)[0].dataset
    for file in files:
        if file.series is not None and file.series.view == "localizer":
            change(file.dataset, SeriesInstanceUID=stack.SeriesInstanceUID, SeriesNumber=stack.SeriesNumber)
            for row in file.rows:
                row["series_instance_uid"] = str(stack.SeriesInstanceUID)


def frame_per_file(exam: Exam, files: list[ExamFile], rng: np.random.Generator) -> None:
    """As a careless de-identification does it."""
    for file in files:
        change(file.dataset, FrameOfReferenceUID=exam.uid("frame", str(file.dataset.SOPInstanceUID)))


def no_frame(exam: Exam, files: list[ExamFile], rng: np.random.Generator) -> None:
    """Neither the UID nor its indicator."""
    for file in files:
        change(file.dataset, FrameOfReferenceUID=None, PositionReferenceIndicator=None)


def frame_changes(exam: Exam, files: list[ExamFile], rng: np.random.Generator) -> None:
    """Everything from the main stack on lies in another frame, shifted by 40 mm."""
    stack = main_stack(files)
    begins = min(int(file.series.number) for file in stack if file.series)
    for file in files:
        if file.series is None or file.series.number < begins or "ImagePositionPatient" not in file.dataset:
            continue
        x, y, z = (float(value) for value in file.dataset.ImagePositionPatient)
        change(
            file.dataset,
            FrameOfReferenceUID=exam.uid("frame of reference", "after the table moved"),
            ImagePositionPatient=[decimal(value) for value in (x, y, z + 40.0)],
        )


def study_per_series(exam: Exam, files: list[ExamFile], rng: np.random.Generator) -> None:
    """Siemens XA writes one study a volume in some exports."""
    for file in files:
        if file.series is not None:
            change(file.dataset, StudyInstanceUID=exam.uid("study", str(file.series.number)))


def binary_copies(exam: Exam, files: list[ExamFile], rng: np.random.Generator) -> None:
    """Every fifth file again under another name; the truth lists the first only."""
    for file in files[::5]:
        again = copied(file)
        again.place, again.rows = moved(file.place, "copy"), []
        files.append(again)


def same_uid_other_content(exam: Exam, files: list[ExamFile], rng: np.random.Generator) -> None:
    """The last image of the stack takes the SOP Instance UID of the first."""
    stack = main_stack(files)
    first, last = stack[0], stack[-1]
    change(last.dataset, SOPInstanceUID=first.dataset.SOPInstanceUID)
    for row in last.rows:
        row["sop_instance_uid"] = str(first.dataset.SOPInstanceUID)


def missing_slice(exam: Exam, files: list[ExamFile], rng: np.random.Generator) -> None:
    """The middle slice is gone."""
    stack = main_stack(files)
    indices = sorted({file.rows[0]["slice_index"] for file in stack})
    lost = {id(file) for file in stack if file.rows[0]["slice_index"] == indices[len(indices) // 2]}
    files[:] = [file for file in files if id(file) not in lost]


def missing_phases(exam: Exam, files: list[ExamFile], rng: np.random.Generator) -> None:
    """Every third slice of the stack lost its last phase."""
    stack = [file for file in main_stack(files) if file.rows[0]["slice_index"] % 3 == 1]
    latest = max((file.rows[0]["phase_index"] for file in stack), default=0)
    lost = {id(file) for file in stack if file.rows[0]["phase_index"] == latest and latest > 0}
    files[:] = [file for file in files if id(file) not in lost]


def slice_thickness_wrong(exam: Exam, files: list[ExamFile], rng: np.random.Generator) -> None:
    """Numbers of another protocol."""
    for file in main_stack(files):
        change(file.dataset, SliceThickness="1", SpacingBetweenSlices="3.3")


def spacing_negative(exam: Exam, files: list[ExamFile], rng: np.random.Generator) -> None:
    """Some scanners mean the direction by it."""
    for file in main_stack(files):
        spacing = float(file.dataset.get("SpacingBetweenSlices", 8))
        change(file.dataset, SpacingBetweenSlices=decimal(-spacing))


def spacing_absent(exam: Exam, files: list[ExamFile], rng: np.random.Generator) -> None:
    """Both are left out."""
    for file in files:
        change(file.dataset, SpacingBetweenSlices=None, SliceThickness=None)


def instance_numbers_repeated(exam: Exam, files: list[ExamFile], rng: np.random.Generator) -> None:
    """All 1."""
    for file in files:
        change(file.dataset, InstanceNumber=1)


def instance_numbers_absent(exam: Exam, files: list[ExamFile], rng: np.random.Generator) -> None:
    """None at all."""
    for file in files:
        change(file.dataset, InstanceNumber=None)


def instance_numbers_shuffled(exam: Exam, files: list[ExamFile], rng: np.random.Generator) -> None:
    """Each number once, in no order."""
    for file, number in zip(files, rng.permutation(len(files)) + 1, strict=True):
        change(file.dataset, InstanceNumber=int(number))


def slice_location_wrong(exam: Exam, files: list[ExamFile], rng: np.random.Generator) -> None:
    """Any number."""
    for file in files:
        change(file.dataset, SliceLocation=decimal(round(float(rng.uniform(-200, 200)), 2)))


def trigger_time_constant(exam: Exam, files: list[ExamFile], rng: np.random.Generator) -> None:
    """The delay of the first phase everywhere."""
    for file in cines(files):
        change(file.dataset, TriggerTime="0")


def trigger_time_absent(exam: Exam, files: list[ExamFile], rng: np.random.Generator) -> None:
    """As Canon does it here."""
    for file in cines(files):
        change(file.dataset, TriggerTime=None)


def trigger_time_shuffled(exam: Exam, files: list[ExamFile], rng: np.random.Generator) -> None:
    """Instance numbers count against time; Trigger Time says what is true."""
    last = len(files)
    for file in cines(files):
        change(file.dataset, InstanceNumber=last - int(file.dataset.InstanceNumber) + 1)


def temporal_position_constant(exam: Exam, files: list[ExamFile], rng: np.random.Generator) -> None:
    """One position for all phases."""
    for file in cines(files):
        change(file.dataset, TemporalPositionIdentifier=1, NumberOfTemporalPositions=1)


def cardiac_images_absent(exam: Exam, files: list[ExamFile], rng: np.random.Generator) -> None:
    """Nor the R-R interval."""
    for file in files:
        change(file.dataset, CardiacNumberOfImages=None, NominalInterval=None, HeartRate=None)


def cosines_rounded(exam: Exam, files: list[ExamFile], rng: np.random.Generator) -> None:
    """Four decimals, so that they are neither of length one nor at right angles."""
    for file in files:
        if "ImageOrientationPatient" in file.dataset:
            values = [f"{float(value):.4f}" for value in file.dataset.ImageOrientationPatient]
            change(file.dataset, ImageOrientationPatient=values)


def cosines_skewed(exam: Exam, files: list[ExamFile], rng: np.random.Generator) -> None:
    """The columns of the first image of the stack run at 80 degrees to its rows."""
    dataset = main_stack(files)[0].dataset
    cosines = np.array([float(value) for value in dataset.ImageOrientationPatient])
    right, down = cosines[:3], cosines[3:]
    skewed = np.cos(np.deg2rad(10)) * down + np.sin(np.deg2rad(10)) * right
    change(dataset, ImageOrientationPatient=[decimal(v) for v in (*right, *skewed)])


def named_by(text: str) -> str:
    """Twelve hexadecimal digits of a hash."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


ACTIONS: Mapping[str, DataSetTrap] = {
    "localizer-shares-series": localizer_shares_series,
    "frame-per-file": frame_per_file,
    "no-frame": no_frame,
    "frame-changes": frame_changes,
    "study-per-series": study_per_series,
    "binary-copies": binary_copies,
    "same-uid-other-content": same_uid_other_content,
    "missing-slice": missing_slice,
    "missing-phases": missing_phases,
    "slice-thickness-wrong": slice_thickness_wrong,
    "spacing-negative": spacing_negative,
    "spacing-absent": spacing_absent,
    "instance-numbers-repeated": instance_numbers_repeated,
    "instance-numbers-absent": instance_numbers_absent,
    "instance-numbers-shuffled": instance_numbers_shuffled,
    "slice-location-wrong": slice_location_wrong,
    "trigger-time-constant": trigger_time_constant,
    "trigger-time-absent": trigger_time_absent,
    "trigger-time-shuffled": trigger_time_shuffled,
    "temporal-position-constant": temporal_position_constant,
    "cardiac-images-absent": cardiac_images_absent,
    "cosines-rounded": cosines_rounded,
    "cosines-skewed": cosines_skewed,
}
"""By the names of `phantoms.traps`."""
