"""One exam from plan to files: images, truth, traps, DICOMDIR; moved in when all of it is there."""

from __future__ import annotations

import contextlib
import shutil
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import EnhancedMRImageStorage

from dicomgeom.plane import ImagePlane
from phantoms import nifti, traps_files, traps_objects, traps_pixels, traps_place
from phantoms.anatomies import exam_of
from phantoms.dicom_export import FileNames, exam_folder_name, image_dataset, series_dataset
from phantoms.dicomdir import directory_bytes
from phantoms.encoding import Encoder
from phantoms.enhanced_export import enhanced_dataset
from phantoms.exam import Exam, ExamImage, ExamSeries
from phantoms.exam_files import DataSetTrap, ExamFile, Row
from phantoms.options import ExportOptions
from phantoms.segmentation import SegmentationIdentity, SourceFrame, segmentation_of
from phantoms.tissue_truth import write_tissue
from phantoms.transfer_syntax import SYNTAXES, compress
from phantoms.truth import exam_rows, save_rows

DATA_SET_TRAPS: Mapping[str, DataSetTrap] = {
    **traps_objects.ACTIONS,
    **traps_place.ACTIONS,
    **traps_pixels.ACTIONS,
}
"""In the order in which they are done: objects are added from unspoilt images."""


def write_exam(folder: Path, truth: Path, anatomy: str, seed: int, index: int, options: ExportOptions) -> int:
    """Write one exam and its truth; returns its index."""
    exam, name = exam_of(anatomy, seed, index, options), exam_folder_name(seed, index)
    unfinished = folder.parent / f".{folder.name}-unfinished" / name
    shutil.rmtree(unfinished, ignore_errors=True)
    writer = ExamWriter(exam, name, truth)
    files = [file for series in exam.series for file in writer.files_of(series)]
    for trap, act in DATA_SET_TRAPS.items():
        if exam.has(trap):
            act(exam, files, exam.draws(f"trap {trap}"))
    writer.save(files, unfinished)
    moves: traps_files.Moves = {}
    for trap, act_on_files in traps_files.ACTIONS.items():
        if exam.has(trap):
            moves = _composed(moves, act_on_files(exam, unfinished, exam.draws(f"trap {trap}")))
    rows = [row for file in files for row in file.rows]
    _place_rows(rows, name, moves)
    save_rows(truth / "rows" / f"{name}.json", exam_rows(exam, name, rows, writer.stacks()))
    unfinished.replace(folder / name)
    with contextlib.suppress(OSError):  # other exams are still being written there
        unfinished.parent.rmdir()
    return index


def _composed(first: traps_files.Moves, second: traps_files.Moves) -> traps_files.Moves:
    """Where files are after two traps."""
    through = {old: second.get(new, new) if new else None for old, new in first.items()}
    return {**second, **through}


def _place_rows(rows: Sequence[Row], name: str, moves: traps_files.Moves) -> None:
    """Give rows the path inside the export; a file that was spoilt is marked."""
    for row in rows:
        place = moves.get(row["path"], row["path"])
        row["readable"] = place is not None
        row["path"] = f"{name}/{place or row['path']}"


