from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import logsumexp, softmax

from dicomgeom.errors import NothingUsable, WrongUse
from training.backbones import BasicUNetBackbone
from training.tasks.app import AnatomicalPosition
from training.tasks.location import Location
from training.tasks.mtl import OrientationAndLocation
from training.tasks.orientation import Orientation
from training.tasks.segmentation import Segmentation, soft_dice_loss
from training.tasks.task import (
    Batch,
    StoreFacts,
    SumAndCount,
    masked_cross_entropy,
    masked_squared_error,
)

SIDE = 48


@pytest.fixture
def backbone() -> BasicUNetBackbone:
    torch.manual_seed(0)
    return BasicUNetBackbone(4).eval()


def batch_of(**labels: torch.Tensor) -> Batch:
    count = 3
    generator = torch.Generator().manual_seed(1)
    image = torch.randn(count, 1, SIDE, SIDE, generator=generator)
    number = torch.arange(count)
    return Batch(image, labels, torch.eye(3).expand(count, 3, 3), number, number, number)


def lines() -> dict[str, torch.Tensor]:
    line = torch.tensor([[1.0, 0.0, -20.0], [0.6, 0.8, -30.0]]).repeat(3, 1, 1)
    line[1, 0] = torch.nan
    return {"line": line, "line_sigma_px": torch.tensor([3.0, 3.0, 4.0])}


def test_squared_errors_equal_a_computation_in_float64() -> None:
    rng = np.random.default_rng(0)
    said, true = rng.normal(size=(4, 2, 5, 5)), rng.normal(size=(4, 2, 5, 5))
    true[1, 0] = np.nan
    found = masked_squared_error(torch.from_numpy(said).float(), torch.from_numpy(true).float())
    assert float(found.sum) == pytest.approx(np.nansum((said - true) ** 2), rel=1e-5)
    assert float(found.count) == 4 * 2 * 25 - 25
    assert float(found.mean()) == pytest.approx(np.nanmean((said - true) ** 2), rel=1e-5)


def test_cross_entropy_equals_a_computation_in_float64() -> None:
    rng = np.random.default_rng(0)
    logits, classes = rng.normal(size=(2, 4, 6, 6)) * 3, rng.integers(0, 4, (2, 6, 6))
    classes[0, :2] = 255
    known = classes != 255
    chosen = np.take_along_axis(logits, np.where(known, classes, 0)[:, None], axis=1)[:, 0]
    by_hand = (logsumexp(logits, axis=1) - chosen)[known]
    found = masked_cross_entropy(torch.from_numpy(logits).float(), torch.from_numpy(classes))
    assert float(found.sum) == pytest.approx(by_hand.sum(), rel=1e-5)
    assert float(found.mean()) == pytest.approx(by_hand.mean(), rel=1e-5)


def test_soft_dice_equals_a_computation_in_float64_and_skips_what_nobody_annotated() -> None:
    rng = np.random.default_rng(0)
    logits, classes = rng.normal(size=(3, 3, 6, 6)) * 2, rng.integers(0, 3, (3, 6, 6))
    classes[1, 3:] = 255
    classes[2] = 255
    probability = softmax(logits, axis=1)
    losses = []
    for image in range(2):
        known = classes[image] != 255
        for one in (1, 2):
            said, true = probability[image, one][known], (classes[image] == one)[known]
            losses.append(1 - (2 * (said * true).sum() + 1) / (said.sum() + true.sum() + 1))
    found = soft_dice_loss(torch.from_numpy(logits).float(), torch.from_numpy(classes))
    assert float(found.sum) == pytest.approx(sum(losses), rel=1e-5)
    assert float(found.count) == 4


def test_nothing_counted_is_a_loss_of_zero_with_gradients_of_zero() -> None:
    said = torch.ones(3, requires_grad=True)
    masked_squared_error(said, torch.full((3,), torch.nan)).mean().backward()
    assert said.grad is not None
    assert said.grad.tolist() == [0.0, 0.0, 0.0]


