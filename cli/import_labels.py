"""`anatprep import-labels`: manual segmentations become a labelled store of the same schema."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.annotated import show_annotations
from cli.console import Screen
from cli.options import CompressionOption, FramesOption, Json, SizeOption
from cli.stores import known_tissues, load_on_grid, refuse_empty, show_store
from cli.workspace import command_line
from dicomgeom.errors import WrongUse

if TYPE_CHECKING:
    from dicomgeom.progress import Progress
    from pretext_targets.annotations import Annotations
    from pretext_targets.build import BuildPlan, BuildSummary
    from pretext_targets.protocol import Protocol
    from pretext_targets.tissues import TissueIndex


class Kind(Enum):
    """How the annotations of a catalogue's images are written."""

    SEG = "seg"
    CONTOURS = "contours"


def import_labels(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="CATALOGUE|FOLDER",
            help="What `anatprep index` wrote, or a folder of NIfTI files or NumPy arrays.",
        ),
    ],
    output: Annotated[
        str, typer.Option("-o", "--output", metavar="PATH|URL", help="The store to write, s3://... too.")
    ],
    segmentations: Annotated[
        Path | None,
        typer.Argument(
            metavar="SEGMENTATIONS", help="A folder with annotations of the catalogue's images, see --kind."
        ),
    ] = None,
    kind: Annotated[
        Kind | None,
        typer.Option(
            "--kind",
            help="DICOM SEG objects, or contour files as Sunnybrook has them.",
            show_default=Kind.SEG.value,
        ),
    ] = None,
    first_pixel: Annotated[
        int | None,
        typer.Option(
            "--first-pixel",
            min=0,
            max=1,
            help="Of contours: what the first pixel's centre is called.",
            show_default="1",
        ),
    ] = None,
    manifest: Annotated[
        str | None,
        typer.Option("--manifest", help="Of a FOLDER: acdc, mms, mms-2, mrnet or a TOML file."),
    ] = None,
    protocol: Annotated[
        str, typer.Option("--protocol", help="The grid and the views: a shipped name or a TOML file.")
    ] = "cardiac-sax",
    size: SizeOption = None,
    spacing_mm: Annotated[float | None, typer.Option("--spacing-mm", help="Spacing of the grid.")] = None,
    frames: FramesOption = None,
    salt_file: Annotated[
        Path | None,
        typer.Option("--salt-file", help="Of a FOLDER: the salt of the keys; public sets need none."),
    ] = None,
    tissues: Annotated[
        Path | None,
        typer.Option("--tissues", metavar="TRUTH", help="As in build-targets.", show_default=False),
    ] = None,
    compression: CompressionOption = None,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Processes on this machine.")] = 1,
    json: Json = False,
) -> None:
    """Match manual annotations with the images they were drawn on, and build a labelled store.

    Images without an annotation stay in it as not annotated.
    """
    screen = Screen(as_json=json)
    if (segmentations is None) == (manifest is None):
        raise WrongUse("give CATALOGUE and SEGMENTATIONS, or a FOLDER of files and its --manifest")
    _check_fitting(manifest is not None, kind, first_pixel, salt_file, tissues)

    from pretext_targets.build import build
    from training.recipe import shipped_recipes

    wanted = load_on_grid(protocol, size=size, spacing_mm=spacing_mm, frames=frames)
    known = known_tissues(screen, tissues)
    with screen.progress() as progress:
        if segmentations is None:
            plan = _plan_folder(source, wanted, str(manifest), salt_file, progress)
        else:
            plan = _plan_catalogue(source, wanted, segmentations, kind, first_pixel, known, progress)
        packed: Any = compression.value if compression else None
        summary = build(plan, output, compression=packed, workers=workers, progress=progress)
    show_store(screen, summary)
    refuse_empty(summary)
    told = show_annotations(screen, summary)
    if summary.anything_annotated:
        fitting = f"segment-{wanted.carrier.lower()}"
        recipe = fitting if fitting in shipped_recipes() else "RECIPE"
        recipe = "diagnose-knee" if plan.finding_names and not plan.segment_names else recipe
        screen.next_command(command_line("anatprep", "train", recipe, "--store", output, "-o", "RUN"))
    else:
        screen.say(f"nothing to fine-tune on: {_lacking(summary, plan)}")
    screen.finish(summary.as_json() | told, skipped=summary.some_skipped)


def _lacking(summary: BuildSummary, plan: BuildPlan) -> str:
    """What a store lacks of which nothing can be learned."""
    if plan.segmentations is None:
        return "the set has no label maps, and no table of findings (*.csv) lies in its folder"
    if not summary.annotated:
        return "no annotation could be used, the reasons stand above"
    return "nothing is drawn in the annotations but background; check labels.codes of the manifest"


def _check_fitting(
    of_folder: bool,
    kind: Kind | None,
    first_pixel: int | None,
    salt_file: Path | None,
    tissues: Path | None,
) -> None:
    """Raise for an option that would do nothing here."""
    if of_folder:
        given = {"--tissues": tissues, "--kind": kind, "--first-pixel": first_pixel}
        belongs = "a CATALOGUE, not with a FOLDER of files"
    else:
        given = {"--salt-file": salt_file}
        belongs = "a FOLDER; a CATALOGUE has a salt of its own"
        if kind is not Kind.CONTOURS and first_pixel is not None:
            raise WrongUse("--first-pixel goes with --kind contours")
    for option, value in given.items():
        if value is not None:
            raise WrongUse(f"{option} goes with {belongs}")


def _plan_folder(
    folder: Path, wanted: Protocol, manifest: str, salt_file: Path | None, progress: Progress
) -> BuildPlan:
    from dicomgeom.data_manifest import load_data_manifest, shipped_data_manifests
    from dicomgeom.folder_marks import looks_like
    from dicomgeom.privacy import read_salt
    from pretext_targets.array_sets import plan_arrays
    from pretext_targets.nifti_sets import plan_nifti

    described = load_data_manifest(manifest)
    if (what := looks_like(folder)) in ("catalogue", "store", "run"):
        raise WrongUse(f"{folder} is a {what}; with --manifest give the folder of the data set's own files")
    if salt_file is None and manifest not in shipped_data_manifests():
        # Public names of public patients need no secret; a hospital's own could be guessed without one.
        raise WrongUse(
            "the patients of a set of your own need a salt for their keys: write a random one to a file you "
            "keep (openssl rand -hex 32 > salt.txt) and give --salt-file salt.txt"
        )
    salt = b"" if salt_file is None else read_salt(salt_file)
    plan = plan_arrays if described.format == "npy" else plan_nifti
    return plan(folder, wanted, described, salt=salt, progress=progress)


def _plan_catalogue(
    catalogue: Path,
    wanted: Protocol,
    segmentations: Path,
    kind: Kind | None,
    first_pixel: int | None,
    tissues: TissueIndex | None,
    progress: Progress,
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
        how = {} if first_pixel is None else {"first_pixel": first_pixel}
        found = index_contours(segmentations, opened, **how, progress=progress)
    else:
        found = index_segmentations(segmentations, progress=progress)
    return plan_build(opened, wanted, segmentations=found, tissues=tissues)
