"""Every annotation that no example has is counted, with the reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest

from dicomgeom.catalogue import Catalogue, open_catalogue
from dicomgeom.errors import NothingUsable
from dicomgeom.index import index
from pretext_targets.annotations import ASKED_FOR, UNUSED_REASONS
from pretext_targets.build import build, plan_build
from pretext_targets.labelled import index_segmentations
from pretext_targets.protocol import Protocol
from tests.helpers.dicom_files import uid
from tests.pretext_targets.test_labelled import write_seg

ROOT = Path(__file__).resolve().parents[2]


def annotate(folder: Path, images: list[Path]) -> Path:
    """A SEG object for each image."""
    for number, image in enumerate(images):
        mask = np.zeros((1, 40, 48), np.uint8)
        mask[:, 10:20, 10:20] = 1
        write_seg(folder / f"{number}.dcm", [image], mask, "BINARY", ("LV",), number)
    return folder


def test_other_views_and_frames_that_were_not_chosen_are_told_and_nothing_was_skipped(
    catalogue: Catalogue, export: Path, protocol: Protocol, tmp_path: Path
) -> None:
    heart = export / "PID-4711"
    images = [heart / "0" / f"{place}-{phase}.dcm" for place in range(2) for phase in range(3)]
    found = index_segmentations(annotate(tmp_path / "seg", [*images, heart / "1" / "0-0.dcm"]))
    whole = plan_build(catalogue, protocol, segmentations=found)
    assert whole.annotations_unused == {"other-view": 1}
    first = plan_build(catalogue, protocol.with_changes(frames=1), segmentations=found)
    summary = build(first, tmp_path / "store")
    assert summary.as_json()["annotations_unused"] == {"frames-not-chosen": 4, "other-view": 1}
    assert not summary.some_skipped


def test_images_out_of_the_catalogue_or_left_out_of_the_build_were_skipped(
    export: Path, protocol: Protocol, tmp_path: Path
) -> None:
    for patient in ("PID-4711", "PID-4712"):
        (tmp_path / "export" / patient).mkdir(parents=True)
        (tmp_path / "export" / patient / "0").symlink_to(export / patient / "0")
    derived = pydicom.dcmread(export / "PID-4711" / "0" / "0-0.dcm")
    derived.ImageType = ["DERIVED", "SECONDARY", "MPR"]
    derived.SOPInstanceUID = derived.file_meta.MediaStorageSOPInstanceUID = uid(99)
    (tmp_path / "export" / "derived").mkdir()
    derived.save_as(tmp_path / "export" / "derived" / "0.dcm")
    index([tmp_path / "export" / "PID-4711", tmp_path / "export" / "derived"], tmp_path / "catalogue")
    images = [tmp_path / "export" / one for one in ("PID-4711/0/1-1.dcm", "PID-4712/0/2-0.dcm")]
    annotate(tmp_path / "seg", [*images, tmp_path / "export" / "derived" / "0.dcm"])
    found = index_segmentations(tmp_path / "seg")
    sax = protocol.with_changes(spacing_mm=5.0)
    plan = plan_build(open_catalogue(tmp_path / "catalogue"), sax, segmentations=found)
    assert plan.annotations_unused == {"image-left-out": 1, "not-in-catalogue": 1}
    assert build(plan, tmp_path / "store").some_skipped


def test_where_no_annotation_is_used_the_error_names_the_reasons(
    catalogue: Catalogue, export: Path, protocol: Protocol, tmp_path: Path
) -> None:
    found = index_segmentations(annotate(tmp_path, [export / "PID-4711" / "0" / "0-2.dcm"]))
    with pytest.raises(NothingUsable, match=r"none of the 1 annotated images .*\(1 frames-not-chosen\)"):
        plan_build(catalogue, protocol.with_changes(frames=1), segmentations=found)


def test_every_reason_is_in_the_reference_and_says_whether_it_counts_as_skipped() -> None:
    told = (ROOT / "docs" / "reference.md").read_text("utf-8")
    for reason, meaning in UNUSED_REASONS.items():
        code = "0" if reason in ASKED_FOR else "3"
        assert f"| `{reason}` | {meaning} | {code} |" in told
