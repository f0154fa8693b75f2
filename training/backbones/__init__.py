"""Networks behind one small face, and which of them a recipe names."""

from __future__ import annotations

from training.backbones.alexnet import AlexNetBackbone
from training.backbones.backbone import Backbone
from training.backbones.basic_unet import BasicUNetBackbone
from training.backbones.dyn_unet import DynUNetBackbone
from training.settings import BackboneSettings

__all__ = ["AlexNetBackbone", "Backbone", "BasicUNetBackbone", "DynUNetBackbone", "make_backbone"]


def make_backbone(settings: BackboneSettings) -> Backbone:
    """The network a recipe names."""
    if settings.kind == "dyn-unet":
        return DynUNetBackbone(settings.width, settings.levels or 7, settings.norm)
    if settings.kind == "alexnet":
        return AlexNetBackbone(settings.width)
    return BasicUNetBackbone(settings.width, settings.norm)
