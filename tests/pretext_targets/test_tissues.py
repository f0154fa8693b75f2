from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pydicom
import pytest

from dicomgeom.catalogue import Catalogue, open_catalogue
from dicomgeom.errors import IntegrityError, NothingUsable, UnusableFile, WrongUse
from dicomgeom.index import index
from phantoms.export import PhantomSummary, write_exams
from phantoms.options import ExportOptions
from phantoms.tissues import RELAXATION, Tissue
from pretext_targets.build import BuildPlan, build, plan_build
from pretext_targets.labelled import index_segmentations
from pretext_targets.protocol import Protocol, load_protocol
from pretext_targets.reader import StoreReader
from pretext_targets.resample import resample_labels
from pretext_targets.tissue_table import FILE, read_tissue_table
from pretext_targets.tissues import TissueImage, TissueIndex, index_tissues
from pretext_targets.verify import verify_store
from tests.pretext_targets.test_verify import files_of, tampered

SMALL = ExportOptions(
    phases=2,
    spacing_mm=4.5,
    columns=64,
    rows=56,
    enhanced_share=0,
    compressed_share=0,
    dicomdir_share=0,
    late_enhancement_share=1,
    flow_share=0,
    repeat_share=0,
    nifti=False,
)


def table_of(*, version: int = 1, number: int = 0, t1_ms: float = 1.0) -> str:
    """A table of one tissue."""
    row = {"number": number, "name": "a", "density": 0, "t1_ms": t1_ms, "t2_ms": 1}
    return json.dumps({"format": "anatprep-tissues", "version": version, "tissues": [row]})


@pytest.fixture(scope="module")
def hearts(tmp_path_factory: pytest.TempPathFactory) -> PhantomSummary:
    """One exam of single images."""
    folder = tmp_path_factory.mktemp("hearts")
    return write_exams(folder / "export", exams=1, seed=6, options=SMALL)


@pytest.fixture(scope="module")
def own_catalogue(hearts: PhantomSummary) -> Catalogue:
    folder = hearts.folder.with_name("catalogue")
    index([hearts.folder], folder)
    return open_catalogue(folder)


@pytest.fixture(scope="module")
def grid() -> Protocol:
    return load_protocol("cardiac-sax").with_changes(rows=60, columns=70, spacing_mm=5.0)


@pytest.fixture(scope="module")
def known(hearts: PhantomSummary) -> TissueIndex:
    return index_tissues(hearts.truth)


@pytest.fixture(scope="module")
def own_plan(own_catalogue: Catalogue, grid: Protocol, known: TissueIndex) -> BuildPlan:
    return plan_build(own_catalogue, grid, tissues=known)


@pytest.fixture(scope="module")
def with_tissue(own_plan: BuildPlan, hearts: PhantomSummary) -> Path:
    store = hearts.folder.with_name("tissue.zarr")
    build(own_plan, store, shard=7, rasters=False)
    return store


def by_image(truth: Path) -> dict[tuple[str, int], np.ndarray]:
    """Tissue images of an export, read with pydicom alone: (image, frame from 0) -> numbers."""
    found = {}
    for path in (truth / "tissues").rglob("*.dcm"):
        seg = pydicom.dcmread(path)
        for group, pixels in zip(seg.PerFrameFunctionalGroupsSequence, seg.pixel_array, strict=True):
            source = group.DerivationImageSequence[0].SourceImageSequence[0]
            frame = int(source.get("ReferencedFrameNumber", 1)) - 1
            found[str(source.ReferencedSOPInstanceUID), frame] = pixels
    return found


def test_the_store_holds_the_phantoms_tissues_on_the_grid_of_each_image(
    own_plan: BuildPlan, with_tissue: Path, hearts: PhantomSummary
) -> None:
    reader = StoreReader(with_tissue)
    stored = reader.read("tissue", np.arange(len(reader)))
    truth = by_image(hearts.truth)
    for row in own_plan.examples.with_row_index().iter_rows(named=True):
        labels = own_plan.slices[row["place"]]
        native = truth[row["sop_instance_uid"], row["frame"]]
        np.testing.assert_array_equal(
            stored[row["index"]], resample_labels(native, labels.plane, labels.grid)
        )
    assert {Tissue.AIR, Tissue.LV_BLOOD, Tissue.LV_MYOCARDIUM} <= set(np.unique(stored))