class ExamWriter:
    """Makes the files of an exam and writes the truth of each series.

    Parameters
    ----------
    exam
    name
        Name of the exam's folder.
    truth
        Folder of the truth.
    """

    def __init__(self, exam: Exam, name: str, truth: Path) -> None:
        self._exam, self._name, self._truth = exam, name, truth
        self._names = FileNames(exam)
        self._encoder = Encoder(exam.syntax)
        self._planes: dict[str, dict[int, ImagePlane]] = defaultdict(dict)
        self._tissues: dict[str, dict[int, list[NDArray[np.uint8]]]] = defaultdict(lambda: defaultdict(list))

    def files_of(self, series: ExamSeries) -> list[ExamFile]:
        """All files of a series; its segmentation is written on the way."""
        exam = self._exam
        shared = series_dataset(exam, series)
        if exam.syntax_name in SYNTAXES:
            self._encoder.keep(shared)
        images = list(exam.images(series))
        datasets = [image_dataset(exam, series, shared, image, n) for n, image in enumerate(images, start=1)]
        files = (
            self._enhanced(series, images, datasets)
            if exam.enhanced
            else self._classic(series, images, datasets)
        )
        if series.segmented:
            self._write_truth(series, images, datasets, files)
        return files

    def _classic(
        self, series: ExamSeries, images: Sequence[ExamImage], datasets: Sequence[Dataset]
    ) -> list[ExamFile]:
        return [
            self._file(series, dataset, [_row(series, image, dataset, 0)])
            for image, dataset in zip(images, datasets, strict=True)
        ]

    def _enhanced(
        self, series: ExamSeries, images: Sequence[ExamImage], datasets: Sequence[Dataset]
    ) -> list[ExamFile]:
        exam = self._exam
        order = list(range(len(images)))
        if exam.has("enhanced-frames-shuffled"):
            order = [int(i) for i in exam.draws(f"frames {series.number}").permutation(len(images))]
        made = enhanced_dataset(exam, series, datasets, order, exam.has("enhanced-dimensions-wrong"))
        rows = [_row(series, images[i], made, frame) for frame, i in enumerate(order)]
        return [self._file(series, made, rows)]

    def _file(self, series: ExamSeries, dataset: Dataset, rows: list[Row]) -> ExamFile:
        place = self._place(str(dataset.SOPInstanceUID))
        for row in rows:
            row["exam"], row["path"] = self._name, place.as_posix()
        return ExamFile(place, dataset, self._exam.syntax, series, rows)

    def _place(self, uid: str) -> Path:
        place = self._names.of(uid)
        # File IDs of a file set are upper case, eight characters at most, without ending.
        return Path("IMAGES") / place.parent / place.stem[:8].upper() if self._exam.dicomdir else place

    def save(self, files: Sequence[ExamFile], folder: Path) -> None:
        """Encode and write all files, and the DICOMDIR if there is one."""
        for file in files:
            dataset, syntax = file.dataset, file.syntax
            if syntax.compressed and "PixelData" in dataset:
                if int(dataset.get("SamplesPerPixel", 1)) == 1 and dataset.get("BitsAllocated") in (8, 16):
                    compress(dataset, syntax)
                else:
                    file.syntax = SYNTAXES["explicit"]
            encoder = self._encoder if file.syntax.uid == self._exam.syntax.uid else Encoder(file.syntax)
            path = folder / file.place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encoder.file(dataset))
        if self._exam.dicomdir:
            self._write_directory(files, folder)

    def _write_directory(self, files: Sequence[ExamFile], folder: Path) -> None:
        listed = list(files)
        if self._exam.has("dicomdir-dead-references"):
            listed = [
                ExamFile(Path("..") / ".." / "GONE" / file.place.name, file.dataset, file.syntax)
                if i % 2
                else ExamFile(file.place.with_name("GONE"), file.dataset, file.syntax)
                for i, file in enumerate(files)
            ]
        (folder / "DICOMDIR").write_bytes(directory_bytes(listed, self._exam.uid("dicomdir")))

    def _write_truth(
        self,
        series: ExamSeries,
        images: Sequence[ExamImage],
        datasets: Sequence[Dataset],
        files: Sequence[ExamFile],
    ) -> None:
        """Segmentation and tissue images of one series."""
        exam = self._exam
        tissue = np.stack([image.tissue for image in images if image.tissue is not None])
        references = _references(images, files)
        for part, members in enumerate(_by_orientation(images)):
            made = segmentation_of(
                [datasets[i] for i in members],
                tissue[members],
                self._identity("segmentation", series, 1000, part),
                exam.segments,
                [references[i] for i in members] if references else None,
            )
            ending = f"-{part}" if part else ""
            name = f"{self._name}/{series.number:03d}{ending}.dcm"
            path = self._truth / "segmentations" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            made["PixelData"].VR = "OB"
            encoder = Encoder(SYNTAXES["explicit"])
            encoder.keep(made)
            path.write_bytes(encoder.file(made))
            if exam.options.tissues:
                own = self._identity("tissue", series, 2000, part)
                write_tissue(self._truth / "tissues" / name, made, tissue[members], own, encoder)
        for image in images:
            if image.tissue is not None:
                self._planes[series.stack][image.slice_index] = image.plane
                self._tissues[series.stack][image.slice_index].append(image.tissue)

    def _identity(self, what: str, series: ExamSeries, from_number: int, part: int) -> SegmentationIdentity:
        """Of the segmentation objects of a series; those of one kind are a series of their own."""
        uid, number = self._exam.uid, str(series.number)
        return SegmentationIdentity(
            series_uid=uid(f"{what} series", number),
            sop_uid=uid(what, number, str(part)) if part else uid(what, number),
            dimension_uid=uid("dimensions", number),
            series_number=from_number + series.number,
        )

    def stacks(self) -> dict[str, list[str]]:
        """Write NIfTI labels of every stack; returns the names of the files of each."""
        from phantoms.segmentation import segment_numbers

        exam, names = self._exam, {}
        for series in exam.series:
            if series.stack not in self._planes or series.stack in names or not exam.options.nifti:
                continue
            tissues = self._tissues[series.stack]
            labels = {
                i: segment_numbers(np.stack(of_slice), exam.segments) for i, of_slice in tissues.items()
            }
            step_ms = (exam.beat_ms or 0.0) / series.acquisition.phases
            names[series.stack] = nifti.save_labels(
                self._truth / "nifti" / self._name,
                series.stack,
                self._planes[series.stack],
                labels,
                series.thickness_mm,
                step_ms,
            )
        return names


def _row(series: ExamSeries, image: ExamImage, dataset: Dataset, frame: int) -> Row:
    return {
        "path": "",
        "frame": frame,
        "sop_instance_uid": str(dataset.SOPInstanceUID),
        "series_instance_uid": series.uid,
        "view": series.view,
        "kind": series.acquisition.kind,
        "slice_index": image.slice_index,
        "phase_index": image.phase_index,
        "trigger_time_ms": image.trigger_ms if series.acquisition.beats else None,
    }


def _rows_of(images: Sequence[ExamImage], files: Sequence[ExamFile]) -> list[Row]:
    """Rows in the order of the images."""
    by_place = {(row["slice_index"], row["phase_index"]): row for file in files for row in file.rows}
    return [by_place[image.slice_index, image.phase_index] for image in images]


def _by_orientation(images: Sequence[ExamImage]) -> list[list[int]]:
    """Which images are parallel: a segmentation object has one orientation, a tilting stack several."""
    groups: dict[tuple[float, ...], list[int]] = defaultdict(list)
    for i, image in enumerate(images):
        groups[tuple(np.round([*image.plane.right, *image.plane.down], 6))].append(i)
    return list(groups.values())


def _references(images: Sequence[ExamImage], files: Sequence[ExamFile]) -> list[SourceFrame] | None:
    """Frames of an enhanced object; None when each image is a file."""
    if not files or files[0].dataset.SOPClassUID != EnhancedMRImageStorage:
        return None
    return [
        SourceFrame(str(EnhancedMRImageStorage), str(row["sop_instance_uid"]), int(row["frame"]) + 1)
        for row in _rows_of(images, files)
    ]
