"""A run as a MONAI bundle: MONAI's own network, its weights, and a configuration that runs it.

The folder has the shape of the MONAI Bundle Specification: ``configs/metadata.json``,
``configs/inference.json``, ``models/model.pt``, ``docs/README.md``. Of a segmentation the head becomes the
output layer of MONAI's network, and the bundle runs; of all else there is none, and it is for fine-tuning.

MONAI's readers give images as (channel, column, row), our networks learned (channel, row, column): the bundle
turns what was read, and turns the prediction back.
"""

from __future__ import annotations

import io
import json
from typing import Any

import monai
import numpy as np
import torch
from monai.networks.nets.basic_unet import BasicUNet
from monai.networks.nets.dynunet import DynUNet
from torch import nn

from dicomgeom.errors import WrongUse, WrongVersion
from training.backbones import BasicUNetBackbone, DynUNetBackbone
from training.model import Configuration, Model
from training.settings import BackboneSettings
from training.task_options import DOWNSTREAM
from training.tasks.segmentation import Segmentation

BUNDLE_VERSION = "0.1.0"

TURNED = {"_target_": "Transposed", "indices": [0, 2, 1]}
"""Between (channel, column, row) and (channel, row, column)."""

FLAT = "$lambda image: image.squeeze(3) if image.ndim == 4 else image"
"""MONAI gives a DICOM file, and often a NIfTI one, a third axis of length 1."""

OUTPUT_LAYER = {"BasicUNet": "final_conv.", "DynUNet": "output_block.conv.conv."}
"""Where MONAI's networks hold the layer that our heads stand for."""

SECOND_NAMES = "skip_layers."
"""Below it MONAI's DynUNet lists the blocks of its other names again."""

NAMES_TOLD = 4

SELF_SUPERVISED = "self-supervised learning"
"""What pretexts are: they need no label that a person made."""

SUPERVISED = {"segmentation": "segmentation", "findings": "classification"}
"""What tasks on labels that people made are called outside."""


def learned(model: Model, configuration: Configuration) -> dict[str, list[str]]:
    """The kinds of learning that made a run, and what was learned by each; that on annotations first."""
    recipe = configuration.recipe
    tasks = {label: stream.task for label, stream in zip(recipe.labels(), recipe.streams, strict=True)}
    kinds: dict[str, list[str]] = {}
    for label in sorted(tasks, key=lambda label: tasks[label] not in DOWNSTREAM):
        task = model.task(label)
        # Of a segmentation the first output is the background, which nobody is after.
        names = {"segmentation": task.outputs[1:], "findings": task.outputs}.get(tasks[label], (label,))
        kinds.setdefault(SUPERVISED.get(tasks[label], SELF_SUPERVISED), []).extend(names)
    return kinds


def label_told(model: Model) -> str:
    """The stream that an export speaks of: the one that segments, else the first."""
    return next((label for label in model.labels if model.task(label).segment_names), model.labels[0])


def monai_arguments(model: Model, settings: BackboneSettings) -> dict[str, Any] | None:
    """The class of MONAI and its arguments that make this network; None for one that is not MONAI's."""
    task, backbone = segmentation_of(model), model.backbone
    classes = len(task.segment_names) if task is not None else 1
    norm = "batch" if settings.norm == "batch" else ["instance", {"affine": True}]
    if isinstance(backbone, BasicUNetBackbone):
        features = [*backbone.encoder_channels, backbone.encoder_channels[0]]
        shape = {"spatial_dims": 2, "in_channels": 1, "out_channels": classes}
        return {"_target_": "BasicUNet", **shape, "features": features, "norm": norm}
    if isinstance(backbone, DynUNetBackbone):
        levels = len(backbone.encoder_channels)
        return {
            "_target_": "DynUNet",
            "spatial_dims": 2,
            "in_channels": 1,
            "out_channels": classes,
            "kernel_size": [3] * levels,
            "strides": [1] + [2] * (levels - 1),
            "upsample_kernel_size": [2] * (levels - 1),
            "filters": list(backbone.encoder_channels),
            "norm_name": norm,
            "trans_bias": True,
        }
    return None


