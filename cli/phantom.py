"""`anatprep phantom`: an export of digital patients with known truth."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli.console import Screen, counted
from cli.options import Json
from cli.workspace import command_line


class Anatomy(StrEnum):
    """What the digital patients have scanned."""

    CARDIAC = "cardiac"
    KNEE = "knee"


class Vendor(StrEnum):
    """Whose habits the files follow."""

    SIEMENS = "siemens"
    GE = "ge"
    PHILIPS = "philips"
    CANON = "canon"


def phantom(
    folder: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="The export to write.", show_default=False)
    ] = None,
    exams: Annotated[int, typer.Option("--exams", min=1, help="How many exams, one a patient.")] = 4,
    anatomy: Annotated[Anatomy, typer.Option("--anatomy", help="What was scanned.")] = Anatomy.CARDIAC,
    seed: Annotated[int, typer.Option("--seed", help="Equal seeds give equal patients.")] = 0,
    truth: Annotated[
        Path | None, typer.Option("--truth", help="Where the truth goes.", show_default="DIR-truth")
    ] = None,
    phases: Annotated[
        int | None, typer.Option("--phases", min=2, help="Phases of each cine.", show_default="20 to 30")
    ] = None,
    vendor: Annotated[
        Vendor | None,
        typer.Option("--vendor", help="Whose habits the files follow.", show_default="drawn for each exam"),
    ] = None,
    trap: Annotated[
        list[str] | None,
        typer.Option(
            "--trap",
            metavar="NAME",
            help="A pitfall of real exports that every exam shall have; again for more. See --list-traps.",
            show_default=False,
        ),
    ] = None,
    list_traps: Annotated[
        bool, typer.Option("--list-traps", help="Say which traps there are, and write nothing.")
    ] = False,
    angle_error_deg: Annotated[
        float,
        typer.Option(
            "--angle-error-deg",
            min=0,
            max=45,
            help="By how much the operator misses planes; twice that at most.",
        ),
    ] = 3.0,
    shift_error_mm: Annotated[
        float, typer.Option("--shift-error-mm", min=0, max=50, help="The same for positions.")
    ] = 2.0,
    tissues: Annotated[
        bool,
        typer.Option("--tissues/--no-tissues", help="Tell what every pixel is made of."),
    ] = True,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Exams written side by side.")] = 1,
    json: Json = False,
) -> None:
    """Write digital patients as a DICOM export, and beside it the truth about them.

    Hearts (cines of the short axis and three long axes, some with late enhancement and flow) and knees
    (proton density with fat suppression in three planes, sagittal T1), filed as Siemens, GE, Philips and
    Canon file them. DIR-truth holds tables (exams, series, images, landmarks, volumes), the segments of
    every frame as DICOM SEG and as NIfTI, and the tissue of every pixel. Nobody is in it.

    The same command again finishes what was interrupted, more --exams add to it; a folder that holds
    anything else, more exams, or exams of other options is refused.

    Example: anatprep phantom export --exams 8 --trap zipped --trap frame-per-file
    """
    screen = Screen(as_json=json)

    from dicomgeom.errors import WrongUse
    from phantoms.traps import TRAPS

    if list_traps:
        screen.table(("trap", "what it is"), list(TRAPS.items()))
        screen.finish({"traps": dict(TRAPS)})
        return
    if folder is None:
        raise WrongUse("say where to write: anatprep phantom DIR")

    from phantoms.export import write_exams
    from phantoms.options import ExportOptions
    from phantoms.prescription import OperatorError

    options = ExportOptions(
        vendor=vendor.value if vendor else None,
        operator=OperatorError(angle_error_deg, shift_error_mm),
        traps=tuple(trap or ()),
        tissues=tissues,
    )
    with screen.progress() as progress:
        summary = write_exams(
            folder,
            exams=exams,
            anatomy=anatomy.value,
            seed=seed,
            truth=truth,
            workers=workers,
            phases=phases,
            options=options,
            progress=progress,
        )
    screen.heading(f"{counted(summary.exams, 'exam')}, {counted(summary.files, 'file')} in {summary.folder}")
    screen.say(f"truth in {summary.truth}")
    screen.next_command(command_line("anatprep", "index", summary.folder))
    screen.finish(summary.as_json())