def test_the_orientation_loss_equals_a_computation_in_float64_without_missing_partners(
    backbone: BasicUNetBackbone, facts: StoreFacts
) -> None:
    task, batch = Orientation(backbone, facts), batch_of(**lines())
    with torch.no_grad():
        said = task.predict(backbone, batch.image)["heatmaps"].double().numpy()
        found = task.loss(backbone, [batch])["heatmap"]
    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float64)
    total, count = 0.0, 0
    for image in range(3):
        for partner in range(2):
            a, b, c = batch.labels["line"][image, partner].double().numpy()
            if not np.isnan(a):
                sigma = float(batch.labels["line_sigma_px"][image])
                total += (
                    (said[image, partner] - np.exp(-((a * x + b * y + c) ** 2) / (2 * sigma**2))) ** 2
                ).sum()
                count += SIDE * SIDE
    assert float(found.count) == count == 5 * SIDE * SIDE
    assert float(found.sum) == pytest.approx(total, rel=1e-4)


def test_a_missing_partner_leaves_no_nan_in_any_gradient(
    backbone: BasicUNetBackbone, facts: StoreFacts
) -> None:
    task = OrientationAndLocation(backbone, facts)
    batch = batch_of(**lines(), location=torch.tensor([0.0, torch.nan, 1.0]))
    sum(part.mean() for part in task.loss(backbone, [batch]).values()).backward()  # type: ignore[union-attr]
    gradients = [p.grad for p in [*backbone.parameters(), *task.parameters()]]
    assert all(gradient is not None and bool(gradient.isfinite().all()) for gradient in gradients)


def test_the_location_loss_is_of_the_label_the_protocol_maps_to(
    backbone: BasicUNetBackbone, facts: StoreFacts
) -> None:
    batch = batch_of(
        location=torch.tensor([0.1, 0.2, 0.3]), location_sine=torch.tensor([0.5, torch.nan, 0.7])
    )
    knee = replace(facts, location_mapping="sine")
    for task, count in (
        (Location(backbone, facts), 3),
        (Location(backbone, knee), 2),
        (Location(backbone, facts, "sine"), 2),
    ):
        assert float(task.loss(backbone, [batch])["location"].count) == count
    said = Location(backbone, knee)
    located = said.predict(backbone, batch.image)["location"].detach().double().numpy()
    by_hand = (located[0] - 0.5) ** 2 + (located[2] - 0.7) ** 2
    assert said.loss(backbone, [batch])["location"].sum.item() == pytest.approx(by_hand, rel=1e-4)


def test_multi_task_is_the_sum_of_its_two_tasks(backbone: BasicUNetBackbone, facts: StoreFacts) -> None:
    task = OrientationAndLocation(backbone, facts)
    batch = batch_of(**lines(), location=torch.tensor([0.0, 0.5, 1.0]))
    parts = task.loss(backbone, [batch])
    alone = task.orientation.loss(backbone, [batch]) | task.location.loss(backbone, [batch])
    assert {name: part.mean().item() for name, part in parts.items()} == {
        name: part.mean().item() for name, part in alone.items()
    }
    assert task.weights == {"heatmap": 1.0, "location": 1.0}


def test_anatomical_position_has_ten_classes_and_scores_all_pixels(
    backbone: BasicUNetBackbone, facts: StoreFacts
) -> None:
    task = AnatomicalPosition(backbone, facts)
    centre = torch.rand(3, 9, 2) * SIDE
    labels = {
        "box_centre": centre,
        "box_present": torch.ones(3, 9, dtype=torch.bool),
        "box_side_px": torch.full((3,), 6.0),
    }
    assert task.head.out_channels == 10
    assert float(task.loss(backbone, [batch_of(**labels)])["cross_entropy"].count) == 3 * SIDE * SIDE


