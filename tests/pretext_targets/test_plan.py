from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from dicomgeom.catalogue import Catalogue
from dicomgeom.errors import NothingUsable
from pretext_targets.build import build
from pretext_targets.plan import BuildPlan, plan_build
from pretext_targets.protocol import Protocol, load_protocol


class Changed(Catalogue):
    """A catalogue whose tables can be replaced."""

    def __init__(self, original: Catalogue, **tables: pl.DataFrame) -> None:
        super().__init__(original.folder, original.salt)
        for name in ("files", "images", "stacks", "lines"):
            self.__dict__[name] = tables.get(name, getattr(original, name))


def test_examples_come_in_order_of_patient_stack_slice_and_phase(plan: BuildPlan) -> None:
    assert len(plan.examples) == 2 * 4 * 3
    patients = [plan.slices[place].patient_key for place in plan.examples["place"]]
    assert patients == sorted(patients)
    first = plan.examples[:12]
    assert first["slice_index"].to_list() == sorted([0, 1, 2, 3] * 3)
    assert first["phase_index"].to_list() == [0, 1, 2] * 4
    assert plan.left_out.is_empty()
    assert plan.without_boxes.is_empty()


def test_every_choice_of_a_partner_is_recorded(plan: BuildPlan, catalogue: Catalogue) -> None:
    assert len(plan.choices) == 4
    view = dict(catalogue.stacks.select("stack_id", "view").iter_rows())
    for row in plan.choices.iter_rows(named=True):
        assert view[row["partner_stack_id"]] == row["partner_view"]


def test_the_order_of_the_tables_does_not_matter(
    plan: BuildPlan, catalogue: Catalogue, protocol: Protocol
) -> None:
    tables = {
        name: getattr(catalogue, name).sample(fraction=1, shuffle=True, seed=5)
        for name in ("files", "images", "stacks", "lines")
    }
    shuffled = plan_build(Changed(catalogue, **tables), protocol)
    assert shuffled.sha256 == plan.sha256
    assert shuffled.examples.equals(plan.examples)


@pytest.mark.parametrize("change", ["position", "size", "frame", "phase", "split", "partner", "apex"])
def test_any_change_of_what_labels_follow_from_changes_the_hash(
    plan: BuildPlan, catalogue: Catalogue, protocol: Protocol, change: str
) -> None:
    images, files, stacks = catalogue.images, catalogue.files, catalogue.stacks
    if change == "position":
        images = images.with_columns(row_spacing_mm=pl.col("row_spacing_mm") * (1 + 1e-9))
    if change == "size":
        files = files.with_columns(size_bytes=pl.col("size_bytes") + 1)
    if change == "frame":
        images = images.with_columns(frame=pl.col("frame") + 1)
    if change == "phase":
        images = images.with_columns(phase_index=2 - pl.col("phase_index"))
    if change == "split":
        images = images.with_columns(split_position=pl.lit(0.75))
    if change == "partner":
        stacks = stacks.with_columns(view=pl.col("view").replace("2CH", "3CH"))
    if change == "apex":
        stacks = stacks.with_columns(apex_known=pl.lit(value=False))
    changed = plan_build(Changed(catalogue, images=images, files=files, stacks=stacks), protocol)
    assert changed.sha256 != plan.sha256


def test_the_scanned_root_is_not_in_the_hash(
    plan: BuildPlan, catalogue: Catalogue, protocol: Protocol
) -> None:
    elsewhere = {
        name: getattr(catalogue, name).with_columns(root=pl.lit("/elsewhere")) for name in ("files", "images")
    }
    assert plan_build(Changed(catalogue, **elsewhere), protocol).sha256 == plan.sha256


def test_a_frame_of_unknown_phase_is_an_example_with_unknown_phase(
    catalogue: Catalogue, protocol: Protocol
) -> None:
    images = catalogue.images.with_columns(phase_index=pl.lit(None, dtype=pl.Int32))
    plan = plan_build(Changed(catalogue, images=images), protocol)
    assert len(plan.examples) == 24
    assert plan.examples["phase_index"].null_count() == 24


def test_skipped_phases_are_kept_for_the_statistics(catalogue: Catalogue, protocol: Protocol) -> None:
    plan = plan_build(catalogue, protocol.with_changes(frames=2))
    assert (len(plan.examples), len(plan.skipped_phases)) == (16, 8)
    assert set(plan.skipped_phases["phase_index"]) == {2}


def test_images_that_are_not_original_are_left_out_with_that_reason(
    catalogue: Catalogue, protocol: Protocol
) -> None:
    images = catalogue.images.with_columns(role=pl.lit("derived"))
    plan = plan_build(Changed(catalogue, images=images), protocol)
    assert plan.examples.is_empty()
    assert plan.left_out_counts == {"not-original": 24}


def test_slices_about_which_geometry_says_nothing_are_left_out(
    catalogue: Catalogue, protocol: Protocol
) -> None:
    four = load_protocol("cardiac-4ch")
    plan = plan_build(Changed(catalogue, lines=catalogue.lines.clear()), four)
    assert plan.left_out_counts == {"no-label": 6}
    assert len(plan_build(Changed(catalogue, lines=catalogue.lines.clear()), protocol).examples) == 24


def test_stacks_out_of_order_are_left_out_with_that_reason(catalogue: Catalogue, protocol: Protocol) -> None:
    stacks = catalogue.stacks.with_columns(normal=pl.col("normal").arr.eval(-pl.element()))
    plan = plan_build(Changed(catalogue, stacks=stacks), protocol)
    assert plan.left_out_counts == {"geometry": 24}


@pytest.mark.parametrize(
    ("position", "split"), [(0.0, 0), (0.699, 0), (0.7, 1), (0.799, 1), (0.8, 2), (0.999, 2)]
)
def test_patients_are_split_by_their_position(
    catalogue: Catalogue, protocol: Protocol, position: float, split: int
) -> None:
    images = catalogue.images.with_columns(split_position=pl.lit(position))
    assert set(plan_build(Changed(catalogue, images=images), protocol).examples["split"]) == {split}


def test_a_plan_without_examples_says_what_there_was(
    catalogue: Catalogue, protocol: Protocol, tmp_path: Path
) -> None:
    nothing = plan_build(catalogue, protocol.with_changes(carrier="RVOT"))
    with pytest.raises(NothingUsable, match="no stack of view RVOT"):
        build(nothing, tmp_path / "store.zarr")
    left_out = plan_build(catalogue, protocol.with_changes(kinds=["static"]))
    with pytest.raises(NothingUsable, match="24 kind-not-admitted"):
        build(left_out, tmp_path / "store.zarr")
    assert not (tmp_path / "store.zarr").exists()
    assert left_out.left_out_counts == {"kind-not-admitted": 24}
