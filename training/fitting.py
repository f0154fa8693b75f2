"""Whether a store has what a recipe learns from, and is what the recipe is for: by what it says of itself."""

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


HOW_TO_MAKE = {"segmentation": "import-labels", "findings": "build-targets --findings TABLE"}
"""Task -> the command that writes stores with its annotations."""


def command_for(recipe: Recipe, name: str) -> str:
    """The command that writes what can be the store that a recipe calls `name`."""
    tasks = [stream.task for stream in recipe.streams if stream.store == name]
    return next((HOW_TO_MAKE[task] for task in tasks if task in HOW_TO_MAKE), "build-targets")


def is_published_for(recipe: Recipe, view: str) -> bool:
    """Whether the settings of a recipe were published for images of this view, or for none in particular."""
    return not recipe.published_for or view in recipe.published_for


def beyond_the_paper(recipe: Recipe, label: str, view: str) -> list[str]:
    """A note on a stream whose store holds other images than the recipe was published for; or none."""
    if is_published_for(recipe, view):
        return []
    published = ", ".join(recipe.published_for)
    said = f"the settings of {recipe.name} are those for {published} images, this store holds {view} images"
    return [f"{label}: {said}; the recipe says what differs"]


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