def test_segmentation_leaves_a_part_of_weight_zero_out(
    backbone: BasicUNetBackbone, facts: StoreFacts
) -> None:
    batch = batch_of(segmentation=torch.randint(0, 3, (3, SIDE, SIDE)))
    assert set(Segmentation(backbone, facts).loss(backbone, [batch])) == {"cross_entropy"}
    both = Segmentation(backbone, facts, cross_entropy=0.5, dice=0.5)
    assert set(both.loss(backbone, [batch])) == {"cross_entropy", "dice_loss"}
    assert both.weights == {"cross_entropy": 0.5, "dice_loss": 0.5}


def test_structures_that_were_not_asked_for_become_background(
    backbone: BasicUNetBackbone, facts: StoreFacts
) -> None:
    stored = replace(facts, segment_names=("background", "LV cavity", "LA", "RV cavity"))
    task = Segmentation(backbone, stored, structures=("RV cavity", "LV cavity", "RA"))
    codes = torch.tensor([[[0, 1, 2, 3, 255]]])
    assert task.targets(batch_of(segmentation=codes))["segmentation"].tolist() == [[[0, 2, 0, 1, 255]]]
    assert task.segment_names == ("background", "RV cavity", "LV cavity")
    assert task.heads_without_labels({}) == ["RA"]
    with pytest.raises(NothingUsable, match="none of the structures aorta; it has LV cavity, LA, RV cavity"):
        Segmentation(backbone, stored, structures=("aorta",))


def test_a_store_without_segments_cannot_be_segmented(backbone: BasicUNetBackbone, facts: StoreFacts) -> None:
    with pytest.raises(NothingUsable, match="holds no segmentation"):
        Segmentation(backbone, replace(facts, segment_names=()))


def test_an_unknown_location_mapping_is_refused(backbone: BasicUNetBackbone, facts: StoreFacts) -> None:
    with pytest.raises(WrongUse, match="'cubic' is unknown; expected one of linear, sine"):
        Location(backbone, replace(facts, location_mapping="cubic"))


def test_heads_without_labels_are_named_and_left_out(backbone: BasicUNetBackbone, facts: StoreFacts) -> None:
    task = OrientationAndLocation(backbone, facts)
    line = np.full((5, 2, 3), np.nan, np.float32)
    line[2, 1] = [1.0, 0.0, -3.0]
    columns = {"line": line, "location": np.full(5, np.nan, np.float32)}
    off = task.heads_without_labels(columns)
    assert off == ["heatmap of 2CH", "location"]
    task.switch_off(off)
    parts = task.loss(backbone, [batch_of(**lines())])
    assert set(parts) == {"heatmap"}
    assert float(parts["heatmap"].count) == 3 * SIDE * SIDE
    task.switch_off(["heatmap of 2CH", "heatmap of 4CH"])
    assert task.trains == "encoder"
    assert set(task.loss(backbone, [batch_of(**lines(), location=torch.zeros(3))])) == {"location"}


def test_usable_rows_have_at_least_one_label(backbone: BasicUNetBackbone, facts: StoreFacts) -> None:
    line = np.full((3, 2, 3), np.nan, np.float32)
    line[0, 1] = 0.5
    columns = {"line": line, "location": np.array([np.nan, 0.5, np.nan], np.float32)}
    assert OrientationAndLocation(backbone, facts).usable(columns).tolist() == [True, True, False]
    assert Orientation(backbone, facts).usable(columns).tolist() == [True, False, False]
    present = {"box_present": np.array([[False] * 9, [True] + [False] * 8])}
    assert AnatomicalPosition(backbone, facts).usable(present).tolist() == [False, True]


def test_a_mean_of_sums_and_counts_is_right_over_unequal_shares() -> None:
    shares = [
        SumAndCount(torch.tensor(6.0), torch.tensor(3.0)),
        SumAndCount(torch.tensor(10.0), torch.tensor(1.0)),
    ]
    whole = SumAndCount(sum(s.sum for s in shares), sum(s.count for s in shares))  # type: ignore[arg-type]
    assert float(whole.mean()) == 4.0
