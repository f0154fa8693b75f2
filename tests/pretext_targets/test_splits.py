"""A patient is in one split: the data set's own, or that of the hash."""

from __future__ import annotations

import polars as pl
import pytest

from dicomgeom.data_manifest import load_data_manifest
from dicomgeom.errors import WrongUse
from pretext_targets.splits import split_codes

IMAGES = pl.DataFrame(
    {
        "patient_key": ["a", "b", "c", "d"],
        "path": ["train/1/x.dcm", "validate/2/x.dcm", "test/3/x.dcm", "elsewhere/4/x.dcm"],
        "split_position": [0.1, 0.1, 0.1, 0.75],
    }
)


def test_without_a_manifest_the_hash_decides() -> None:
    positions = IMAGES.with_columns(split_position=pl.Series([0.0, 0.69, 0.7, 0.8]))
    assert split_codes(positions, None).to_list() == [0, 0, 1, 2]


def test_a_data_sets_own_split_comes_first() -> None:
    assert split_codes(IMAGES, load_data_manifest("data-science-bowl-2015")).to_list() == [0, 1, 2, 1]
    # A set without a split of its own leaves it to the hash.
    assert split_codes(IMAGES, load_data_manifest("uk-biobank")).to_list() == [0, 0, 0, 1]


def test_a_patient_in_two_splits_is_refused() -> None:
    same = IMAGES.with_columns(patient_key=pl.lit("a"))
    with pytest.raises(WrongUse, match="puts patient a into validation and train"):
        split_codes(same, load_data_manifest("data-science-bowl-2015"))
