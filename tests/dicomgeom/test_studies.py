"""Which studies are one examination."""

from __future__ import annotations

from datetime import datetime

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from dicomgeom.studies import examinations

DAYS = (None, datetime(2024, 7, 4, 10), datetime(2024, 7, 4, 18), datetime(2024, 7, 5, 1))


def table(*rows: tuple[str, str, str, int]) -> pl.DataFrame:
    """Rows of patient, study, frame of reference and which of DAYS."""
    return pl.DataFrame(
        [(patient, study, frame, DAYS[day]) for patient, study, frame, day in rows],
        schema={
            "patient_key": pl.String,
            "study_instance_uid": pl.String,
            "frame_of_reference": pl.String,
            "acquired_at": pl.Datetime("us"),
        },
        orient="row",
    )


def test_studies_linked_through_a_third_are_one() -> None:
    rows = table(
        ("p", "3", "F", 1), ("p", "2", "F", 2), ("p", "2", "G", 1), ("p", "1", "G", 1), ("p", "9", "H", 1)
    )
    assert examinations(rows).to_list() == ["1", "1", "1", "1", "9"]


def test_an_unknown_day_an_unstated_frame_and_another_patient_link_nothing() -> None:
    rows = table(
        ("p", "1", "F", 0), ("p", "2", "F", 0), ("p", "3", "", 1), ("p", "4", "", 1), ("q", "5", "F", 1),
        ("p", "6", "F", 1), ("p", "7", "F", 3),
    )  # fmt: skip
    assert examinations(rows).to_list() == list("1234567")


@given(
    st.lists(
        st.tuples(
            st.sampled_from("pq"),
            st.sampled_from("12345"),
            st.sampled_from(["", "F", "G"]),
            st.integers(0, 3),
        ),
        max_size=12,
    )
)
def test_rows_of_one_study_always_stay_together_and_none_is_lost(
    rows: list[tuple[str, str, str, int]],
) -> None:
    whole = table(*rows).with_columns(examinations(table(*rows)).alias("examination"))
    assert len(whole) == len(rows)
    placed = whole.group_by("patient_key", "study_instance_uid").agg(pl.col("examination").n_unique())
    assert (placed["examination"] == 1).all()
    # The key is a study of the same patient, the first of those that belong together.
    own = set(whole.select("patient_key", "study_instance_uid").rows())
    assert all(row in own for row in whole.select("patient_key", "examination").rows())
    assert (whole["examination"] <= whole["study_instance_uid"]).all()
