"""Whether a store has what a recipe learns from; decided from what the store says about itself."""

from __future__ import annotations

from pretext_targets.store import StoreAttributes
from training.recipe import Recipe

NEEDS = {
    "app": "box_names",
    "orientation": "partners",
    "mtl": "partners",
    "segmentation": "segment_names",
    "findings": "finding_names",
}
"""Task -> what must not be empty in the store's description for its labels to be there."""


def unfit_because(recipe: Recipe, name: str, attributes: StoreAttributes) -> str:
    """Why a store cannot be the one that a recipe calls `name`; empty when it can."""
    view = str(attributes.protocol.get("carrier", ""))
    if recipe.view and view != recipe.view:
        return f"holds {view} images, the recipe is for {recipe.view}"
    tasks = [stream.task for stream in recipe.streams if stream.store == name]
    missing = [
        f"{NEEDS[task]} for {task}"
        for task in tasks
        if task in NEEDS and not getattr(attributes, NEEDS[task])
    ]
    if missing:
        return f"has no {', no '.join(missing)}"
    wanted = recipe.tasks.segmentation.structures
    if "segmentation" in tasks and wanted and not set(wanted) & set(attributes.segment_names):
        return f"has none of the structures {', '.join(wanted)}"
    return ""
