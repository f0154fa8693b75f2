from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.losses import DeepSupervisionLoss, DiceCELoss
from scipy.special import log_softmax, softmax
from torch import Tensor

from training.backbones import Backbone, BasicUNetBackbone, DynUNetBackbone
from training.evaluate import evaluate
from training.log import read_log
from training.loop import train
from training.recipe import Recipe
from training.tasks.segmentation import Segmentation, at_size
from training.tasks.task import Batch, StoreFacts

SIDE, CLASSES = 32, 3


def batch_of(classes: Tensor) -> Batch:
    count = len(classes)
    image = torch.randn(count, 1, *classes.shape[1:], generator=torch.Generator().manual_seed(1))
    number = torch.arange(count)
    return Batch(image, {"segmentation": classes}, torch.eye(3).expand(count, 3, 3), number, number, number)


def supervised(backbone: Backbone, facts: StoreFacts) -> Segmentation:
    stored = replace(facts, segment_names=("background", "LV cavity", "RV cavity"))
    return Segmentation(
        backbone, stored, cross_entropy=0.5, dice=0.5, dice_smoothing_px=1e-5, deep_supervision=True
    )


def total(task: Segmentation, backbone: Backbone, batch: Batch) -> float:
    parts = task.loss(backbone, [batch])
    assert set(parts) == set(task.weights)
    return float(sum(task.weights[name] * part.mean() for name, part in parts.items()))


def outputs(task: Segmentation, backbone: Backbone, batch: Batch) -> list[Tensor]:
    decoded = backbone.decode(backbone.encode(batch.image))
    return [head(level) for head, level in zip((task.head, *task.coarse_heads), decoded, strict=True)]


@pytest.fixture
def backbone() -> DynUNetBackbone:
    torch.manual_seed(0)
    return DynUNetBackbone(width=4, levels=4).eval()


def annotated() -> Tensor:
    return torch.randint(0, CLASSES, (2, SIDE, SIDE), generator=torch.Generator().manual_seed(2))


def test_the_loss_is_monais_with_normalised_weights(backbone: DynUNetBackbone, facts: StoreFacts) -> None:
    task, batch = supervised(backbone, facts), batch_of(annotated())
    both = DiceCELoss(
        include_background=False, to_onehot_y=True, softmax=True,
        smooth_nr=1e-5, smooth_dr=1e-5, lambda_dice=0.5, lambda_ce=0.5,
    )  # fmt: skip
    deep = DeepSupervisionLoss(both, weights=[4 / 7, 2 / 7, 1 / 7])
    with torch.no_grad():
        true = deep(outputs(task, backbone, batch), annotated()[:, None].float())
        assert total(task, backbone, batch) == pytest.approx(float(true), rel=1e-5)


def test_the_loss_equals_a_computation_in_float64_where_pixels_are_not_annotated(
    backbone: DynUNetBackbone, facts: StoreFacts
) -> None:
    classes = annotated()
    classes[0, :14] = 255
    task, batch = supervised(backbone, facts), batch_of(classes)
    by_hand = 0.0
    with torch.no_grad():
        levels = [output.double().numpy() for output in outputs(task, backbone, batch)]
        found = total(task, backbone, batch)
    for level, logits in enumerate(levels):
        step = 2**level
        true = classes.numpy()[:, step // 2 :: step, step // 2 :: step]
        known = true != 255
        chosen = np.take_along_axis(log_softmax(logits, axis=1), np.where(known, true, 0)[:, None], axis=1)[
            :, 0
        ]
        entropy = -chosen[known].mean()
        dice = []
        for image in range(2):
            for one in range(1, CLASSES):
                said, is_one = softmax(logits, axis=1)[image, one], true[image] == one
                said = said * known[image]
                dice.append(1 - (2 * said[is_one].sum() + 1e-5) / (said.sum() + is_one.sum() + 1e-5))
        by_hand += (4 / 2**level / 7) * (0.5 * entropy + 0.5 * np.mean(dice))
    assert found == pytest.approx(by_hand, rel=1e-5)


def test_each_level_of_the_decoder_has_an_output_and_all_weights_sum_to_those_given(
    facts: StoreFacts,
) -> None:
    with torch.device("meta"):
        task = supervised(DynUNetBackbone(width=2, levels=7), facts)
    assert len(task.coarse_heads) == 5
    assert sum(task.weights.values()) == pytest.approx(1.0)
    assert task.weights["dice_loss"] / task.weights["dice_loss 1/32"] == pytest.approx(32.0)
    assert task.weights["cross_entropy 1/4"] == task.weights["dice_loss 1/4"]


def test_the_network_of_the_other_papers_can_be_supervised_too(facts: StoreFacts) -> None:
    torch.manual_seed(0)
    backbone = BasicUNetBackbone(4).eval()
    task = supervised(backbone, facts)
    assert len(task.coarse_heads) == 3
    classes = torch.randint(0, CLASSES, (2, 50, 50))
    with torch.no_grad():
        assert np.isfinite(total(task, backbone, batch_of(classes)))


def test_every_output_learns(backbone: DynUNetBackbone, facts: StoreFacts) -> None:
    backbone.train()
    task, batch = supervised(backbone, facts), batch_of(annotated())
    parts = task.loss(backbone, [batch])
    torch.stack([task.weights[name] * part.mean() for name, part in parts.items()]).sum().backward()
    assert all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in task.parameters())


def test_the_recipe_learns_at_all_levels(
    small: Callable[..., Recipe], labelled_store: Path, tmp_path: Path
) -> None:
    recipe = small(
        "segment-sax-nnunet", steps="60", batch_size="8", backbone__levels="4", backbone__width="6",
        optimiser__momentum="0.9", optimiser__learning_rate="0.1", augment__rotation_deg="0",
        augment__flip_left_right="0", augment__flip_up_down="0",
        log_every="5", checkpoint_every="1000", validate_every="1000",
    )  # fmt: skip
    summary = train(recipe, {"": labelled_store}, tmp_path / "run")
    assert {name for name in summary.losses if "dice" in name} == {
        "segmentation/dice_loss", "segmentation/dice_loss 1/2", "segmentation/dice_loss 1/4",
    }  # fmt: skip
    losses = [line["loss"] for line in read_log(tmp_path / "run") if "loss" in line]
    assert losses[-1] < 0.7 * losses[0], losses
    found = evaluate(tmp_path / "run", labelled_store)["tasks"]["segmentation"]["mean"]
    assert found["dice mean"] > 0.4


def test_a_coarse_target_is_the_pixel_under_the_middle_of_the_coarse_one() -> None:
    classes = torch.arange(64).view(1, 8, 8)
    assert at_size(classes, 4, 4)[0, 0].tolist() == [9, 11, 13, 15]
    assert at_size(classes, 2, 2)[0].tolist() == [[18, 22], [50, 54]]
    assert at_size(classes, 8, 8) is classes
