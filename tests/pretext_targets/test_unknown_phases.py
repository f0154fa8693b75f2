"""Images of unknown place in time are told apart, in stores and in what goes back to the exam."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pydicom

from dicomgeom.catalogue import open_catalogue
from dicomgeom.index import index
from pretext_targets.build import build, plan_build
from pretext_targets.labelled import index_segmentations, read_labels
from pretext_targets.predicted_seg import Writer, write_segs
from pretext_targets.protocol import load_protocol
from pretext_targets.reader import StoreReader
from pretext_targets.unknown_phases import name_of, numbered
from tests.pretext_targets.conftest import write_heart
from training.predict import _assembled

TIMES = (
    "TriggerTime",
    "InstanceNumber",
    "ContentTime",
    "AcquisitionTime",
    "AcquisitionNumber",
    "TemporalPositionIdentifier",
)


def test_unknown_phases_are_numbered_slice_by_slice_in_the_order_of_paths() -> None:
    rows = [
        ("slice 0", None, "b", 0, -999_999),
        ("slice 0", 3, "z", 0, 3),
        ("slice 0", None, "a", 0, -1_000_000),
        ("slice 1", None, "a", 1, -999_999),
        ("slice 1", None, "a", 0, -1_000_000),
        ("slice 2", None, "q", 0, -1),
    ]
    columns = ("place", "phase_index", "path", "frame", "expected")
    images = pl.DataFrame(rows, schema=columns, orient="row").with_columns(root=pl.lit("r"))
    found = numbered(images.cast({"phase_index": pl.Int32}), ["place"])
    assert found["phase_index"].to_list() == images["expected"].to_list()
    assert [name_of(phase) for phase in (4, -1, -1_000_000, -999_996)] == ["004", "u000", "u000", "u004"]


def test_predictions_of_a_cine_without_an_order_reach_every_image(tmp_path: Path) -> None:
    write_heart(tmp_path / "exam" / "P1", patient="P1", number=1)
    for path in (tmp_path / "exam").rglob("*.dcm"):
        header = pydicom.dcmread(path)
        for name in TIMES:
            if name in header:
                delattr(header, name)
        header.save_as(path)
    index([tmp_path / "exam"], tmp_path / "catalogue")
    catalogue = open_catalogue(tmp_path / "catalogue")
    assert catalogue.images["phase_index"].null_count()
    protocol = load_protocol("cardiac-sax").with_changes(rows=36, columns=40, spacing_mm=5.5)
    build(plan_build(catalogue, protocol), tmp_path / "store")
    reader = StoreReader(tmp_path / "store")
    rows = np.arange(len(reader), dtype=np.int64)
    # Every image is filled with a class of its own, so that none can stand for another.
    classes = np.broadcast_to((rows + 1)[:, None, None], (len(rows), 36, 40)).astype(np.uint8)
    names = ("background", *(f"image {row}" for row in rows))
    stack = _assembled(reader, rows, classes, names)
    assert stack.known.all()
    assert stack.known.size == len(reader)
    (tmp_path / "segs").mkdir()
    paths = write_segs(tmp_path / "segs", catalogue, [stack], Writer("anatprep", "1.0", "0"))
    assert sorted(path.stem[-4:] for path in paths) == ["u000", "u001", "u002"]
    found, expected, said = index_segmentations(tmp_path / "segs"), [], []
    ordered = catalogue.images.filter(pl.col("stack_id").is_not_null()).sort("slice_index", "path")
    for row in ordered.iter_rows(named=True):
        if (number := found.find(row)) is not None:
            drawn = read_labels(str(found.files[number]), row["sop_instance_uid"], row["frame"], names)
            said.append(int(drawn.max()))
            expected.append(len(expected) + 1)
    assert said == expected
    assert len(said) == len(reader)
