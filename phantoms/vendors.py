"""How the makers of scanners write their files: flavours, drawn once for each exam.

What is said here was seen in public exports; a phantom says in its comments that it is one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Flavour:
    """Habits of one maker.

    Parameters
    ----------
    trigger_time : bool
        Whether cines state the time after the R wave.
    temporal_position : bool
        Whether cines count their phases in Temporal Position Identifier.
    rescaled : bool
        Whether stored values are scaled for display (Philips).
    series_per_slice, enhanced, dicomdir : float
        Shares of exams filed so.
    syntaxes : tuple of str
        Names of `phantoms.transfer_syntax.SYNTAXES` met in archives of this maker's images.
    matrices : tuple of (columns, rows)
    image_types : mapping
        Image Type by kind of series.
    sequences : mapping
        Sequence name by kind of series.
    """

    name: str
    manufacturer: str
    model: str
    software: str
    field_tesla: tuple[str, ...]
    trigger_time: bool
    temporal_position: bool
    rescaled: bool
    series_per_slice: float
    enhanced: float
    dicomdir: float
    plain_syntax: str
    syntaxes: tuple[str, ...]
    matrices: tuple[tuple[int, int], ...]
    spacing_mm: tuple[float, float]
    anisotropic: float
    style: int
    image_types: Mapping[str, tuple[str, ...]]
    sequences: Mapping[str, str] = field(default_factory=dict)

    def image_type(self, kind: str) -> list[str]:
        """Image Type (0008,0008) of a kind of series."""
        return list(self.image_types.get(kind, self.image_types[""]))

    def sequence_name(self, kind: str) -> str:
        """Sequence Name (0018,0024) of a kind of series, empty where the maker writes none."""
        return self.sequences.get(kind, "")


_PLAIN = ("ORIGINAL", "PRIMARY", "OTHER")

VENDORS: Mapping[str, Flavour] = {
    "siemens": Flavour(
        name="siemens",
        manufacturer="SIEMENS",
        model="digital patient S",
        software="phantom S2",
        field_tesla=("1.5", "3"),
        trigger_time=True,
        temporal_position=False,
        rescaled=False,
        series_per_slice=0.6,
        enhanced=0.08,
        dicomdir=0.1,
        plain_syntax="explicit",
        syntaxes=("jpeg-lossless", "rle"),
        matrices=((208, 176), (176, 208), (192, 168), (208, 192)),
        spacing_mm=(1.36, 1.75),
        anisotropic=0.03,
        style=0,
        image_types={
            "": ("ORIGINAL", "PRIMARY", "M", "ND", "NORM"),
            "cine": ("ORIGINAL", "PRIMARY", "M", "RETRO", "NORM", "DIS2D"),
            "late-enhancement": ("ORIGINAL", "PRIMARY", "M", "PSIR", "NORM"),
            "flow-magnitude": ("ORIGINAL", "PRIMARY", "M", "RETRO", "DIS2D"),
            "flow-phase": ("ORIGINAL", "PRIMARY", "P", "RETRO", "DIS2D"),
        },
        sequences={
            "cine": "*tfi2d1_15",
            "localizer": "*tfi2d1",
            "late-enhancement": "*tfl2d1_25",
            "flow-magnitude": "*fl2d1r3",
            "flow-phase": "*fl2d1_v150in",
            "static": "*tse2d1_7",
        },
    ),
    "ge": Flavour(
        name="ge",
        manufacturer="GE MEDICAL SYSTEMS",
        model="digital patient G",
        software="phantom G1",
        field_tesla=("1.5", "3"),
        trigger_time=True,
        temporal_position=False,
        rescaled=False,
        series_per_slice=0.1,
        enhanced=0.0,
        dicomdir=0.3,
        plain_syntax="explicit",
        syntaxes=("implicit", "jpeg-2000", "jpeg-lossless"),
        matrices=((224, 224), (192, 192), (256, 256)),
        spacing_mm=(1.37, 1.6),
        anisotropic=0.0,
        style=1,
        image_types={"": _PLAIN},
        sequences={},
    ),
    "philips": Flavour(
        name="philips",
        manufacturer="Philips Medical Systems",
        model="digital patient P",
        software="phantom P5",
        field_tesla=("1.5", "3"),
        trigger_time=True,
        temporal_position=True,
        rescaled=True,
        series_per_slice=0.0,
        enhanced=0.4,
        dicomdir=0.3,
        plain_syntax="explicit",
        syntaxes=("jpeg-2000", "rle"),
        matrices=((224, 224), (208, 208), (256, 256)),
        spacing_mm=(1.25, 1.55),
        anisotropic=0.0,
        style=2,
        image_types={
            "": ("ORIGINAL", "PRIMARY", "M_SE", "M", "SE"),
            "cine": ("ORIGINAL", "PRIMARY", "M_FFE", "M", "FFE"),
            "localizer": ("ORIGINAL", "PRIMARY", "M_FFE", "M", "FFE"),
            "late-enhancement": ("ORIGINAL", "PRIMARY", "M_IR", "M", "IR"),
            "flow-magnitude": ("ORIGINAL", "PRIMARY", "M_PCA", "M", "PCA"),
            "flow-phase": ("ORIGINAL", "PRIMARY", "VELOCITY MAP", "P", "PCA"),
        },
    ),
    "canon": Flavour(
        name="canon",
        manufacturer="TOSHIBA_MEC",
        model="digital patient C",
        software="phantom C3",
        field_tesla=("1.5", "3"),
        trigger_time=False,
        temporal_position=False,
        rescaled=False,
        series_per_slice=0.0,
        enhanced=0.15,
        dicomdir=0.1,
        plain_syntax="explicit",
        syntaxes=("jpeg-ls", "implicit"),
        matrices=((192, 192), (224, 192), (208, 208)),
        spacing_mm=(1.4, 1.8),
        anisotropic=0.2,
        style=3,
        image_types={"": ("ORIGINAL", "PRIMARY", "M")},
    ),
}
"""Makers by name. Canon's files state no time after the R wave here; the others do."""


def drawn_flavour(rng: np.random.Generator, vendor: str | None) -> Flavour:
    """The flavour of one exam: the one asked for, or one of all."""
    names = tuple(VENDORS)
    return VENDORS[vendor or names[int(rng.integers(len(names)))]]
