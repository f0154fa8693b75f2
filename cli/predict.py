"""`anatprep predict`: segmentations of unannotated images, handed back as NIfTI or DICOM SEG."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli.console import Screen, counted
from cli.evaluate import Split
from cli.given_stores import given_store
from cli.options import Device, Json
from dicomgeom.errors import NothingUsable, WrongUse


class Form(StrEnum):
    """How predictions are written."""

    NIFTI = "nifti"
    SEG = "seg"


def predict(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A finished run that segments.")],
    store: Annotated[str, typer.Option("--store", help="The images: a store that build-targets wrote.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="A new folder for the files.")],
    form: Annotated[
        Form, typer.Option("--to", help="nifti: named by salted keys; seg: DICOM, needs --catalogue.")
    ] = Form.NIFTI,
    catalogue: Annotated[
        Path | None, typer.Option("--catalogue", help="The catalogue that the store was built from.")
    ] = None,
    split: Annotated[Split, typer.Option("--split", help="Whose patients.")] = Split.ALL,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Segment the images of a store and write the result for each stack.

    DICOM SEG objects carry the patient's identity and lie on the images' own pixels; NIfTI files lie
    on the store's grid, in the patient's coordinates.
    """
    screen = Screen(as_json=json)
    if (form is Form.SEG) != (catalogue is not None):
        raise WrongUse("--to seg finds the images through --catalogue, and only --to seg needs one")
    if output.exists() and any(output.iterdir()):
        raise WrongUse(f"{output} is not empty; choose a new folder")
    store = given_store(store)

    from training.predict import predict as segment

    written = stacks = 0
    with screen.progress() as progress:
        said = segment(run, store, split=split.value, device=device, progress=progress)
        output.mkdir(parents=True, exist_ok=True)
        if form is Form.NIFTI:
            from pretext_targets.predicted_nifti import write_nifti

            for stack in said.stacks:
                written, stacks = written + len(write_nifti(output, stack)), stacks + 1
        else:
            written, stacks = _write_segs(run, output, catalogue, list(said.stacks))
    if not written:
        raise NothingUsable(
            "the catalogue knows none of the store's stacks; give the one that the store was built from"
        )
    screen.heading(f"{counted(written, 'file')} of {counted(stacks, 'stack')} in {output}")
    left_out = said.images_left_out
    if left_out:
        screen.say(f"note: {counted(left_out, 'image')} left out, whose pixels cannot be used")
    result = {"output": output, "form": form.value, "files": written, "stacks": stacks}
    screen.finish(result | {"images_left_out": left_out}, skipped=bool(left_out))


def _write_segs(run: Path, output: Path, catalogue: Path | None, predicted: list[object]) -> tuple[int, int]:
    from dicomgeom.catalogue import open_catalogue
    from pretext_targets.attributes import this_software
    from pretext_targets.predicted_seg import Writer, write_segs
    from training.evaluate import weights_sha256

    assert catalogue is not None
    network = weights_sha256(run)[:16]
    writer = Writer("anatprep", this_software(), network)
    return len(write_segs(output, open_catalogue(catalogue), predicted, writer)), len(predicted)  # type: ignore[arg-type]