def monai_network(model: Model, settings: BackboneSettings) -> nn.Module:
    """MONAI's network with the weights of ours, its output layer that of the segmentation where there is one.

    Raises
    ------
    WrongUse
        The network is not one of MONAI's.
    WrongVersion
        MONAI makes it of other tensors than the run has.
    """
    arguments = monai_arguments(model, settings)
    if arguments is None:
        raise WrongUse(
            f"a {settings.kind} is no network of MONAI; export it with --to safetensors or --to hf"
        )
    kind = arguments.pop("_target_")
    network: nn.Module = {"BasicUNet": BasicUNet, "DynUNet": DynUNet}[kind](**arguments)
    state = dict(model.backbone.net.state_dict())  # type: ignore[union-attr]
    task = segmentation_of(model)
    may_miss: tuple[str, ...] = (SECOND_NAMES, OUTPUT_LAYER[kind])
    if task is not None:  # its output at full size; those of coarser levels only served the training
        state |= {f"{OUTPUT_LAYER[kind]}{name}": values for name, values in task.head.state_dict().items()}
        may_miss = (SECOND_NAMES,)
    found = network.load_state_dict(state, strict=False)
    odd = [name for name in found.missing_keys if not name.startswith(may_miss)] + found.unexpected_keys
    if odd:
        raise WrongVersion(
            f"MONAI {monai.__version__} makes a {kind} of other tensors than this run's "
            f"({', '.join(sorted(odd)[:NAMES_TOLD])}); export with the MONAI that it was trained with"
        )
    return network.eval()


def segmentation_of(model: Model) -> Segmentation | None:
    """The task whose output layer is handed over; None where no stream segments."""
    task = model.task(label_told(model))
    return task if isinstance(task, Segmentation) else None


def bundle_files(model: Model, configuration: Configuration) -> dict[str, bytes]:
    """The files of the bundle by their paths in it."""
    recipe = configuration.recipe
    network = monai_network(model, recipe.backbone)
    buffer = io.BytesIO()
    torch.save(network.state_dict(), buffer)
    arguments = monai_arguments(model, recipe.backbone)
    return {
        "models/model.pt": buffer.getvalue(),
        "configs/metadata.json": _json(_metadata(model, configuration)),
        "configs/inference.json": _json(_inference(model, arguments or {}, recipe.normalise)),
        "docs/README.md": _read_me(model, configuration).encode(),
    }


def _inference(model: Model, arguments: dict[str, Any], normalise: str) -> dict[str, Any]:
    """What `monai.bundle` reads: the network, its weights, and what goes before and after."""
    return {
        "imports": ["$import pathlib", "$import torch"],
        "bundle_root": ".",
        "device": "$torch.device('cuda' if torch.cuda.is_available() else 'cpu')",
        "network_def": arguments,
        "weights": "$@bundle_root + '/models/model.pt'",
        "network": "$@network_def.to(@device)",
        "load": "$@network.load_state_dict(torch.load(@weights, map_location=@device, weights_only=True))",
        "initialize": ["$@load", "$@network.eval()"],
        "preprocessing": {"_target_": "Compose", "transforms": _prepared(normalise)},
        "dataset_dir": "$@bundle_root + '/images'",
        "datalist": "$sorted(str(p) for p in pathlib.Path(@dataset_dir).glob('[!.]*') if p.is_file())",
        "dataset": {
            "_target_": "Dataset",
            "data": "$[{'image': path} for path in @datalist]",
            "transform": "@preprocessing",
        },
        "inferer": {"_target_": "SimpleInferer"},
        **(NO_RUN if segmentation_of(model) is None else RUN),
    }


NO_RUN: dict[str, Any] = {"evaluator": None}
"""Without a trained output layer there is nothing to run, yet MONAI wants the name to be there."""

