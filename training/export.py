"""Handing a finished run to other programs: weights under the names that the other side knows.

- ``safetensors``: the tensors, named as MONAI (or torchvision, for AlexNet) names them, and ``config.json``,
  which says how to make the network; of a segmentation by one of MONAI's networks all tensors that it has,
  else those of the backbone only;
- ``hf``: the same as a folder for the Hugging Face Hub, with a model card;
- ``monai``: a MONAI bundle (`export_monai.py`);
- ``nnunet``: weights for ``nnUNetv2_train -pretrained_weights`` (`export_nnunet.py`).

What is handed over holds no patient's key, no path and no date.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

from dicomgeom.errors import WrongUse
from training.checkpoint import write_atomically
from training.export_monai import (
    SELF_SUPERVISED,
    bundle_files,
    label_told,
    learned,
    monai_arguments,
    monai_network,
    segmentation_of,
)
from training.export_nnunet import nnunet_files
from training.model import METADATA_KEY, Configuration, Model, read_model
from training.transfer import NETWORK, WEIGHTS_FILE, read_initial_weights


@dataclass(frozen=True)
class ExportSummary:
    """What was written."""

    folder: Path
    form: str
    files: tuple[str, ...]
    tensors: int

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        return {**self.__dict__, "folder": str(self.folder), "files": list(self.files)}


def export_run(run: Path, folder: Path, form: str) -> ExportSummary:
    """Write a finished run for another program.

    Parameters
    ----------
    folder
        New or empty.
    form
        "safetensors", "hf", "monai" or "nnunet".

    Raises
    ------
    HalfWritten, IntegrityError
        The run is not finished, or damaged.
    WrongUse
        A form that does not exist or that cannot hold this network; a folder that is not empty.
    """
    if form not in FORMS:
        raise WrongUse(f"{form!r} is no form to export to; expected one of {', '.join(FORMS)}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise WrongUse(f"{folder} is not empty; choose a new folder")
    read_initial_weights(run)  # says in one line what is wrong with a run that is not finished
    model, configuration = read_model(run / WEIGHTS_FILE)
    files = FORMS[form](model, configuration)
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
    held = backbone_tensors(model) if form == "nnunet" else tensors_of(model, configuration)
    return ExportSummary(folder, form, tuple(sorted(files)), len(held))


def tensors_of(model: Model, configuration: Configuration) -> dict[str, Tensor]:
    """All tensors of MONAI's network where it is whole, else those of the backbone inside it.

    Of a whole network every name is there, so that a strict ``load_state_dict`` takes it: MONAI's DynUNet has
    two for most tensors, and safetensors wants a copy for each.
    """
    if is_whole(model, configuration):
        network = monai_network(model, configuration.recipe.backbone)
        return {name: values.detach().cpu().clone() for name, values in network.state_dict().items()}
    return backbone_tensors(model)


def backbone_tensors(model: Model) -> dict[str, Tensor]:
    """The tensors of the backbone under the names of the network inside it."""
    state = model.backbone.state_dict()
    return {
        name.removeprefix(NETWORK): values.detach().cpu().contiguous()
        for name, values in state.items()
        if values.numel()
    }


def is_whole(model: Model, configuration: Configuration) -> bool:
    """Whether MONAI has this network and its output layer was trained, too."""
    return (
        segmentation_of(model) is not None
        and monai_arguments(model, configuration.recipe.backbone) is not None
    )


def config_of(model: Model, configuration: Configuration) -> dict[str, Any]:
    """How to make the network, how to prepare images, and what it learned."""
    recipe = configuration.recipe
    told = label_told(model)
    facts = configuration.facts[told]
    return {
        "library": "anatprep",
        "backbone": recipe.backbone.model_dump(mode="json"),
        "monai": monai_arguments(model, recipe.backbone),
        "holds": "network" if is_whole(model, configuration) else "backbone",
        "trained_parts": list(configuration.trained),
        "tasks": list(model.labels),
        "learned": learned(model, configuration),
        "segment_names": list(model.task(told).segment_names),
        "input": {
            "channels": 1,
            "rows": facts.rows,
            "columns": facts.columns,
            "spacing_mm": facts.spacing_mm,
            "normalise": recipe.normalise,
            "view": facts.view,
        },
        "recipe": recipe.as_json(),
    }


def _plain(model: Model, configuration: Configuration) -> dict[str, bytes]:
    return {
        "model.safetensors": save(
            tensors_of(model, configuration), {"format": "pt", METADATA_KEY: _parts(configuration)}
        ),
        "config.json": _json(config_of(model, configuration)),
    }


def _parts(configuration: Configuration) -> str:
    """What `--init` has to know of the tensors: the parts that were trained."""
    return json.dumps({"trained": list(configuration.trained)})


def _hugging_face(model: Model, configuration: Configuration) -> dict[str, bytes]:
    return {
        **_plain(model, configuration),
        "README.md": model_card(config_of(model, configuration)).encode(),
    }


def _monai(model: Model, configuration: Configuration) -> dict[str, bytes]:
    return bundle_files(model, configuration)


def _nnunet(model: Model, configuration: Configuration) -> dict[str, bytes]:
    return nnunet_files(model, configuration)


FORMS: Mapping[str, Callable[[Model, Configuration], dict[str, bytes]]] = {
    "safetensors": _plain,
    "hf": _hugging_face,
    "monai": _monai,
    "nnunet": _nnunet,
}
"""Form -> the files that make it up."""


def _json(content: Any) -> bytes:
    return (json.dumps(content, indent=1, sort_keys=True) + "\n").encode()


CARD = """---
library_name: anatprep
pipeline_tag: {pipeline}
tags: [medical-imaging, mri{tag}]
---

# {name}

A {kind} of width {width}, trained with anatprep: {learned}.
Method: {paper}.

## Images it takes

One channel of {rows} x {columns} pixels of {spacing_mm:g} mm, {view} view, normalised by {normalise}.

## Weights

`model.safetensors` holds {holds}; trained were its {parts}. `config.json` says
how to make the network: {how}.
With anatprep: `anatprep train RECIPE --init model.safetensors`.

## Limits

Not a medical device. Measure it on your own patients before you rely on it.
"""


HOLDS = {
    "network": ("the whole network, its output layer included", "`load_state_dict` takes it all"),
    "backbone": ("the backbone only, without an output layer", "an output layer stays as it was made"),
}
"""What the weights are, and what becomes of them in a network made for them."""


def model_card(config: Mapping[str, Any]) -> str:
    """The text that the Hub shows, with its header for machines."""
    given, recipe = config["input"], config["recipe"]
    kinds = config["learned"]
    holds, how = HOLDS[config["holds"]]
    return CARD.format(
        pipeline="image-segmentation" if "segmentation" in kinds else "feature-extraction",
        tag=", self-supervised" if SELF_SUPERVISED in kinds else "",
        name=recipe["name"],
        kind=recipe["backbone"]["kind"],
        width=recipe["backbone"]["width"],
        learned="; ".join(
            f"{kind} {'by' if kind == SELF_SUPERVISED else 'of'} {', '.join(names)}"
            for kind, names in kinds.items()
        ),
        paper=recipe["paper"] or "own",
        holds=holds,
        how=how,
        parts=" and ".join(config["trained_parts"]),
        **{**given, "view": given["view"] or "any"},
    )
