"""What the section of a run draws."""

from __future__ import annotations

from reporting.run_section import training_curves, validation_curves
from training.tasks.segmentation import DICE_LOSS, part_name


def test_losses_and_overlaps_of_validation_are_drawn_apart_at_all_levels_of_the_decoder() -> None:
    falling = {f"segmentation/{part_name(DICE_LOSS, level)}": 0.25 for level in range(3)}
    growing = {"segmentation/dice mean": 0.75, "segmentation/dice LV cavity": 0.75}
    logged = [{"step": step, "validation": {**falling, **growing}} for step in (10, 20)]
    losses, overlaps = validation_curves(logged)
    assert losses == {key: [(10, 0.25), (20, 0.25)] for key in falling}
    assert overlaps == {key: [(10, 0.75), (20, 0.75)] for key in growing}


def test_a_lone_part_of_a_loss_is_the_total_and_drawn_once() -> None:
    one = [{"step": 10, "loss": 2.0, "parts": {"a": 2.0}}]
    two = [{"step": 10, "loss": 3.0, "parts": {"a": 2.0, "b": 1.0}}]
    assert training_curves(one) == {"total": [(10, 2.0)]}
    assert training_curves(two) == {"total": [(10, 3.0)], "a": [(10, 2.0)], "b": [(10, 1.0)]}
