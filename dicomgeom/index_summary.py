"""What an index found, counted from the tables that it wrote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

from dicomgeom.errors import NothingUsable
from dicomgeom.overrides import PATTERNS, UIDS, Override, unused_entries
from dicomgeom.reasons import NOTHING_MISSED

NIFTI_ENDING: Final = r"(?i)\.nii(\.gz)?$"


@dataclass(frozen=True)
class IndexSummary:
    """What `index` found.

    Attributes
    ----------
    sources_dropped
        Folder that was a source before and is none now -> files that left the catalogue with it.
    of_several_patients
        Images whose SOP Instance UID is filed under another patient, too: they may be one person.
    """

    catalogue: Path
    files: dict[str, int]
    reasons: dict[str, int]
    images_left_out: dict[str, int]
    patients: int
    studies: int
    stacks: int
    views: dict[str, int]
    read: int
    unchanged: int
    views_unused: list[str]
    sources_dropped: dict[str, int]
    of_several_patients: int

    @property
    def missed(self) -> bool:
        """Whether something was left out that may have held something."""
        return bool((self.reasons.keys() | self.images_left_out.keys()) - NOTHING_MISSED)

    def as_json(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        return asdict(self) | {"catalogue": str(self.catalogue)}


def summary_of(
    catalogue: Path,
    overrides: Sequence[Override],
    *,
    read: int,
    unchanged: int,
    dropped: Mapping[str, int],
) -> IndexSummary:
    """Count what is in a catalogue that was just written.

    Parameters
    ----------
    overrides
        The user's word on views that it was made with.
    read, unchanged
        Files that were read, and that were known.
    dropped
        See `IndexSummary.sources_dropped`.
    """

    def table(name: str, *columns: str) -> pl.DataFrame:
        return pl.read_parquet(catalogue / f"{name}.parquet", columns=list(columns))

    def counted(column: pl.Series) -> dict[str, int]:
        return dict(sorted(column.value_counts().iter_rows()))

    files, stacks = table("files", "status", "reason"), table("stacks", "kind", "view")
    images = table("images", "patient_key", "study_instance_uid", "left_out", "sop_instance_uid")
    return IndexSummary(
        catalogue=catalogue,
        files=counted(files["status"]),
        reasons=counted(files.filter(pl.col("status") != "ok")["reason"]),
        images_left_out=counted(images.filter(pl.col("left_out") != "")["left_out"]),
        patients=images["patient_key"].n_unique(),
        studies=images["study_instance_uid"].n_unique(),
        stacks=len(stacks),
        views=counted(stacks.filter(pl.col("kind") != "localizer")["view"]),
        read=read,
        unchanged=unchanged,
        views_unused=_unused(overrides, catalogue),
        sources_dropped=dict(dropped),
        of_several_patients=_of_several_patients(images),
    )


def _of_several_patients(images: pl.DataFrame) -> int:
    """Images whose UID stands under more than one patient."""
    filed = images.filter(pl.col("sop_instance_uid") != "").group_by("sop_instance_uid")
    counts = filed.agg(pl.col("patient_key").n_unique().alias("patients"), pl.len().alias("images"))
    return int(counts.filter(pl.col("patients") > 1)["images"].sum())


def _unused(overrides: Sequence[Override], catalogue: Path) -> list[str]:
    """Entries of the user's word on views that decided no stack."""
    if not overrides:
        return []
    columns = ["stack_id", *PATTERNS, *UIDS]
    images = pl.read_parquet(catalogue / "images.parquet", columns=columns).drop_nulls("stack_id").unique()
    return unused_entries(overrides, images.to_dicts())


def refuse_nothing(summary: IndexSummary, listed: int) -> None:
    """Raise `NothingUsable` where none of so many files was an MR image, with what they were instead."""
    if "ok" in summary.files:
        return
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(summary.reasons.items()))
    raise NothingUsable(
        f"no MR image with a position found among {listed} files ({reasons or 'no file at all'}); "
        f"{_advice(summary.catalogue)}"
    )


def _advice(catalogue: Path) -> str:
    """What to do where no file was an MR image."""
    files = pl.scan_parquet(catalogue / "files.parquet").filter(pl.col("reason") == "not-dicom")
    nifti = files.filter(pl.col("path").str.contains(NIFTI_ENDING)).select(pl.len()).collect().item()
    if not nifti:
        return "check the folder"
    return (
        f"{nifti} are NIfTI, which index does not read: "
        "anatprep import-labels FOLDER --manifest NAME -o STORE makes a store of images and label maps"
    )
