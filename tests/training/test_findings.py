from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from dicomgeom.errors import NothingUsable, WrongUse
from training.backbones import AlexNetBackbone
from training.evaluate import evaluate
from training.loop import train
from training.recipe import load_recipe
from training.tasks.findings import Findings
from training.tasks.task import Batch, StoreFacts

NAMES = ("abnormality", "ACL tear", "meniscus tear")
FINDINGS = torch.tensor([[1, 0, -1], [0, -1, -1], [1, 1, -1]], dtype=torch.int8)
SLICES = (3, 1, 4)


@pytest.fixture
def backbone() -> AlexNetBackbone:
    torch.manual_seed(0)
    return AlexNetBackbone(4).eval()


@pytest.fixture
def knee(facts: StoreFacts) -> StoreFacts:
    return replace(facts, finding_names=NAMES)


def batch_of(findings: Tensor = FINDINGS, slices: tuple[int, ...] = SLICES) -> Batch:
    """Series of these many slices one after the other."""
    unit = torch.repeat_interleave(torch.arange(len(slices)), torch.tensor(slices))
    image = torch.randn(len(unit), 1, 64, 64, generator=torch.Generator().manual_seed(1))
    number = torch.arange(len(unit))
    return Batch(
        image, {"findings": findings[unit]}, torch.eye(3).expand(len(unit), 3, 3), number, number, unit
    )


def logits_by_hand(task: Findings, backbone: AlexNetBackbone, batch: Batch) -> Tensor:
    """Series by series, as the paper has it."""
    rows = []
    for series in range(int(batch.unit.max()) + 1):
        levels = backbone.encode(batch.image[batch.unit == series])
        rows.append(task.head(levels[-1].mean((-2, -1)).max(dim=0).values))
    return torch.stack(rows)


def test_the_loss_equals_pytorchs_weighted_one_series_by_series(
    backbone: AlexNetBackbone, knee: StoreFacts
) -> None:
    task, batch = Findings(backbone, knee), batch_of()
    task.see_training({"findings": np.array([[1, 0, 0], [0, 1, -1], [0, 0, -1], [0, -1, -1]], np.int8)})
    assert task.present_weight.tolist() == [3.0, 2.0, 1.0]
    with torch.no_grad():
        said, found = logits_by_hand(task, backbone, batch), task.loss(backbone, [batch])
    for number, (name, weight) in enumerate(zip(NAMES[:2], (3.0, 2.0), strict=True)):
        known = FINDINGS[:, number] >= 0
        true = binary_cross_entropy_with_logits(
            said[known, number], FINDINGS[known, number].float(), pos_weight=torch.tensor(weight)
        )
        part = found[f"finding {name}"]
        assert float(part.count) == int(known.sum())
        assert float(part.mean()) == pytest.approx(float(true), rel=1e-5)
    assert float(found["finding meniscus tear"].count) == 0.0


def test_the_order_of_series_and_their_lengths_do_not_matter(
    backbone: AlexNetBackbone, knee: StoreFacts
) -> None:
    task, batch = Findings(backbone, knee), batch_of()
    order = torch.randperm(len(batch.unit), generator=torch.Generator().manual_seed(3))
    shuffled = replace(
        batch, image=batch.image[order], unit=batch.unit[order],
        labels={"findings": batch.labels["findings"][order]},
    )  # fmt: skip
    with torch.no_grad():
        one, other = (task.loss(backbone, [which]) for which in (batch, shuffled))
    assert all(float(one[name].sum) == pytest.approx(float(other[name].sum), rel=1e-5) for name in one)


def test_an_unknown_finding_leaves_no_gradient_and_no_nan(
    backbone: AlexNetBackbone, knee: StoreFacts
) -> None:
    task, batch = Findings(backbone, knee), batch_of()
    torch.stack([part.mean() for part in task.loss(backbone, [batch]).values()]).sum().backward()
    gradient = task.head.weight.grad
    assert gradient is not None
    assert bool((gradient[2] == 0).all())
    assert bool((gradient[:2] != 0).any())
    assert all(bool(p.grad.isfinite().all()) for p in backbone.parameters() if p.grad is not None)


def test_a_series_is_predicted_as_a_whole(backbone: AlexNetBackbone, knee: StoreFacts) -> None:
    task = Findings(backbone, knee)
    batch = batch_of(FINDINGS[:1], (5,))
    with torch.no_grad():
        said = task.predict(backbone, batch.image)["diagnosis"]
        true = logits_by_hand(task, backbone, batch).sigmoid()
    assert said.shape == (5, 3)
    assert torch.allclose(said, true.expand(5, 3))
    assert task.targets(batch)["diagnosis"][0].isnan().tolist() == [False, False, True]


def test_findings_nobody_told_are_switched_off(backbone: AlexNetBackbone, knee: StoreFacts) -> None:
    task = Findings(backbone, knee, labels=("meniscus tear", "abnormality", "effusion"))
    assert task.label_names == ("meniscus tear", "abnormality")
    columns: dict[str, Any] = {"findings": FINDINGS.numpy()}
    off = task.heads_without_labels(columns)
    assert off == ["finding meniscus tear", "finding effusion"]
    task.switch_off(off)
    with torch.no_grad():
        assert task.predict(backbone, batch_of().image)["diagnosis"][0].isnan().tolist() == [True, False]
    assert task.usable({"findings": np.array([[-1, 0, -1], [-1, 1, 1]], np.int8)}).tolist() == [False, True]


def test_a_store_without_findings_is_refused(backbone: AlexNetBackbone, facts: StoreFacts) -> None:
    with pytest.raises(NothingUsable, match="no findings; it has none at all"):
        Findings(backbone, facts)
    with pytest.raises(NothingUsable, match="none of the findings tumour; it has abnormality, ACL tear"):
        Findings(backbone, replace(facts, finding_names=NAMES), labels=("tumour",))


def test_it_learns_and_tells_patients_it_never_saw_apart(write_store: Any, tmp_path: Path) -> None:
    store = write_store(
        tmp_path / "knee.zarr", carrier="SAG", side=64, slices=4, patients=(8, 4, 6), findings=NAMES[:2]
    )
    changes = {
        "backbone.width": "4", "steps": "60", "batch_size": "4", "optimiser.learning_rate": "3e-3",
        "optimiser.weight_decay": "0", "validate_every": "20", "log_every": "20", "checkpoint_every": "60",
        "augment.rotation_deg": "0", "augment.shift_fraction": "0", "augment.flip_left_right": "0",
    }  # fmt: skip
    recipe = load_recipe("diagnose-knee", changes)
    summary = train(recipe, {"": store}, tmp_path / "run")
    assert set(summary.losses) == {"findings/finding abnormality", "findings/finding ACL tear"}
    found = evaluate(tmp_path / "run", store)["tasks"]["findings"]
    assert found["auc"]["auc mean"] > 0.9
    assert len(found["patients"]) == 6


def test_tasks_that_choose_their_own_unit_keep_it(write_store: Any, tmp_path: Path) -> None:
    store = write_store(tmp_path / "knee.zarr", carrier="SAG", side=64, findings=NAMES)
    recipe = load_recipe("diagnose-knee", {"streams.0.unit": "slice", "steps": "1", "backbone.width": "4"})
    with pytest.raises(WrongUse, match="learns from a series at a time"):
        train(recipe, {"": store}, tmp_path / "run")
