"""The entry point: knows every command, and turns errors into one line and an exit code.

No command module imports torch, zarr, polars or pydicom at its top, so that
``anatprep --help`` and a mistyped option answer at once.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from cli.build_targets import build_targets
from cli.console import print_json
from cli.demo import demo
from cli.diagnose import diagnose
from cli.evaluate import evaluate
from cli.experiment import experiment
from cli.explain import explain
from cli.export import export
from cli.import_labels import import_labels
from cli.index import index
from cli.phantom import phantom
from cli.predict import predict
from cli.publish import publish
from cli.report import report
from cli.show import show
from cli.train import train
from cli.verify import verify
from dicomgeom.errors import EXIT_DONE, EXIT_WRONG_USE, AnatprepError, first_line, in_plain_words

OWN = frozenset({"cli", "dicomgeom", "phantoms", "pretext_targets", "reporting", "training"})
"""Our packages: when one of them is not found the installation is broken, not incomplete."""

EXIT_UNEXPECTED = 1
EXIT_INTERRUPTED = 130

ROOM_ON_A_GPU = "end what else runs on it, or take --device cpu"

app = typer.Typer(
    name="anatprep",
    help="Training labels for free from the imaging planes of heart and knee MR exams.\n\n"
    "The whole way: anatprep index /pacs/export, anatprep build-targets, anatprep train.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for _name, _command in (
    ("index", index),
    ("show", show),
    ("explain", explain),
    ("build-targets", build_targets),
    ("import-labels", import_labels),
    ("verify", verify),
    ("publish", publish),
    ("train", train),
    ("evaluate", evaluate),
    ("diagnose", diagnose),
    ("predict", predict),
    ("export", export),
    ("experiment", experiment),
    ("report", report),
    ("phantom", phantom),
    ("demo", demo),
):
    app.command(_name)(_command)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"anatprep {version('anatprep')}")
        raise typer.Exit


@app.callback()
def anatprep(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Take the options that stand before the command; `run` has looked at them already."""


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        The words after ``anatprep``; those of the shell by default.

    Returns
    -------
    int
        0 done, 2 wrong use, 3 some input skipped, 4 nothing usable, 5 integrity, 130
        interrupted, 1 for a mistake in anatprep itself.
    """
    words = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    try:
        code = app(args=words, prog_name="anatprep", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        code = EXIT_INTERRUPTED
    except AnatprepError as error:
        return _fail(words, str(error), error.exit_code)
    except Exception as error:  # noqa: BLE001  the last stop: no traceback may reach a user
        return _fail(words, *_spell_foreign(error, words))
    if code == EXIT_INTERRUPTED:  # Typer itself turns an interrupt into this code
        return _fail(words, "interrupted; run the same command again to go on", EXIT_INTERRUPTED)
    return code if isinstance(code, int) else EXIT_DONE


def _spell_foreign(error: Exception, words: Sequence[str]) -> tuple[str, int]:
    """Spell an error that is not ours, and choose its exit code."""
    message = getattr(error, "format_message", None)
    if callable(message):  # Typer's own: a wrong option, a missing argument
        said = in_plain_words(str(message())).rstrip(".")
        return f"{said}; see `anatprep {_command_of(words)}--help`", EXIT_WRONG_USE
    if isinstance(error, OSError):  # a full disk, a folder without permission
        what = f"{error.strerror or error}" + (f": {error.filename}" if error.filename else "")
        return f"{what}; check the path, its permissions and the free space", EXIT_WRONG_USE
    if type(error).__name__ == "OutOfMemoryError":  # torch's, without importing torch
        return f"the GPU has too little free memory ({first_line(error)}); {ROOM_ON_A_GPU}", EXIT_WRONG_USE
    if isinstance(error, ModuleNotFoundError) and error.name and error.name.partition(".")[0] not in OWN:
        return (
            f"{error.name} is not installed; install anatprep with its extras: anatprep[all]",
            EXIT_WRONG_USE,
        )
    text = (
        f"unexpected {type(error).__name__}: {error}; this is a mistake in anatprep, "
        "`anatprep --debug ...` shows the traceback for a report"
    )
    return text, EXIT_UNEXPECTED


def _command_of(words: Sequence[str]) -> str:
    known = {command.name for command in app.registered_commands}
    return next((f"{word} " for word in words if word in known), "")


def _fail(words: Sequence[str], text: str, exit_code: int) -> int:
    """Say what went wrong in one line, and on request as a JSON object and a traceback."""
    if "--debug" in words:
        traceback.print_exc()
    line = " ".join(text.split())
    prefix = "" if exit_code == EXIT_INTERRUPTED else "error: "
    sys.stderr.write(f"{prefix}{line}\n")
    if "--json" in words:
        print_json({"error": line, "exit_code": exit_code})
    return exit_code


if __name__ == "__main__":
    sys.exit(run())
