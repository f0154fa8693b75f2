"""The steps of a run: forward, backward, the optimiser, the log, the checkpoint."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from dicomgeom.errors import AnatprepError, WrongUse
from dicomgeom.progress import Progress
from training.checkpoint import Position, read_checkpoint, write_checkpoint
from training.failures import batch_told, kept, too_large
from training.log import RunLog
from training.mixed_precision import in_bfloat16
from training.model import Model
from training.plateau import Plateau
from training.recipe import Recipe
from training.run_folder import CHECKPOINT_FILE
from training.schedule import learning_rate
from training.settings import OptimiserSettings
from training.streams import LearningStream
from training.tasks.task import Batch, SumAndCount
from training.team import Team
from training.trackers import Forgiving
from training.validation import validate


def make_optimiser(settings: OptimiserSettings, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    """The optimiser a recipe names."""
    # Biases and the scales of norms have one axis, kernels more.
    least_axes = 2 if settings.decayed == "kernels" else 0
    groups: list[dict[str, Any]] = [
        {"params": [one for one in parameters if one.ndim >= least_axes]},
        {"params": [one for one in parameters if one.ndim < least_axes], "weight_decay": 0.0},
    ]
    if settings.kind == "adam":
        return torch.optim.Adam(groups, lr=settings.learning_rate, weight_decay=settings.weight_decay)
    return torch.optim.SGD(
        groups,
        lr=settings.learning_rate,
        momentum=settings.momentum,
        nesterov=settings.nesterov,
        weight_decay=settings.weight_decay,
    )


@dataclass
class Interval:
    """What happened since the last line of the log, kept on the device so that no step waits for it."""

    started_s: float
    totals: list[Tensor] = field(default_factory=list)
    parts: dict[str, list[Tensor]] = field(default_factory=dict)
    images: int = 0


class Training:
    """The state of a run in memory, and its steps."""

    def __init__(
        self,
        recipe: Recipe,
        run: Path,
        model: Model,
        streams: list[LearningStream],
        device: torch.device,
        team: Team,
        progress: Progress,
        tracker: Forgiving | None = None,
    ) -> None:
        self.recipe, self.run, self.streams = recipe, run, streams
        self.tracker = tracker
        self.device, self.team, self.progress = device, team, progress
        self.model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if team.size > 1 and device.type == "cuda":
            self.model = nn.SyncBatchNorm.convert_sync_batchnorm(self.model)  # type: ignore[no-untyped-call]
        self.learned = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.optimiser = make_optimiser(recipe.optimiser, self.learned)
        self.plateau = Plateau(recipe.schedule)
        self.interval = Interval(time.perf_counter())
        self.short = in_bfloat16(recipe.amp, device)

    def learn(self) -> Position:
        """All steps that are left."""
        recipe, checkpoint = self.recipe, self.run / CHECKPOINT_FILE
        position = Position(0, 0.0, 0, {})
        if self.team.from_first(checkpoint.is_file):
            position = read_checkpoint(checkpoint, self.model, self.optimiser)
            self.plateau.restore(position.plateau)
        log = RunLog(self.run, position.step, self.tracker) if self.team.first else None
        self.model.train()
        self.interval = Interval(time.perf_counter())
        try:
            for step in range(position.step, recipe.steps):
                self._one_step_or_what_fits(step)
                done, last = step + 1, step + 1 == recipe.steps
                keep = done % recipe.checkpoint_every == 0 or last
                if done % recipe.log_every == 0 or keep:
                    position = self._logged(done, position, log)
                if done % recipe.validate_every == 0 or last:
                    self._validated(done, position, log)
                    position = replace(position, plateau=self.plateau.state())
                if keep:
                    self._check_weights(done)
                    if self.team.first:
                        write_checkpoint(checkpoint, self.model, self.optimiser, position)
                self.progress("training", done=done, total=recipe.steps)
        finally:
            if log:
                log.close()
        return position

    def _one_step_or_what_fits(self, step: int) -> None:
        """One step; where the memory of a GPU is too small for it, an error that says what would fit."""
        try:
            self.one_step(step)
            return
        except torch.OutOfMemoryError:
            pass  # only outside of this block are the step's tensors let go
        self.optimiser.zero_grad(set_to_none=True)
        self.model.eval()  # or batch norm would wait for the other members of a team
        number, turn = self.recipe.turn_of(step)

        def probe(images: int) -> None:
            few = self.recipe.model_copy(update={"batch_size": images})
            self._backward(self.streams[number], self.streams[number].crops(turn, few, Team()), Team())

        batch, device = self.recipe.batch_size, self.device
        raise WrongUse(f"{too_large(batch, self.team.size, device, probe)}; {kept(self.run)}")

    def one_step(self, step: int) -> None:
        """One batch of the stream whose turn it is, forward, backward, and a step of the optimiser."""
        recipe = self.recipe
        number, turn = recipe.turn_of(step)
        stream = self.streams[number]
        self._set_learning_rate(step)
        crops = stream.crops(turn, recipe, self.team)
        stream.task.before_step(step, recipe.steps)
        totals = self._backward(stream, crops, self.team)
        self.team.add_gradients(self.learned)
        self._penalise_and_clip()
        self.optimiser.step()
        stream.task.after_step(self.model.backbone, step, recipe.steps)
        self._count(stream, totals, crops[0].image.shape[0] * self.team.size)

    def _backward(self, stream: LearningStream, crops: list[Batch], team: Team) -> dict[str, SumAndCount]:
        """The gradients of a member's share of a batch; the team's sums and counts of the losses."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.short):
            parts = stream.task.loss(self.model.backbone, crops)
        totals = team.totals(parts)
        weights = stream.task.weights
        losses = [
            weights.get(name, 1.0) * part.sum / totals[name].count.clamp(min=1.0)
            for name, part in parts.items()
        ]
        self.optimiser.zero_grad(set_to_none=True)
        torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]
        return totals

    def _set_learning_rate(self, step: int) -> None:
        rate = learning_rate(
            self.recipe.schedule, self.recipe.optimiser.learning_rate, step, self.recipe.steps
        )
        for group in self.optimiser.param_groups:
            group["lr"] = rate * self.plateau.scale

    def _penalise_and_clip(self) -> None:
        """Add the gradient of the L1 penalty, which is its weight times the sign; then limit the norm."""
        settings = self.recipe.optimiser
        if settings.l1:
            reached = [parameter for parameter in self.learned if parameter.grad is not None]
            gradients = [cast("Tensor", parameter.grad) for parameter in reached]
            signs = torch._foreach_sign([parameter.detach() for parameter in reached])
            torch._foreach_add_(gradients, signs, alpha=settings.l1)
        if settings.clip_norm:
            nn.utils.clip_grad_norm_(self.learned, settings.clip_norm)

    def _count(self, stream: LearningStream, totals: Mapping[str, SumAndCount], images: int) -> None:
        interval, weights = self.interval, stream.task.weights
        interval.images += images
        interval.totals.append(
            torch.stack([weights.get(name, 1.0) * part.mean() for name, part in totals.items()]).sum()
        )
        for name, part in totals.items():
            held = interval.parts.setdefault(f"{stream.label}/{name}", [part.sum * 0.0, part.count * 0.0])
            held[0] += part.sum
            held[1] += part.count

    def _logged(self, done: int, before: Position, log: RunLog | None) -> Position:
        """Close the interval: check that every loss was finite, write a line, and tell the new position."""
        interval = self.interval
        totals = torch.stack(interval.totals).tolist()
        for place, total in enumerate(totals):
            if not math.isfinite(total):
                raise AnatprepError(self._not_finite(done - len(totals) + place + 1, total))
        seconds = time.perf_counter() - interval.started_s
        parts = {name: float(top / below.clamp(min=1.0)) for name, (top, below) in interval.parts.items()}
        if log:
            line = {"step": done, "loss": sum(totals) / len(totals), "parts": parts}
            rate = self.optimiser.param_groups[0]["lr"]
            log.write({**line, "learning_rate": rate, "images_per_s": interval.images / seconds})
        self.interval = Interval(time.perf_counter())
        losses = {**before.losses, **parts}
        images = before.images + interval.images
        return replace(before, step=done, seconds=before.seconds + seconds, images=images, losses=losses)

    def _check_weights(self, done: int) -> None:
        """Weights that are no numbers shall not replace those of the last checkpoint.

        The loss tells of them only at the next step; all members have the same and raise alike.
        """
        norms = torch._foreach_norm([parameter.detach() for parameter in self.learned])
        if not bool(torch.stack(norms).isfinite().all()):
            raise AnatprepError(
                f"the weights became infinite or no numbers at step {done} though the loss was finite; "
                f"{kept(self.run)}; {self._advice()}"
            )

    def _advice(self) -> str:
        return (
            f"try a smaller optimiser.learning_rate (it was {self.recipe.optimiser.learning_rate:g}) or "
            "optimiser.clip_norm, in a new folder"
        )

    def _not_finite(self, step: int, total: float) -> str:
        """What to say of a loss; steps count from 1 here, as in the log."""
        number, turn = self.recipe.turn_of(step - 1)
        stream, name = self.streams[number], self.recipe.streams[number].store
        rows, _ = stream.order.batch(turn, self.recipe.batch_size)
        batch = batch_told(name, rows.tolist(), stream.crops(turn, self.recipe, Team()))
        return f"the loss became {total} at step {step}, on {batch}; {kept(self.run)}; {self._advice()}"

    def _validated(self, done: int, position: Position, log: RunLog | None) -> None:
        """Look at the validation rows; with the schedule "plateau" all members hear of the loss."""
        means = self._looked(done, log) if log else {}
        if self.recipe.schedule.kind == "plateau":
            loss = self.team.from_first(lambda: self._validation_loss(means, position))
            if loss is not None:
                self.plateau.see(loss)

    def _looked(self, done: int, log: RunLog) -> dict[str, float]:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)  # or the steps still under way would count as validation
        started_s = time.perf_counter()
        means = validate(self.model, self.streams, self.recipe, self.team.size)
        if means:
            log.write({"step": done, "validation": means})
        # The time validation takes is not training's; an interval of the log may have begun before it.
        self.interval.started_s += time.perf_counter() - started_s
        return means

    def _validation_loss(self, means: Mapping[str, float], position: Position) -> float | None:
        """The parts of the loss in the validation's means, weighted as in training; None without any."""
        weights = {
            f"{stream.label}/{name}": weight
            for stream in self.streams
            for name, weight in stream.task.weights.items()
        }
        parts = {*position.losses, *self.interval.parts} & means.keys()
        return sum(weights.get(name, 1.0) * means[name] for name in sorted(parts)) if parts else None