def test_blood_is_brighter_than_muscle_where_the_store_says_they_are(with_tissue: Path) -> None:
    # Not by the same code that mapped them: the images must agree with the tissues pixel by pixel.
    reader = StoreReader(with_tissue)
    every = np.arange(len(reader))
    image, tissue = reader.read("image", every).astype(float), reader.read("tissue", every)
    apart = 0
    for pixels, codes in zip(image, tissue, strict=True):
        blood, muscle = pixels[codes == Tissue.LV_BLOOD], pixels[codes == Tissue.LV_MYOCARDIUM]
        apart += blood.size > 5 and muscle.size > 5 and np.median(blood) > 1.4 * np.median(muscle)
    assert apart > 0.5 * len(reader)


def test_the_attributes_say_what_the_codes_are(with_tissue: Path) -> None:
    tissues = StoreReader(with_tissue).attributes.tissues
    assert len(tissues) == len(Tissue)
    for tissue in Tissue:
        facts, relaxation = tissues[tissue], RELAXATION[tissue]
        assert facts.name == tissue.name.lower().replace("_", " ")
        assert (facts.density, facts.t1_ms, facts.t2_ms) == (
            relaxation.density, relaxation.t1_ms, relaxation.t2_ms
        )  # fmt: skip


def test_frames_of_enhanced_objects_get_their_own_tissues(tmp_path: Path, grid: Protocol) -> None:
    hearts = write_exams(
        tmp_path / "export",
        exams=1,
        seed=6,
        options=replace(SMALL, vendor="philips", enhanced_share=1),
    )
    index([hearts.folder], tmp_path / "catalogue")
    plan = plan_build(open_catalogue(tmp_path / "catalogue"), grid, tissues=index_tissues(hearts.truth))
    build(plan, tmp_path / "store.zarr", rasters=False)
    assert plan.examples["frame"].n_unique() > 2
    reader, truth = StoreReader(tmp_path / "store.zarr"), by_image(hearts.truth)
    for row in plan.examples.with_row_index().iter_rows(named=True):
        labels = plan.slices[row["place"]]
        expected = resample_labels(truth[row["sop_instance_uid"], row["frame"]], labels.plane, labels.grid)
        np.testing.assert_array_equal(reader.read("tissue", [row["index"]])[0], expected)


def test_images_of_unknown_tissue_hold_255(
    own_catalogue: Catalogue, grid: Protocol, hearts: PhantomSummary, tmp_path: Path
) -> None:
    truth = shutil.copytree(hearts.truth / "tissues", tmp_path / "tissues")
    series = pl.read_parquet(hearts.truth / "series.parquet").filter(
        (pl.col("view") == "SAX") & pl.col("cine")
    )
    frames = {row["tissue"]: row["phases"] * len(row["slices"]) for row in series.to_dicts()}
    dropped, *kept = sorted(frames)
    path = truth / Path(dropped).relative_to("tissues")
    if kept:
        path.unlink()
    else:  # the stack is one series: forget one of its frames
        seg = pydicom.dcmread(path)
        del (
            seg.PerFrameFunctionalGroupsSequence[0],
            seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence[0],
        )
        seg.PixelData = seg.PixelData[seg.Rows * seg.Columns :]
        seg.NumberOfFrames -= 1
        seg.save_as(path)
        frames[dropped] = 1
    plan = plan_build(own_catalogue, grid, tissues=index_tissues(truth))
    build(plan, tmp_path / "store.zarr", rasters=False)
    reader = StoreReader(tmp_path / "store.zarr")
    unknown = (reader.read("tissue", np.arange(len(reader))) == 255).all(axis=(1, 2))
    assert unknown.sum() == frames[dropped]
    assert reader.column("valid").all()
    assert verify_store(tmp_path / "store.zarr") == []