RUN: dict[str, Any] = {
    "output_dir": None,
    "postprocessing": {
        "_target_": "Compose",
        "transforms": [
            {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
            {**TURNED, "keys": "pred"},
            {
                "_target_": "SaveImaged",
                "_disabled_": "$@output_dir is None",
                "keys": "pred",
                "output_dir": "@output_dir",
                "output_postfix": "seg",
                "output_dtype": "$torch.uint8",
                "resample": False,
                "separate_folder": False,
            },
        ],
    },
    "evaluator": {
        "_target_": "types.SimpleNamespace",
        "run": (
            "$torch.no_grad()(lambda: [@postprocessing({'pred': "
            "@inferer(given['image'][None].to(@device), @network)[0]}) for given in @dataset] "
            "or torch._assert(False, 'no image was found; give dataset_dir, the folder that holds them'))"
        ),
    },
    "run": ["$@evaluator.run()"],
}
"""Segments the images of a folder one by one, since they differ in size. MONAI's own evaluators need
pytorch-ignite, which neither MONAI nor anatprep brings along; this one has of theirs only `run`."""


def _prepared(normalise: str) -> list[dict[str, Any]]:
    """What makes of a file the image that the network learned from."""
    prepared: list[dict[str, Any]] = [
        {"_target_": "LoadImaged", "keys": "image", "ensure_channel_first": True},
        {"_target_": "Lambdad", "keys": "image", "func": FLAT},
        {**TURNED, "keys": "image"},
    ]
    if normalise.endswith("z-score"):
        prepared.append({"_target_": "NormalizeIntensityd", "keys": "image"})
    elif normalise.endswith("0-1"):
        prepared.append({"_target_": "ScaleIntensityd", "keys": "image"})
    return prepared


def _metadata(model: Model, configuration: Configuration) -> dict[str, Any]:
    recipe = configuration.recipe
    facts, task = configuration.facts[label_told(model)], segmentation_of(model)
    names = task.segment_names if task is not None else ("features",)
    image = {
        "type": "image",
        "modality": "MR",
        "spatial_shape": [facts.rows, facts.columns],
        "dtype": "float32",
        "value_range": [],
        "is_patch_data": False,
    }
    told = "magnitude", "segmentation" if task is not None else "raw"
    return {
        "schema": "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json",
        "version": BUNDLE_VERSION,
        "changelog": {BUNDLE_VERSION: "as trained"},
        "monai_version": monai.__version__,
        "pytorch_version": torch.__version__.split("+")[0],
        "numpy_version": np.__version__,
        "required_packages_version": {},
        "name": recipe.name,
        "task": " and ".join(learned(model, configuration)),
        "description": f"{recipe.name}, trained with anatprep. {recipe.paper}".strip(),
        "authors": "",
        "copyright": "",
        "intended_use": "Research only; not a medical device.",
        "network_data_format": {
            "inputs": {
                "image": {**image, "format": told[0], "num_channels": 1, "channel_def": {"0": "image"}}
            },
            "outputs": {
                "pred": {
                    **image,
                    "format": told[1],
                    "num_channels": len(names),
                    "channel_def": {str(number): name for number, name in enumerate(names)},
                }
            },
        },
    }


READ_ME = """# {name}

Trained with anatprep ({learned}) on {rows} x {columns} pixels of {spacing_mm:g} mm, normalised by
{normalise}. {paper}

    import monai

    workflow = monai.bundle.create_workflow(
        config_file="BUNDLE/configs/inference.json", workflow_type="inference",
        bundle_root="BUNDLE", dataset_dir="IMAGES",
    )
    workflow.network_def  # with its weights

BUNDLE is this folder, IMAGES one with images: each file is one 2D image (NIfTI, PNG, DICOM). Its
normalisation is over the image it is given: give it what the line above says.{rest}

Not a medical device.
"""

RUNS = """

    (said,) = workflow.run()  # for each image, sorted by name: `pred` holds the numbers of its classes

writes nothing. With `output_dir="OUT"` in the call above, too, or in

    monai.bundle.run(
        config_file="BUNDLE/configs/inference.json",
        bundle_root="BUNDLE", dataset_dir="IMAGES", output_dir="OUT",
    )

it writes the classes of NAME to OUT/NAME_seg.nii.gz, too. A `pred` is (channel, column, row), as MONAI reads
images, and its `meta` names the file. `workflow.evaluator` has `run` and no more: it is no
engine of pytorch-ignite, and takes no handlers."""

RUNS_NOT = """ `workflow.dataset`
holds them prepared, (row, column).

It is for fine-tuning: trained were the {parts} only, all else of the network, its output layer among it,
is as it was made. So there is nothing to run: `run` is absent and `evaluator` is null."""


def _read_me(model: Model, configuration: Configuration) -> str:
    recipe, facts = configuration.recipe, configuration.facts[label_told(model)]
    rest = RUNS if segmentation_of(model) is not None else RUNS_NOT
    return READ_ME.format(
        name=recipe.name,
        learned=" and ".join(learned(model, configuration)),
        rows=facts.rows,
        columns=facts.columns,
        spacing_mm=facts.spacing_mm,
        normalise=recipe.normalise,
        paper=recipe.paper,
        rest=rest.format(parts=" and ".join(configuration.trained)),
    )


def _json(content: Any) -> bytes:
    return (json.dumps(content, indent=1) + "\n").encode()
