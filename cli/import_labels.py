"""`anatprep import-labels`: manual segmentations become a labelled store of the same schema."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import Screen
from cli.options import Json
from cli.stores import load_on_grid, refuse_empty, show_store
from cli.workspace import command_line
from dicomgeom.errors import WrongUse

if TYPE_CHECKING:
    from dicomgeom.progress import Progress
    from pretext_targets.annotations import Annotations
    from pretext_targets.build import BuildPlan
    from pretext_targets.protocol import Protocol


class Kind(Enum):
    """How the annotations of a catalogue's images are written."""

    SEG = "seg"
    CONTOURS = "contours"


def import_labels(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="CATALOGUE|FOLDER", help="What `anatprep index` wrote, or a folder of NIfTI files."
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="The store to write.")],
    segmentations: Annotated[
        Path | None,
        typer.Argument(
            metavar="SEGMENTATIONS", help="A folder with annotations of the catalogue's images, see --kind."
        ),
    ] = None,
    kind: Annotated[
        Kind, typer.Option("--kind", help="DICOM SEG objects, or contour files as Sunnybrook has them.")
    ] = Kind.SEG,
    manifest: Annotated[
        str | None,
        typer.Option("--manifest", help="Of a folder of NIfTI files: acdc, mms, mms-2 or a TOML file."),
    ] = None,
    protocol: Annotated[
        str, typer.Option("--protocol", help="The grid and the views: a shipped name or a TOML file.")
    ] = "cardiac-sax",
    size: Annotated[int | None, typer.Option("--size", min=16, help="Rows and columns of the grid.")] = None,
    spacing_mm: Annotated[float | None, typer.Option("--spacing-mm", help="Spacing of the grid.")] = None,
    salt_file: Annotated[
        Path | None, typer.Option("--salt-file", help="Of a folder of NIfTI files: the salt of the keys.")
    ] = None,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Processes on this machine.")] = 1,
    json: Json = False,
) -> None:
    """Match manual annotations with the images they were drawn on, and build a labelled store.

    Images without an annotation stay in it as not annotated.
    """
    screen = Screen(as_json=json)
    if (segmentations is None) == (manifest is None):
        raise WrongUse("give CATALOGUE and SEGMENTATIONS, or a FOLDER of NIfTI files and its --manifest")

    from pretext_targets.build import build
    from training.recipe import shipped_recipes

    wanted = load_on_grid(protocol, size=size, spacing_mm=spacing_mm)
    with screen.progress() as progress:
        if segmentations is None:
            plan = _plan_folder(source, wanted, str(manifest), salt_file, progress)
        else:
            plan = _plan_catalogue(source, wanted, segmentations, kind, progress)
        summary = build(plan, output, workers=workers, progress=progress)
    show_store(screen, summary)
    refuse_empty(summary)
    fitting = f"segment-{wanted.carrier.lower()}"
    recipe = fitting if fitting in shipped_recipes() else "RECIPE"
    screen.next_command(command_line("anatprep", "train", recipe, "--store", output, "-o", "RUN"))
    screen.finish(summary.as_json(), skipped=bool(summary.left_out or summary.invalid))


def _plan_folder(
    folder: Path, wanted: Protocol, manifest: str, salt_file: Path | None, progress: Progress
) -> BuildPlan:
    from dicomgeom.data_manifest import load_data_manifest
    from dicomgeom.privacy import read_salt
    from pretext_targets.nifti_sets import plan_nifti

    salt = b"" if salt_file is None else read_salt(salt_file)
    return plan_nifti(folder, wanted, load_data_manifest(manifest), salt=salt, progress=progress)


def _plan_catalogue(
    catalogue: Path, wanted: Protocol, segmentations: Path, kind: Kind, progress: Progress
) -> BuildPlan:
    from dicomgeom.catalogue import open_catalogue
    from pretext_targets.build import plan_build
    from pretext_targets.contours import index_contours
    from pretext_targets.labelled import index_segmentations

    if not segmentations.is_dir():
        raise WrongUse(f"{segmentations} is no folder; give the folder that holds the annotations")
    opened = open_catalogue(catalogue)
    found: Annotations
    if kind is Kind.CONTOURS:
        found = index_contours(segmentations, opened, progress=progress)
    else:
        found = index_segmentations(segmentations, progress=progress)
    return plan_build(opened, wanted, segmentations=found)
