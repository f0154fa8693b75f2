"""`anatprep build-targets`: images and the labels that geometry gives them, as Zarr stores."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.console import Screen
from cli.options import (
    CatalogueArgument,
    CentreOption,
    CompressionOption,
    FramesOption,
    Json,
    SizeOption,
    WorkspaceFolder,
)
from cli.stores import known_findings, known_tissues, load_on_grid, refuse_empty, show_reasons, show_store
from cli.workspace import Workspace, command_line
from dicomgeom.errors import NothingUsable, WrongUse

if TYPE_CHECKING:
    from dicomgeom.catalogue import Catalogue
    from pretext_targets.build import BuildPlan, BuildSummary
    from pretext_targets.findings import Findings
    from pretext_targets.places import Where
    from pretext_targets.protocol import Protocol
    from pretext_targets.tissues import TissueIndex


def build_targets(
    catalogue: CatalogueArgument = None,
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            metavar="PATH|URL",
            help="The store to write, s3://bucket/name.zarr too; needs one --protocol.",
            show_default="in the workspace",
        ),
    ] = None,
    protocols: Annotated[
        list[str] | None,
        typer.Option(
            "--protocol",
            help="A shipped name or a TOML file; may be repeated.",
            show_default="every shipped one that the catalogue has images for",
        ),
    ] = None,
    size: SizeOption = None,
    spacing_mm: Annotated[float | None, typer.Option("--spacing-mm", help="Spacing of the grid.")] = None,
    centre: CentreOption = None,
    frames: FramesOption = None,
    rasters: Annotated[
        bool,
        typer.Option(
            "--rasters/--no-rasters", help="Store boxes and heatmaps drawn, not only as parameters."
        ),
    ] = True,
    tissues: Annotated[
        Path | None,
        typer.Option(
            "--tissues",
            metavar="TRUTH",
            help="Of phantoms: the truth, to store what every pixel is made of.",
            show_default=False,
        ),
    ] = None,
    findings: Annotated[
        list[Path] | None,
        typer.Option(
            "--findings",
            metavar="TABLE",
            help="What is known of the exams: CSV, Parquet, or the truth of phantoms; may be repeated.",
            show_default=False,
        ),
    ] = None,
    compression: CompressionOption = None,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Processes on this machine.")] = 1,
    scheduler: Annotated[
        str | None, typer.Option("--scheduler", help="A running dask cluster, tcp://..., without --workers.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be built.")] = False,
    workspace: WorkspaceFolder = None,
    json: Json = False,
) -> None:
    """Build the training stores; a build that was killed goes on where it stopped."""
    screen = Screen(as_json=json)
    if output is not None and len(protocols or ()) != 1:
        raise WrongUse(
            f"-o names one store, {len(protocols or ())} protocols were named; give one --protocol"
        )
    room = Workspace.at(workspace)
    folder = room.catalogue_or(catalogue)

    from dicomgeom.catalogue import open_catalogue
    from dicomgeom.workers import check_one_kind

    check_one_kind(workers, scheduler)
    grid = {"size": size, "spacing_mm": spacing_mm, "centre": centre, "frames": frames}
    wanted = _protocols(protocols, grid)
    opened = open_catalogue(folder)
    known = known_tissues(screen, tissues)
    told, matched = known_findings(screen, findings, opened)
    plans, not_built = _plans(opened, wanted, tissues=known, findings=told)
    if not plans:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in not_built.items())
        raise NothingUsable(
            f"{folder} has no images for any protocol ({reasons}); "
            f"see: anatprep show {shlex.quote(str(folder))}"
        )
    how = {"rasters": rasters, "compression": compression.value if compression else None, "workers": workers}
    if dry_run:
        _dry_run(screen, plans, not_built, matched, **how)
        return
    built = {
        name: _build(screen, plan, output or room.create().store(name), scheduler=scheduler, **how)
        for name, plan in plans.items()
    }
    for name, reason in not_built.items():
        screen.say(f"{name}: not built, {reason}")
    _name_next(screen, room, built, named=output is not None)
    screen.finish(
        {"stores": {name: summary.as_json() for name, summary in built.items()}, "not_built": not_built}
        | matched,
        skipped=any(summary.left_out or summary.invalid for summary in built.values()),
    )


def _protocols(named: Sequence[str] | None, grid: Mapping[str, Any]) -> list[Protocol]:
    """The protocols that are asked for, each of a name of its own: a store is called by it.

    Raises
    ------
    WrongUse
        When one cannot be read, or two have one name.
    """
    from pretext_targets.protocol import shipped_protocols

    protocols = [load_on_grid(one, **grid) for one in named or shipped_protocols()]
    several = [name for name, count in Counter(one.name for one in protocols).items() if count > 1]
    if several:
        raise WrongUse(
            f"several protocols are named {', '.join(several)}, and their stores would be one; "
            "give each file a `name` of its own, and each protocol once"
        )
    return protocols


def _plans(
    catalogue: Catalogue,
    protocols: Sequence[Protocol],
    *,
    tissues: TissueIndex | None,
    findings: Findings | None,
) -> tuple[dict[str, BuildPlan], dict[str, str]]:
    """Plan every protocol; those without an image are named with the reason instead."""
    from pretext_targets.build import plan_build
    from pretext_targets.summary import why_empty

    plans: dict[str, BuildPlan] = {}
    not_built: dict[str, str] = {}
    for protocol in protocols:
        plan = plan_build(catalogue, protocol, tissues=tissues, findings=findings)
        if len(plan.examples):
            plans[protocol.name] = plan
        else:
            not_built[protocol.name] = why_empty(plan) or f"no {protocol.carrier} stack"
    return plans, not_built


def _build(screen: Screen, plan: BuildPlan, store: Where, **options: Any) -> BuildSummary:
    from pretext_targets.build import build

    with screen.progress() as progress:
        summary = build(plan, store, progress=progress, **options)
    show_store(screen, summary)
    refuse_empty(summary)
    return summary


def _dry_run(
    screen: Screen,
    plans: dict[str, BuildPlan],
    not_built: dict[str, str],
    matched: dict[str, Any],
    **how: Any,
) -> None:
    """Say what would be built, what it costs, and what is left out and why."""
    from pretext_targets.build_reasons import LEFT_OUT_REASONS
    from pretext_targets.estimate import estimate

    told = {}
    for name, plan in plans.items():
        cost = estimate(plan, **how)
        screen.heading(
            f"{name}: {len(plan.examples)} examples, about {cost.size_bytes / 1e6:.1f} MB "
            f"and {cost.seconds:.0f} s on this machine"
        )
        show_reasons(screen, "left out because", plan.left_out_counts, LEFT_OUT_REASONS)
        told[name] = {
            "examples": len(plan.examples),
            "bytes_estimate": cost.size_bytes,
            "seconds_estimate": round(cost.seconds, 1),
            "left_out": dict(plan.left_out_counts),
        }
    for name, reason in not_built.items():
        screen.say(f"{name}: not built, {reason}")
    screen.finish({"plans": told, "not_built": not_built} | matched)


def _name_next(screen: Screen, room: Workspace, built: dict[str, BuildSummary], *, named: bool) -> None:
    if not named:
        screen.next_command(command_line("anatprep", "train", room.spelled()))
        return
    store = next(iter(built.values())).store
    screen.next_command(command_line("anatprep", "train", "pretrain-mtl", "--store", store, "-o", "RUN"))
