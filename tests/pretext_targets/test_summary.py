"""What a build says of its annotations."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from dicomgeom.catalogue import Catalogue
from pretext_targets.build import build, plan_build
from pretext_targets.labelled import index_segmentations
from pretext_targets.protocol import Protocol
from tests.pretext_targets.test_labelled import drawn, write_seg


def test_a_structure_that_an_object_names_and_never_draws_is_told(
    catalogue: Catalogue, export: Path, protocol: Protocol, tmp_path: Path
) -> None:
    write_seg(
        tmp_path / "seg" / "a.dcm",
        [export / "PID-4711" / "0" / "0-0.dcm"],
        np.where(drawn(0) == 2, 0, drawn(0)).astype(np.uint8)[None],
        "BINARY",
    )
    plan = plan_build(catalogue, protocol, segmentations=index_segmentations(tmp_path / "seg"))
    summary = build(plan, tmp_path / "store")
    assert summary.segments_missing == ["LV cavity"]
    assert (summary.annotated, summary.anything_annotated, summary.some_skipped) == (1, True, False)


def test_shards_of_an_earlier_version_tell_what_is_annotated_and_not_of_what(
    catalogue: Catalogue, export: Path, protocol: Protocol, tmp_path: Path
) -> None:
    image = export / "PID-4711" / "0" / "0-0.dcm"
    write_seg(tmp_path / "seg" / "a.dcm", [image], drawn(0)[None], "BINARY")
    plan = plan_build(catalogue, protocol, segmentations=index_segmentations(tmp_path / "seg"))
    new = build(plan, tmp_path / "store")
    assert sum(new.segments.values()) == len(new.segments)
    for path in (tmp_path / "store" / "manifest").glob("0*.json"):
        row = json.loads(path.read_text())
        path.write_text(json.dumps({key: row[key] for key in row.keys() - {"annotated", "segments"}}))
    old = build(plan, tmp_path / "store")
    assert (old.shards_written, old.annotated, old.segments) == (0, 1, {})
    assert (old.anything_annotated, old.segments_missing) == (True, [])
