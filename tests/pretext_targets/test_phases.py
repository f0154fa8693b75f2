"""Which phases of a slice become examples."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import polars as pl
import pytest

from dicomgeom.catalogue import Catalogue, open_catalogue, schema_of
from dicomgeom.index import index
from dicomgeom.phase_table import PHASES, TABLE
from dicomgeom.phases import EdEs
from pretext_targets.phases import evenly_spread
from pretext_targets.plan import plan_build
from pretext_targets.protocol import Protocol


@pytest.fixture
def own(export: Path, tmp_path: Path) -> Catalogue:
    """A catalogue that a test may change."""
    index([export], tmp_path / "catalogue")
    return open_catalogue(tmp_path / "catalogue")


def propose(catalogue: Catalogue, told: EdEs) -> None:
    """Give every stack the same proposal."""
    rows = [{"stack_id": stack_id} | asdict(told) for stack_id in catalogue.stacks["stack_id"]]
    pl.DataFrame(rows, schema=schema_of(PHASES)).write_parquet(catalogue.folder / TABLE)


def test_evenly_spread_frames_begin_with_the_first() -> None:
    assert evenly_spread(25, 5) == [0, 5, 10, 15, 20]
    assert evenly_spread(3, 2) == [0, 1]
    assert evenly_spread(3, 7) == [0, 1, 2]
    assert evenly_spread(30, 1) == [0]


@pytest.mark.parametrize(("frames", "phases"), [("ED", {0}), ("ED+ES", {0, 2}), ("all", {0, 1, 2})])
def test_the_phases_that_the_catalogue_proposes_become_examples(
    frames: str, phases: set[int], own: Catalogue, protocol: Protocol
) -> None:
    propose(own, EdEs(0, 2, 0.9, "made up"))
    plan = plan_build(own, protocol.with_changes(frames=frames))
    assert set(plan.examples["phase_index"]) == phases
    assert len(plan.examples) + len(plan.skipped_phases) == 24
    assert plan.phases_untold == ()


def test_where_nothing_is_proposed_all_phases_become_examples_and_the_plan_says_so(
    own: Catalogue, protocol: Protocol
) -> None:
    propose(own, EdEs(None, None, 0.0, "nothing moves"))
    plan = plan_build(own, protocol.with_changes(frames="ED+ES"))
    assert len(plan.examples) == 24
    short = own.stacks.filter(pl.col("view") == "SAX")["stack_id"]
    assert sorted(plan.phases_untold) == sorted(short)


def test_without_a_table_the_proposals_are_made_when_the_build_is_planned(
    own: Catalogue, protocol: Protocol
) -> None:
    plan = plan_build(own, protocol.with_changes(frames="ED"))
    assert len(plan.phases_untold) == 2  # three phases show no beat
    assert len(plan.examples) == 24
