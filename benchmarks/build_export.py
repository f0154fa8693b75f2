"""What the benchmarks of `build` build: a real exam as so many patients, and the plan of its store."""

from __future__ import annotations

import sys
from pathlib import Path

from dicomgeom.catalogue import Catalogue, open_catalogue
from pretext_targets.build import BuildPlan, plan_build
from pretext_targets.protocol import load_protocol

SIDE, SPACING_MM = 224, 1.26


def say(line: object) -> None:
    """One line of the report."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def copy_patients(export: Path, copies: int, target: Path) -> None:
    """Write an exam as so many patients."""
    import pydicom
    from pydicom.uid import generate_uid

    for path in sorted(path for path in export.rglob("*.dcm") if path.is_file()):
        dataset = pydicom.dcmread(path)
        names = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")
        original = {name: str(dataset[name].value) for name in names}
        for number in range(1, copies + 1):
            for name, uid in original.items():
                setattr(dataset, name, generate_uid(entropy_srcs=[uid, str(number)]))
            dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
            dataset.PatientID = f"copy-{number}"
            place = target / f"{number:03d}" / path.relative_to(export)
            place.parent.mkdir(parents=True, exist_ok=True)
            dataset.save_as(place)


def catalogue_of(export: Path, copies: int, work: Path) -> Catalogue:
    """Copy, index and open; what is there already is kept."""
    from dicomgeom.index import index

    if not (work / "export").is_dir():
        copy_patients(export, copies, work / "export")
    index([work / "export"], work / "catalogue")
    return open_catalogue(work / "catalogue")


def planned(catalogue: Catalogue) -> BuildPlan:
    """The plan of the store that is built everywhere here."""
    protocol = load_protocol("cardiac-sax").with_changes(rows=SIDE, columns=SIDE, spacing_mm=SPACING_MM)
    return plan_build(catalogue, protocol)
