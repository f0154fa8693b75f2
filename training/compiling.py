"""torch.compile for a backbone: faster steps where it works, and nothing lost where it does not.

What is compiled are the two methods, not the module, so that the names of the weights stay as they are and
copies of the module (teachers) are none the wiser.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from training.backbones import Backbone
from training.streams import LearningStream
from training.trackers import first_line

BACKEND = "inductor"


def compile_backbone(
    backbone: Backbone, streams: Sequence[LearningStream], device: torch.device
) -> list[str]:
    """Compile `encode` and `decode` in place, try them both ways on an empty image of each store.

    To be called after teachers were copied: a copy would call the compiled methods of the original.

    Returns
    -------
    list of str
        A note where it does not work here, and the backbone as it was; else empty.
    """
    encode, decode = backbone.encode, backbone.decode
    backbone.encode = torch.compile(encode, backend=BACKEND)  # type: ignore[method-assign]
    backbone.decode = torch.compile(decode, backend=BACKEND)  # type: ignore[method-assign]
    was_training = backbone.training
    backbone.eval()  # so that no running statistics move
    learned = [parameter for parameter in backbone.parameters() if parameter.requires_grad]
    try:
        for facts in (stream.facts for stream in streams):
            image = torch.zeros(1, 1, facts.rows, facts.columns, device=device)
            total = torch.stack([level.sum() for level in backbone.decode(backbone.encode(image))]).sum()
            torch.autograd.grad(total, learned, allow_unused=True)
    except Exception as error:  # noqa: BLE001  compilers fail in any way
        del backbone.encode, backbone.decode
        torch.compiler.reset()
        return [f"torch.compile does not work here ({first_line(error)}): the run goes on without it"]
    finally:
        backbone.train(was_training)
    return []
