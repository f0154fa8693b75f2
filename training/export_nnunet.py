"""A DynUNet as pretrained weights of nnU-Net v2 (Isensee et al., Nature Methods 2021).

``nnUNetv2_train ... -pretrained_weights checkpoint_final.pth`` takes every tensor of its PlainConvUNet but
the output layers, so each must be there with the shape it has in the user's plans: as many stages and
channels, two convolutions each, 2D kernels of 3. MONAI's convolutions have no bias where a norm follows;
nnU-Net's have, and get zeros, which changes nothing. nnU-Net's modules list convolution and norm under a
second name, too.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from dicomgeom.errors import WrongUse
from training.backbones import DynUNetBackbone
from training.model import Configuration, Model

ENCODER_AGAIN = "decoder.encoder."
"""nnU-Net's decoder holds the encoder, so that every tensor of it has a second name."""


def nnunet_files(model: Model, configuration: Configuration) -> dict[str, bytes]:
    """The checkpoint, and what the plans must say to take it.

    Raises
    ------
    WrongUse
        Any other network than a DynUNet.
    """
    backbone = model.backbone
    if not isinstance(backbone, DynUNetBackbone):
        raise WrongUse(
            f"nnU-Net takes the weights of a dyn-unet, this run is a {configuration.recipe.backbone.kind}; "
            'train with --set backbone.kind="dyn-unet"'
        )
    buffer = io.BytesIO()
    torch.save(
        {
            "network_weights": nnunet_weights(backbone),
            "trainer_name": "nnUNetTrainer",
            "init_args": {},
            "current_epoch": 0,
        },
        buffer,
    )
    plans = json.dumps({"architecture": architecture_of(backbone, configuration)}, indent=1) + "\n"
    return {"checkpoint_final.pth": buffer.getvalue(), "architecture.json": plans.encode()}


def nnunet_weights(backbone: DynUNetBackbone) -> dict[str, Tensor]:
    """The tensors of encoder and decoder as PlainConvUNet names them; without output layers."""
    parts = backbone.parts()
    named: dict[str, Tensor] = {}
    for stage, block in enumerate(parts["encoder"]):
        for name, values in _convolutions(block.state_dict(), ""):
            named[f"encoder.stages.{stage}.0.convs.{name}"] = values
    named |= {f"{ENCODER_AGAIN}{name.removeprefix('encoder.')}": v for name, v in list(named.items())}
    for stage, block in enumerate(parts["decoder"]):
        state = block.state_dict()
        for name, values in _convolutions(state, "conv_block."):
            named[f"decoder.stages.{stage}.convs.{name}"] = values
        for kind in ("weight", "bias"):
            named[f"decoder.transpconvs.{stage}.{kind}"] = state[f"transp_conv.conv.{kind}"]
    return {name: values.detach().cpu().contiguous() for name, values in named.items()}


def _convolutions(state: dict[str, Tensor], prefix: str) -> Iterator[tuple[str, Tensor]]:
    """Both convolutions of a block with their norms, under both of their names."""
    for number in (1, 2):
        weight = state[f"{prefix}conv{number}.conv.weight"]
        told: dict[str, Tensor] = {"conv.weight": weight, "conv.bias": torch.zeros(len(weight))}
        norm = f"{prefix}norm{number}."
        told |= {f"norm.{name.removeprefix(norm)}": v for name, v in state.items() if name.startswith(norm)}
        for name, values in told.items():
            kind, rest = name.split(".", 1)
            yield f"{number - 1}.{name}", values
            yield f"{number - 1}.all_modules.{0 if kind == 'conv' else 1}.{rest}", values


def architecture_of(backbone: DynUNetBackbone, configuration: Configuration) -> dict[str, Any]:
    """The part of nnU-Net's plans that describes this network."""
    levels = len(backbone.encoder_channels)
    batch = configuration.recipe.backbone.norm == "batch"
    return {
        "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
        "arch_kwargs": {
            "n_stages": levels,
            "features_per_stage": list(backbone.encoder_channels),
            "conv_op": "torch.nn.modules.conv.Conv2d",
            "kernel_sizes": [[3, 3]] * levels,
            "strides": [[1, 1]] + [[2, 2]] * (levels - 1),
            "n_conv_per_stage": [2] * levels,
            "n_conv_per_stage_decoder": [2] * (levels - 1),
            "conv_bias": True,
            "norm_op": "torch.nn.modules.batchnorm.BatchNorm2d"
            if batch
            else "torch.nn.modules.instancenorm.InstanceNorm2d",
            "norm_op_kwargs": {"eps": 1e-05, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }
