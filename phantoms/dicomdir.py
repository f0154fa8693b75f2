"""A DICOMDIR for an exam's files (PS3.3 F): patient, studies, series, images, linked by byte offsets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pydicom.dataset import Dataset
from pydicom.uid import MediaStorageDirectoryStorage

from phantoms.encoding import PREAMBLE, Encoder, file_meta
from phantoms.exam_files import ExamFile
from phantoms.transfer_syntax import SYNTAXES

ITEM_HEAD = 8
"""Bytes before each item of a sequence: its tag and its length."""


@dataclass
class _Node:
    record: Dataset
    children: list[_Node] = field(default_factory=list)


def directory_bytes(files: Iterable[ExamFile], uid: str) -> bytes:
    """The whole DICOMDIR file.

    Parameters
    ----------
    files
        Their places are file IDs: upper case, up to eight characters a part.
    uid
        Of the file set.
    """
    roots = _tree(list(files))
    records = [node.record for node in _walk(roots)]
    encoder = Encoder(SYNTAXES["explicit"])
    head = Dataset()
    head.FileSetID = "PHANTOM"
    head.OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity = 0
    head.OffsetOfTheLastDirectoryRecordOfTheRootDirectoryEntity = 0
    head.FileSetConsistencyFlag = 0
    meta = PREAMBLE + file_meta(MediaStorageDirectoryStorage, uid, SYNTAXES["explicit"].uid)
    sequence_head = 12  # tag, VR, two reserved bytes, length
    start = len(meta) + len(encoder.encode(head)) + sequence_head
    places: dict[int, int] = {}
    for record in records:
        places[id(record)] = start
        start += ITEM_HEAD + len(encoder.encode(record))
    _link(roots, places)
    head.OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity = places[id(roots[0].record)]
    head.OffsetOfTheLastDirectoryRecordOfTheRootDirectoryEntity = places[id(roots[-1].record)]
    body = b"".join(_item(encoder.encode(record)) for record in records)
    sequence = b"\x04\x00\x20\x12SQ\x00\x00" + len(body).to_bytes(4, "little")
    return meta + encoder.encode(head) + sequence + body


def _item(encoded: bytes) -> bytes:
    return b"\xfe\xff\x00\xe0" + len(encoded).to_bytes(4, "little") + encoded


def _tree(files: Sequence[ExamFile]) -> list[_Node]:
    patients: dict[str, _Node] = {}
    studies: dict[str, _Node] = {}
    series: dict[str, _Node] = {}
    for file in files:
        dataset = file.dataset
        patient = patients.setdefault(str(dataset.PatientID), _Node(_patient(dataset)))
        study_uid, series_uid = str(dataset.StudyInstanceUID), str(dataset.SeriesInstanceUID)
        if study_uid not in studies:
            studies[study_uid] = _Node(_study(dataset))
            patient.children.append(studies[study_uid])
        if series_uid not in series:
            series[series_uid] = _Node(_series(dataset))
            studies[study_uid].children.append(series[series_uid])
        series[series_uid].children.append(_Node(_image(file)))
    return list(patients.values())


def _record(kind: str, dataset: Dataset, *names: str) -> Dataset:
    record = Dataset()
    record.OffsetOfTheNextDirectoryRecord = 0
    record.RecordInUseFlag = 0xFFFF
    record.OffsetOfReferencedLowerLevelDirectoryEntity = 0
    record.DirectoryRecordType = kind
    record.SpecificCharacterSet = dataset.get("SpecificCharacterSet", "ISO_IR 192")
    for name in names:
        setattr(record, name, dataset.get(name, ""))
    return record


def _patient(dataset: Dataset) -> Dataset:
    return _record("PATIENT", dataset, "PatientName", "PatientID")


def _study(dataset: Dataset) -> Dataset:
    return _record(
        "STUDY",
        dataset,
        "StudyDate",
        "StudyTime",
        "StudyDescription",
        "StudyInstanceUID",
        "StudyID",
        "AccessionNumber",
    )


def _series(dataset: Dataset) -> Dataset:
    return _record("SERIES", dataset, "Modality", "SeriesInstanceUID", "SeriesNumber")


def _image(file: ExamFile) -> Dataset:
    record = _record("IMAGE", file.dataset, "InstanceNumber")
    record.ReferencedFileID = list(file.place.parts)
    record.ReferencedSOPClassUIDInFile = file.dataset.SOPClassUID
    record.ReferencedSOPInstanceUIDInFile = file.dataset.SOPInstanceUID
    record.ReferencedTransferSyntaxUIDInFile = file.syntax.uid
    return record


def _walk(nodes: Sequence[_Node]) -> Iterable[_Node]:
    for node in nodes:
        yield node
        yield from _walk(node.children)


def _link(nodes: Sequence[_Node], places: dict[int, int]) -> None:
    for i, node in enumerate(nodes):
        following = nodes[i + 1] if i + 1 < len(nodes) else None
        node.record.OffsetOfTheNextDirectoryRecord = places[id(following.record)] if following else 0
        first = node.children[0] if node.children else None
        node.record.OffsetOfReferencedLowerLevelDirectoryEntity = places[id(first.record)] if first else 0
        _link(node.children, places)