def test_a_store_with_tissues_is_sound_and_one_flipped_bit_is_found(
    with_tissue: Path, tmp_path: Path
) -> None:
    assert verify_store(with_tissue) == []
    store = Path(shutil.copytree(with_tissue, tmp_path / "copy.zarr"))
    (path,) = files_of(store, "tissue", 1)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    (problem,) = verify_store(store)
    assert problem.startswith("tissue/c/1")
    assert "has changed since it was written" in problem


def test_codes_without_a_name_are_found(with_tissue: Path, tmp_path: Path) -> None:
    store = Path(shutil.copytree(with_tissue, tmp_path / "copy.zarr"))
    tampered(store, "tissue", lambda old: np.where(old == Tissue.LV_BLOOD, 200, old))
    (problem,) = verify_store(store)
    assert "codes that `tissues` does not name" in problem


def test_other_tissues_are_another_plan(
    own_catalogue: Catalogue, grid: Protocol, own_plan: BuildPlan
) -> None:
    assert plan_build(own_catalogue, grid).sha256 != own_plan.sha256


def test_segmentations_in_the_same_truth_are_still_told_apart(hearts: PhantomSummary) -> None:
    assert index_segmentations(hearts.truth).segment_names == index_segmentations(
        hearts.truth / "segmentations"
    ).segment_names  # fmt: skip


def test_several_exports_are_known_together(hearts: PhantomSummary, tmp_path: Path) -> None:
    for name in "ab":
        shutil.copytree(hearts.truth / "tissues", tmp_path / name / "tissues")
    assert len(index_tissues(tmp_path)) == 2 * len(index_tissues(hearts.truth))
    table = json.loads((tmp_path / "b" / "tissues" / FILE).read_text())
    table["tissues"][3]["t1_ms"] = 1.0
    (tmp_path / "b" / "tissues" / FILE).write_text(json.dumps(table))
    with pytest.raises(WrongUse, match="number the tissues otherwise"):
        index_tissues(tmp_path)


def test_a_folder_without_tissues_says_so(tmp_path: Path, hearts: PhantomSummary) -> None:
    with pytest.raises(WrongUse, match="is no folder"):
        index_tissues(tmp_path / "nowhere")
    with pytest.raises(NothingUsable, match=f"holds no {FILE}"):
        index_tissues(hearts.truth / "segmentations")
    (tmp_path / FILE).write_bytes((hearts.truth / "tissues" / FILE).read_bytes())
    with pytest.raises(NothingUsable, match="holds no DICOM SEG object"):
        index_tissues(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        table_of(version=2),
        table_of(number=1),
        table_of(t1_ms=0),
        table_of().replace("name", "label"),
    ],
)
def test_a_broken_table_is_an_error_of_one_line(content: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(content)
    with pytest.raises(IntegrityError) as raised:
        read_tissue_table(tmp_path / FILE)
    assert "\n" not in str(raised.value)


def test_numbers_that_the_table_lacks_make_the_image_unusable(hearts: PhantomSummary) -> None:
    path = next((hearts.truth / "tissues").rglob("*.dcm"))
    uid = str(
        pydicom.dcmread(path)
        .ReferencedSeriesSequence[0]
        .ReferencedInstanceSequence[0]
        .ReferencedSOPInstanceUID
    )
    assert TissueImage(str(path), uid, 0, len(Tissue)).read().shape == (56, 64)
    with pytest.raises(UnusableFile, match="tissue-unknown"):
        TissueImage(str(path), uid, 0, 2).read()


def test_tissues_of_other_images_alone_say_so(
    own_catalogue: Catalogue, grid: Protocol, hearts: PhantomSummary, tmp_path: Path
) -> None:
    series = pl.read_parquet(hearts.truth / "series.parquet").filter(
        (pl.col("view") == "4CH") & pl.col("cine")
    )
    for name in ("tissues/" + FILE, series["tissue"][0]):
        (tmp_path / Path(name).name).write_bytes((hearts.truth / name).read_bytes())
    with pytest.raises(NothingUsable, match="images of known tissue belongs to an example of cardiac-sax"):
        plan_build(own_catalogue, grid, tissues=index_tissues(tmp_path))
