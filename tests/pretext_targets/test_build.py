from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dicomgeom.catalogue import Catalogue, open_catalogue
from dicomgeom.errors import WrongUse
from dicomgeom.index import index
from dicomgeom.pixels import read_image
from dicomgeom.row_planes import plane_of
from pretext_targets.build import BuildPlan, build, plan_build
from pretext_targets.drawing import draw_boxes, draw_heatmaps, heatmap_codes
from pretext_targets.folder import WORKING
from pretext_targets.frames import encode
from pretext_targets.protocol import Protocol
from pretext_targets.reader import StoreReader
from pretext_targets.resample import resample
from pretext_targets.verify import verify_store
from tests.helpers.built_stores import content_of
from tests.pretext_targets.conftest import PATIENT_NAME, PATIENTS, SHARD, STUDY_DATE, write_heart


def test_an_image_comes_back_within_a_hundred_thousandth_of_its_range(built: Path, plan: BuildPlan) -> None:
    reader = StoreReader(built)
    for example in (0, 11, 23):
        row = plan.examples.row(example, named=True)
        labels = plan.slices[row["place"]]
        native = read_image(row["root"], row["path"], row["frame"])
        expected = resample(native, labels.plane, labels.grid)
        scale, offset = reader.column("image_scale")[example], reader.column("image_offset")[example]
        found = reader.read("image", [example])[0] * scale + offset
        assert np.abs(found - expected).max() < 1e-5 * np.ptp(expected)
        assert reader.column("image_mean")[example] == pytest.approx(expected.mean(), rel=1e-5)
        assert reader.column("image_std")[example] == pytest.approx(expected.std(), rel=1e-5)
        assert reader.column("image_min")[example] == expected.min()
        assert reader.column("image_max")[example] == expected.max()


def test_a_constant_image_can_be_coded() -> None:
    codes, scale, offset = encode(np.full((3, 4), -7.5, dtype=np.float32))
    np.testing.assert_array_equal(codes * scale + offset, np.full((3, 4), -7.5))


def test_stack_statistics_are_of_all_slices_and_phases(built: Path) -> None:
    reader = StoreReader(built)
    pixels = reader.read("image", np.arange(24)).astype(np.float64)
    pixels = (
        pixels * reader.column("image_scale")[:, None, None] + reader.column("image_offset")[:, None, None]
    )
    for first in (0, 12):
        stack = pixels[first : first + 12]
        for name, value in (
            ("mean", stack.mean()),
            ("std", stack.std()),
            ("min", stack.min()),
            ("max", stack.max()),
        ):
            np.testing.assert_allclose(reader.column(f"stack_{name}")[first : first + 12], value, rtol=1e-4)


def test_fewer_frames_have_the_same_stack_statistics(
    built: Path, catalogue: Catalogue, protocol: Protocol, tmp_path: Path
) -> None:
    build(plan_build(catalogue, protocol.with_changes(frames=2)), tmp_path / "two.zarr", shard=5)
    few, all_ = StoreReader(tmp_path / "two.zarr"), StoreReader(built)
    assert len(few) == 16
    for name in ("stack_mean", "stack_std", "stack_min", "stack_max"):
        np.testing.assert_allclose(few.column(name)[[0, 15]], all_.column(name)[[0, 23]], rtol=1e-6)


def test_rasters_drawn_again_equal_the_stored_ones(built: Path) -> None:
    torch = pytest.importorskip("torch")
    reader, every = StoreReader(built), np.arange(24)
    about = reader.attributes
    size = about.rows, about.columns
    centre, present, line = (reader.read(name, every) for name in ("box_centre", "box_present", "line"))
    mask = reader.read("box_mask", every)
    assert {0, 1, 2, 4, 6, 8} <= set(np.unique(mask).tolist())
    np.testing.assert_array_equal(draw_boxes(centre, present, about.box_side_px, *size), mask)
    by_torch = draw_boxes(torch.from_numpy(centre), torch.from_numpy(present), about.box_side_px, *size)
    np.testing.assert_array_equal(by_torch.numpy(), mask)
    heatmap = draw_heatmaps(torch.from_numpy(line), about.line_sigma_px, *size).numpy()
    stored = reader.read("line_heatmap", every).astype(int)
    assert np.abs(heatmap_codes(heatmap).astype(int) - stored).max() <= 1


