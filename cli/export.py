"""`anatprep export`: a run's weights for other programs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli.console import Screen, counted
from cli.options import Json


class Form(StrEnum):
    """Whom it is for."""

    SAFETENSORS = "safetensors"
    NNUNET = "nnunet"
    MONAI = "monai"
    HF = "hf"


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="What `anatprep train` wrote.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="A new folder.")],
    form: Annotated[
        Form,
        typer.Option(
            "--to",
            help="safetensors: weights and a config; nnunet: weights for nnU-Net v2, of a dyn-unet; "
            "monai: a bundle; hf: a folder for the Hugging Face Hub.",
        ),
    ] = Form.SAFETENSORS,
    json: Json = False,
) -> None:
    """Hand the weights of a finished run to another program."""
    screen = Screen(as_json=json)

    from training.export import export_run

    summary = export_run(run, output, form.value)
    screen.heading(f"{counted(summary.tensors, 'tensor')} in {output}")
    for name in summary.files:
        screen.say(name)
    screen.finish(summary.as_json())
