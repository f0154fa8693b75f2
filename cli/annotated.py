"""What `import-labels` tells of the annotations in a store: how many, of what, and what went missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cli.console import Screen, counted

if TYPE_CHECKING:
    from pretext_targets.build import BuildSummary


def show_annotations(screen: Screen, summary: BuildSummary) -> dict[str, Any]:
    """Print how much is annotated, codes and structures that are missing, and pixels of unknown size.

    Returns
    -------
    dict
        What follows from the summary and is no part of it, for `--json`.
    """
    if summary.with_findings:
        screen.say(f"findings are known of {summary.with_findings} of {summary.examples} examples")
    else:
        each = ", ".join(f"{name} in {count}" for name, count in summary.segments.items())
        screen.say(f"annotated: {summary.annotated} of {summary.examples} examples" + (each and f" ({each})"))
    for code, seen in summary.codes_unnamed.items():
        screen.say(
            f"code {code} is not named in the manifest: {counted(seen.pixels, 'pixel')} "
            f"in {counted(seen.label_maps, 'label map')} became background; "
            f'name its structure in labels.codes, or say {code} = "background"'
        )
    if summary.segments_missing and summary.annotated:
        screen.say(f"drawn in no example: {', '.join(summary.segments_missing)}; check the names and codes")
    if summary.without_pixel_size:
        screen.say(
            f"{counted(summary.without_pixel_size, 'file')} without a pixel size: their pixels were taken as "
            f"they are, as if they lay {summary.spacing_mm:g} mm apart, and distances will be told in voxels"
        )
    return {"segments_missing": summary.segments_missing}
