"""Small exports that a test writes into `export` below its folder, and their catalogue."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dicomgeom.catalogue import Catalogue, open_catalogue, verify_catalogue
from dicomgeom.index import index
from dicomgeom.plane import ImagePlane
from tests.helpers.dicom_files import uid, write_mr


def catalogue_of(tmp_path: Path, **options: Any) -> Catalogue:
    """Index what a test wrote into `export`; the catalogue must be sound whatever it was."""
    index([tmp_path / "export"], tmp_path / "catalogue", **options)
    assert verify_catalogue(tmp_path / "catalogue") == []
    return open_catalogue(tmp_path / "catalogue")


def sagittal(x_mm: float = 0.0, *, frame: str = uid(4)) -> ImagePlane:
    """A plane that crosses the helpers' axial planes inside both images."""
    return ImagePlane.from_dicom([x_mm, -15, 20], [0, 1, 0, 0, 0, -1], [1.5, 2.0], 16, 24, frame)


def series(number: int) -> dict[str, Any]:
    """UID and number of a series."""
    return {"SeriesInstanceUID": uid(3, number), "SeriesNumber": number}


def write_stack(folder: Path, planes: list[ImagePlane], phases: int = 1, **attributes: Any) -> None:
    """One series; phases differ in TriggerTime."""
    for place, plane in enumerate(planes):
        for phase in range(phases):
            timing = {"TriggerTime": 30.0 * phase, "CardiacNumberOfImages": phases} if phases > 1 else {}
            write_mr(folder / f"{place:02}-{phase:02}", plane, **(timing | attributes))
