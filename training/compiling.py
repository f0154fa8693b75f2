"""torch.compile for a backbone: faster steps where it works, and nothing lost where it does not.

What is compiled are the two methods, not the module, so that the names of the weights stay as they are and
copies of the module (teachers) are none the wiser.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from training.backbones import Backbone
from training.streams import LearningStream
from training.team import Team
from training.trackers import show_aside

BACKEND = "inductor"


def compile_backbone(
    backbone: Backbone,
    streams: Sequence[LearningStream],
    device: torch.device,
    team: Team,
    *,
    images: int,
    short: bool,
) -> list[str]:
    """Compile `encode` and `decode` in place, and try them on empty images as the run will use them.

    To be called after teachers were copied: a copy would call the compiled methods of the original. Not in a
    team on GPUs: there batch norm waits for all members, and one that fails alone would leave them waiting.

    Parameters
    ----------
    images
        In a batch of this member.
    short
        Whether steps are in bfloat16.

    Returns
    -------
    list of str
        A note where it does not work here, and the backbone as it was; else empty.
    """
    if team.size > 1 and device.type == "cuda":
        return ["torch.compile is left out where several GPUs train together: the run goes on without it"]
    encode, decode = backbone.encode, backbone.decode
    backbone.encode = torch.compile(encode, backend=BACKEND)  # type: ignore[method-assign]
    backbone.decode = torch.compile(decode, backend=BACKEND)  # type: ignore[method-assign]
    try:
        with _as_it_was(backbone, device):
            for facts in (stream.facts for stream in streams):
                image = torch.zeros(images, 1, facts.rows, facts.columns, device=device)
                _try(backbone, image.contiguous(memory_format=torch.channels_last), short)
    except Exception as error:  # noqa: BLE001  compilers fail in any way
        del backbone.encode, backbone.decode
        torch.compiler.reset()
        show_aside(error)
        kind = type(error).__name__
        return [f"torch.compile does not work here ({kind}): the run goes on without it"]
    return []


def _try(backbone: Backbone, image: torch.Tensor, short: bool) -> None:
    """A step's passes, forward and backward, and those of validation."""
    backbone.train()
    with torch.autocast(image.device.type, torch.bfloat16, enabled=short):
        levels = backbone.decode(backbone.encode(image))
    total = torch.stack([level.float().sum() for level in levels]).sum()
    learned = [parameter for parameter in backbone.parameters() if parameter.requires_grad]
    if learned:
        torch.autograd.grad(total, learned, allow_unused=True)
    backbone.eval()
    with torch.no_grad():
        backbone.decode(backbone.encode(image))


@contextmanager
def _as_it_was(backbone: Backbone, device: torch.device) -> Iterator[None]:
    """Bring back the running statistics, the mode, and torch's random state."""
    was_training = backbone.training
    before = {name: values.clone() for name, values in backbone.named_buffers()}
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield
    finally:
        with torch.no_grad():
            for name, values in backbone.named_buffers():
                values.copy_(before[name])
        backbone.train(was_training)
