"""A report's images are rationed: sources share them by weight, and nothing takes more than there is."""

from __future__ import annotations

from reporting.pictures import LONGEST_SIDE
from reporting.ration import MOST_IMAGES, Ration, share


def test_a_ration_gives_all_or_nothing() -> None:
    ration = Ration(5)
    assert ration.take(3)
    assert not ration.take(3)
    assert ration.take(2)
    assert not ration.take(1)
    assert ration.take(0)


def test_shares_go_by_weight_and_what_is_left_over_goes_to_the_next() -> None:
    first = share(360, 4, 4 + 2 + 1)
    assert first.images == 205
    assert first.take(5)
    second = share(360 - 5, 2, 2 + 1)
    assert second.images == 236
    assert share(100, 1, 1).images == 100


def test_all_images_of_a_report_stay_below_fifty_megabytes() -> None:
    assert MOST_IMAGES * LONGEST_SIDE**2 * 4 / 3 < 50e6