def test_lines_of_a_store_pass_through_the_planes_crossing(built: Path, catalogue: Catalogue) -> None:
    reader = StoreReader(built)
    row = catalogue.images.filter(catalogue.images["series_description"] == "2CH").row(0, named=True)
    two_chamber = plane_of(row)
    key = reader.column("patient_key")
    mine = [i for i in range(24) if key[i].tobytes().hex() == row["patient_key"]]
    assert len(mine) == 12
    for example in mine:
        a, b, c = reader.column("line")[example, 0].astype(np.float64)
        x, y = -a * c + 9 * b, -b * c - 9 * a
        point = reader.column("patient_from_pixel")[example] @ [x, y, 0, 1]
        assert abs(two_chamber.distance_mm(point[:3])) < 1e-4


def test_without_rasters_the_parameters_are_the_same(plan: BuildPlan, built: Path, tmp_path: Path) -> None:
    build(plan, tmp_path / "bare.zarr", rasters=False, shard=SHARD)
    bare, full = StoreReader(tmp_path / "bare.zarr"), StoreReader(built)
    assert set(full.names) - set(bare.names) == {"box_mask", "line_heatmap"}
    for name in bare.names:
        np.testing.assert_array_equal(bare.read(name, np.arange(24)), full.read(name, np.arange(24)))
    assert verify_store(tmp_path / "bare.zarr") == []


def test_images_of_a_lone_shard_are_counted_as_they_are_resampled(plan: BuildPlan, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int | None]] = []
    build(plan, tmp_path / "s.zarr", progress=lambda what, *, done, total: seen.append((what, done, total)))
    assert seen == [
        ("writing shards", 0, 1),
        *(("resampling images", done, 24) for done in range(1, 25)),
        ("writing shards", 1, 1),
    ]


def test_the_summary_counts_everything(plan: BuildPlan, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int | None]] = []
    store = tmp_path / "store.zarr"
    summary = build(
        plan, store, shard=SHARD, progress=lambda what, *, done, total: seen.append((what, done, total))
    )
    assert seen == [("writing shards", done, 4) for done in range(5)]
    assert (summary.examples, summary.valid, summary.invalid) == (24, 24, 0)
    assert (summary.shards_written, summary.shards_kept) == (4, 0)
    assert sum(summary.splits.values()) == 24
    assert summary.boxes["centre"] == 24
    again = build(plan, store)
    assert (again.shards_written, again.shards_kept) == (0, 4)
    assert json.loads(json.dumps(again.as_json()))["examples"] == 24
    assert not (store / WORKING).exists()


@pytest.mark.slow
def test_two_workers_write_the_same_bytes_as_one(plan: BuildPlan, built: Path, tmp_path: Path) -> None:
    build(plan, tmp_path / "two.zarr", workers=2, shard=SHARD)
    assert content_of(tmp_path / "two.zarr") == content_of(built)


@pytest.mark.slow
def test_a_cluster_of_threads_writes_shards_of_nothing_but_fill_value_too(
    catalogue: Catalogue, protocol: Protocol, tmp_path: Path
) -> None:
    distributed = pytest.importorskip("distributed")
    catalogue = open_catalogue(catalogue.folder)
    catalogue.__dict__["lines"] = catalogue.lines.clear()
    plan = plan_build(catalogue, protocol)
    build(plan, tmp_path / "here.zarr", shard=5)
    with distributed.LocalCluster(
        n_workers=1,
        threads_per_worker=3,
        processes=False,
        protocol="tcp",
        dashboard_address="127.0.0.1:0",
        scheduler_kwargs={"dashboard": False},
    ) as cluster:
        build(plan, tmp_path / "there.zarr", shard=5, scheduler=cluster.scheduler_address)
    assert content_of(tmp_path / "there.zarr") == content_of(tmp_path / "here.zarr")
    reader = StoreReader(tmp_path / "there.zarr")
    assert np.isnan(reader.column("line")).all()
    assert not reader.read("line_heatmap", np.arange(24)).any()
    assert (tmp_path / "there.zarr" / "line_heatmap" / "c" / "4" / "0" / "0" / "0").is_file()
    assert verify_store(tmp_path / "there.zarr") == []


