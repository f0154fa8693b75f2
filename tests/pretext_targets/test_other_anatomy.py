"""Other parts of the body need a TOML file and no code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dicomgeom.catalogue import Catalogue, open_catalogue
from dicomgeom.index import index
from dicomgeom.plane import ImagePlane
from pretext_targets.build import build, plan_build
from pretext_targets.protocol import Protocol, load_protocol
from pretext_targets.reader import StoreReader
from pretext_targets.verify import verify_store
from tests.helpers.dicom_files import uid, write_mr
from tests.pretext_targets.conftest import plane

SPACING_MM = 7.0
SIZE = {"columns": 36, "rows": 32, "column_spacing_mm": 5.0, "row_spacing_mm": 6.0}


def slices(right: tuple[float, float, float], down: tuple[float, float, float]) -> list[ImagePlane]:
    """Five parallel planes round one point, along the direction in which their view counts."""
    middle = plane((5, -12, 40), right, down, **SIZE, frame=uid(21))
    way = middle.normal * np.sign(middle.normal[np.abs(middle.normal).argmax()])
    return [middle.moved(np.eye(3), SPACING_MM * (number - 2) * way) for number in range(5)]


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    """A head that was scanned along its own axes, some degrees off the scanner's."""
    folder = tmp_path_factory.mktemp("head")
    views = {
        "ax t2": ((1, 0.05, 0.02), (-0.05, 1, 0.2)),
        "sag t1": ((0, 1, 0.2), (0.02, 0.2, -1)),
        "cor flair": ((1, 0.05, 0), (0, 0.2, -1)),
    }
    rng = np.random.default_rng(4)
    for series, (name, (right, down)) in enumerate(views.items()):
        for number, image in enumerate(slices(right, down)):
            pixels = rng.integers(0, 900, (image.rows, image.columns)).astype(np.uint16)
            write_mr(
                folder / "export" / name / f"{number}.dcm",
                image,
                SeriesDescription=name,
                StudyInstanceUID=uid(22),
                SeriesInstanceUID=uid(23, series),
                SeriesNumber=series + 1,
                InstanceNumber=number + 1,
                BodyPartExamined="BRAIN",
                EchoTime=str(10 + series),
                PixelData=pixels.tobytes(),
            )
    index([folder / "export"], folder / "catalogue")
    return open_catalogue(folder / "catalogue")


def small(name: str) -> Protocol:
    return load_protocol(name).with_changes(rows=40, columns=44, spacing_mm=4.5)


def test_an_axial_brain_gets_all_labels_from_its_protocol(head: Catalogue, tmp_path: Path) -> None:
    store = tmp_path / "brain.zarr"
    summary = build(plan_build(head, small("brain-ax")), store)
    assert (summary.examples, summary.valid) == (5, 5)
    assert summary.boxes["centre"] == 5
    assert verify_store(store) == []
    reader = StoreReader(store)
    np.testing.assert_allclose(reader.column("location"), np.arange(5) / 4, atol=1e-6)
    places = reader.column("patient_from_pixel")
    names = reader.attributes.box_names
    for example in range(5):
        centres = np.concatenate([reader.column("box_centre")[example], np.tile([0.0, 1.0], (9, 1))], axis=1)
        mm = dict(zip(names, (places[example] @ centres.T).T[:, :3], strict=True))
        assert mm["near left"][0] > mm["centre"][0] > mm["near right"][0]
        assert mm["near anterior"][1] < mm["centre"][1] < mm["near posterior"][1]


def test_one_partner_gives_a_line_and_no_boxes(head: Catalogue, tmp_path: Path) -> None:
    store = tmp_path / "spine.zarr"
    summary = build(plan_build(head, small("spine-sag")), store)
    assert (summary.examples, summary.boxes, summary.without_boxes) == (5, {}, {})
    assert verify_store(store) == []
    reader = StoreReader(store)
    assert np.isfinite(reader.column("line")).all()
    assert not reader.column("box_present").any()
    assert not reader.read("box_mask", np.arange(5)).any()


def test_a_shoulders_coronal_stack_can_be_cropped_where_the_planes_meet(head: Catalogue) -> None:
    plan = plan_build(head, small("shoulder-cor").with_changes(centre="crossing"))
    assert len(plan.examples) == 5
    for one in plan.slices:
        assert one.centred == "crossing"
        crossing = one.plane.to_patient(one.plane.to_pixel(np.array([5.0, -12.0, 40.0])))
        np.testing.assert_allclose(one.grid.centre_mm, crossing, atol=0.5)