def test_another_protocol_is_refused_and_nothing_is_changed(
    catalogue: Catalogue, protocol: Protocol, built: Path
) -> None:
    before = content_of(built)
    other = plan_build(catalogue, protocol.with_changes(spacing_mm=5.0))
    said = r"\(protocol: spacing_mm 5.5 there, 5.0 asked for\); delete it, or give another output"
    with pytest.raises(WrongUse, match=said):
        build(other, built)
    assert content_of(built) == before


def test_another_catalogue_is_refused(export: Path, protocol: Protocol, built: Path, tmp_path: Path) -> None:
    index([export], tmp_path / "catalogue")
    other = plan_build(open_catalogue(tmp_path / "catalogue"), protocol)
    with pytest.raises(WrongUse, match=r"than now \(other catalogue\); delete it"):
        build(other, built)


def test_other_rasters_are_refused(plan: BuildPlan, built: Path) -> None:
    with pytest.raises(WrongUse, match="begun with rasters"):
        build(plan, built, rasters=False)


def test_another_compression_than_the_store_was_begun_with_is_refused(
    plan: BuildPlan, built: Path, tmp_path: Path
) -> None:
    with pytest.raises(WrongUse, match="begun with lz4 compression, asked for was zstd"):
        build(plan, built, compression="zstd")
    build(plan, tmp_path / "store.zarr", compression="zstd", shard=SHARD)
    assert build(plan, tmp_path / "store.zarr").shards_kept == 4


def test_a_folder_that_is_no_store_is_left_alone(plan: BuildPlan, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with pytest.raises(WrongUse, match="mine holds files and no store; give a new or an empty folder"):
        build(plan, tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]
    (tmp_path / "file").write_text("keep")
    with pytest.raises(WrongUse, match="file is a file, a store is a folder; give another output"):
        build(plan, tmp_path / "file")


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "foo://x", "nonsense"])
def test_a_scheduler_that_does_not_answer_says_so(address: str, plan: BuildPlan, tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="no dask scheduler answers at"):
        build(plan, tmp_path / "store.zarr", scheduler=address)


def test_no_workers_are_refused(plan: BuildPlan, tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="workers must be at least 1"):
        build(plan, tmp_path / "store.zarr", workers=0)


def test_images_that_cannot_be_read_are_rows_that_are_not_valid(protocol: Protocol, tmp_path: Path) -> None:
    write_heart(tmp_path / "export", patient="third", number=3)
    index([tmp_path / "export"], tmp_path / "catalogue")
    (tmp_path / "export" / "0" / "1-1.dcm").unlink()
    cut = tmp_path / "export" / "0" / "2-0.dcm"
    cut.write_bytes(cut.read_bytes()[:-600])
    plan = plan_build(open_catalogue(tmp_path / "catalogue"), protocol)
    summary = build(plan, tmp_path / "store.zarr")
    assert (summary.valid, summary.invalid) == (10, 2)
    assert sum(summary.invalid_reasons.values()) == 2
    reader = StoreReader(tmp_path / "store.zarr")
    bad = np.flatnonzero(~reader.column("valid"))
    assert bad.tolist() == [4, 6]
    assert not reader.read("image", bad).any()
    assert np.isnan(reader.column("image_mean")[bad]).all()
    assert np.isfinite(reader.column("location")[bad]).all()
    assert np.isfinite(reader.column("stack_mean")).all()
    assert verify_store(tmp_path / "store.zarr") == []


def test_nothing_private_is_in_a_store(built: Path, export: Path) -> None:
    secrets = [*PATIENTS, PATIENT_NAME, STUDY_DATE, str(export), "1.2.826.0.1.3680043", ".dcm"]
    for name, content in content_of(built).items():
        for secret in secrets:
            assert secret.encode() not in content, (name, secret)
