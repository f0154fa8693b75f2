"""One phantom exam, whatever the anatomy, before it becomes files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import generate_uid

from dicomgeom.plane import ImagePlane
from phantoms.acquisition import Acquisition
from phantoms.descriptions import Description, Phrasing, drawn_description
from phantoms.options import ExportOptions
from phantoms.prescription import Grid, PlannedStack
from phantoms.segments import Segment
from phantoms.transfer_syntax import SYNTAXES, Syntax
from phantoms.vendors import drawn_flavour

SLICE_S = 14.0
"""How long one slice takes, with the pause before the next."""


@dataclass(frozen=True)
class ExamSeries:
    """One series: planes (slice index, plane) of one view, and what its header says."""

    number: int
    uid: str
    view: str
    acquisition: Acquisition
    description: str
    description_is: str
    thickness_mm: float
    spacing_between_mm: float | None
    planes: tuple[tuple[int, ImagePlane], ...]
    starts_at_s: float
    segmented: bool
    stack: str

    @property
    def cine(self) -> bool:
        """Whether this is a cine, of which segmentations are made."""
        return self.acquisition.kind == "cine"

    @property
    def images(self) -> int:
        """How many images it holds."""
        return len(self.planes) * self.acquisition.phases


@dataclass(frozen=True)
class ExamImage:
    """One image with its truth; `tissue` is None where nothing is segmented."""

    slice_index: int
    phase_index: int
    trigger_ms: float
    plane: ImagePlane
    pixels: NDArray[np.uint16]
    tissue: NDArray[np.uint8] | None


class Exam(ABC):
    """Exam `index` of a phantom export: a function of (seed, index, options) alone."""

    anatomy: ClassVar[str]
    segments: ClassVar[tuple[Segment, ...]]
    body_part: ClassVar[str]
    study_description: ClassVar[str]
    phrasing: ClassVar[Phrasing]

    def __init__(self, seed: int, index: int, options: ExportOptions) -> None:
        self.seed, self.index, self.options = seed, index, options
        scanner = self.draws("scanner")
        self.flavour = drawn_flavour(scanner, options.vendor)
        self.field_tesla = self.flavour.field_tesla[int(scanner.integers(len(self.flavour.field_tesla)))]
        enhanced = self._by_habit(options.enhanced_share, self.flavour.enhanced)
        asked = any(name.startswith("enhanced") for name in options.traps)
        # Most traps are those of classic files: they keep an exam from being enhanced by chance.
        self.enhanced = bool(scanner.random() < enhanced and not options.traps) or asked
        directory = self._by_habit(options.dicomdir_share, self.flavour.dicomdir)
        self.dicomdir = bool(scanner.random() < directory) or any(
            name.startswith("dicomdir") for name in options.traps
        )
        self.syntax_name = self._syntax_name(scanner)
        self._prepare()
        self.series = tuple(self._series())

    @staticmethod
    def _by_habit(asked: float | None, habit: float) -> float:
        return habit if asked is None else asked

    def _syntax_name(self, rng: np.random.Generator) -> str:
        asked = [name for name in self.options.traps if name in SYNTAXES]
        packed = bool(rng.random() < self.options.compressed_share)
        drawn = self.flavour.syntaxes[int(rng.integers(len(self.flavour.syntaxes)))]
        if "fragmented" in self.options.traps:
            drawn, packed = "jpeg-lossless", True
        return asked[0] if asked else drawn if packed else self.flavour.plain_syntax

    @property
    def syntax(self) -> Syntax:
        """Transfer syntax of the files."""
        return SYNTAXES[self.syntax_name]

    def has(self, trap: str) -> bool:
        """Whether a trap was asked for."""
        return trap in self.options.traps

    def draws(self, purpose: str) -> np.random.Generator:
        """Random numbers for one purpose, independent of what other purposes draw."""
        return np.random.default_rng([self.seed, self.index, *purpose.encode()])

    def uid(self, *what: str) -> str:
        """A UID that is the same whenever the same exam is made."""
        parts = ["anatprep phantom", self.anatomy, str(self.seed), str(self.index), *what]
        return str(generate_uid(entropy_srcs=["/".join(parts)]))

    @property
    def patient_id(self) -> str:
        """Says plainly that this is nobody."""
        return f"PHANTOM-{self.seed}-{self.index:05d}"

    @cached_property
    def frame_of_reference(self) -> str:
        """One for the whole study."""
        return self.uid("frame of reference")

    def _grid(self, rng: np.random.Generator, spacing_mm: float, columns: int, rows: int) -> Grid:
        """The pixel grid: what was drawn, what the options fix, what a trap asks for."""
        options = self.options
        chosen = options.spacing_mm or round(spacing_mm, 4)
        anisotropic = bool(rng.random() < self.flavour.anisotropic)
        if self.has("anisotropic"):
            anisotropic = True
            rows = round(columns * 0.8)
        return Grid(
            spacing_mm=chosen,
            columns=options.columns or columns,
            rows=options.rows or rows,
            row_spacing_mm=round(chosen * 1.12, 4) if anisotropic else None,
        )

    def _description(self, view: str, kind: str, rng: np.random.Generator) -> Description:
        options = self.options
        shares = options.wrong_description_share, options.empty_description_share
        foreign = options.foreign_description_share
        if self.has("wrong-descriptions"):
            shares, foreign = (1.0, 0.0), 0.0
        if self.has("empty-descriptions"):
            shares, foreign = (0.0, 1.0), 0.0
        if self.has("foreign-descriptions"):
            shares, foreign = (0.0, 0.0), 1.0
        return drawn_description(self.phrasing, view, kind, self.flavour.style, shares, foreign, rng)

    def _filed(
        self, plans: Sequence[tuple[PlannedStack, Acquisition]], split: bool, rng: np.random.Generator
    ) -> Iterator[ExamSeries]:
        """Number series and describe them; a stack is one series, or one a slice if `split`."""
        starts_at_s, number = 120.0, 0
        for order, (plan, acquisition) in enumerate(plans):
            slices = tuple(enumerate(plan.planes))
            apart = split and plan.view == "SAX" and acquisition.kind == "cine" and len(slices) > 1
            for part in [(one,) for one in slices] if apart else [slices]:
                number += 1
                called = acquisition.kind + ("-fs" if acquisition.fat_suppressed else "")
                description = self._description(plan.view, called, rng)
                yield ExamSeries(
                    number=number,
                    uid=self.uid("series", str(number)),
                    view=plan.view,
                    acquisition=acquisition,
                    description=description.text,
                    description_is=description.verdict,
                    thickness_mm=plan.thickness_mm,
                    spacing_between_mm=_spacing_mm(plan),
                    planes=part,
                    starts_at_s=starts_at_s,
                    segmented=plan.segmented,
                    stack=f"{order:02d}-{plan.view}-{called}",
                )
                starts_at_s += SLICE_S * len(part) + float(rng.uniform(5, 30))

    @abstractmethod
    def _prepare(self) -> None:
        """Draw patient, contrast and grid."""

    @abstractmethod
    def _series(self) -> Iterator[ExamSeries]:
        """Plan the exam."""

    @abstractmethod
    def images(self, series: ExamSeries) -> Iterator[ExamImage]:
        """All images of a series, slice by slice, phase by phase."""

    @property
    @abstractmethod
    def beat_ms(self) -> float | None:
        """R-R interval, None where nothing beats."""

    @property
    @abstractmethod
    def height_m(self) -> float:
        """Patient's size for the header."""

    @property
    @abstractmethod
    def weight_kg(self) -> float:
        """Patient's weight for the header."""

    @property
    @abstractmethod
    def sex(self) -> str:
        """F or M."""

    @property
    def laterality(self) -> str:
        """R, L, or nothing where there is one of a kind."""
        return ""

    @property
    def end_systole_phase(self) -> int | None:
        """Phase with the smallest LV volume, None where nothing beats."""
        return None

    @abstractmethod
    def truth(self) -> dict[str, Any]:
        """What is true of the patient: columns of the table `exams`."""

    @abstractmethod
    def landmarks(self) -> Mapping[str, NDArray[np.float64]]:
        """Named points, LPS mm."""

    @abstractmethod
    def volumes_ml(self) -> list[dict[str, float]]:
        """True volumes of every phase, ml, by segment name; empty where none are known."""


def _spacing_mm(plan: PlannedStack) -> float | None:
    if len(plan.planes) < 2 or plan.view == "localizer":
        return None
    return abs(float(plan.planes[0].distance_mm(plan.planes[1].origin_mm)))


def tilting(plan: PlannedStack, step_deg: float) -> PlannedStack:
    """Each plane tilted by `step_deg` more than the one before, round its own row direction."""
    planes = []
    for i, plane in enumerate(plan.planes):
        angle = np.deg2rad(step_deg * (i - (len(plan.planes) - 1) / 2))
        down = np.cos(angle) * plane.down + np.sin(angle) * plane.normal
        middle = np.array([(plane.columns - 1) / 2, (plane.rows - 1) / 2])
        origin = plane.to_patient(middle) - (
            plane.right * middle[0] * plane.column_spacing_mm + down * middle[1] * plane.row_spacing_mm
        )
        planes.append(replace(plane, origin_mm=origin, down=down))
    return replace(plan, planes=tuple(planes))


def sheared(plan: PlannedStack, step_mm: float) -> PlannedStack:
    """Each image shifted in its plane by `step_mm` more than the one before."""
    planes = tuple(
        replace(plane, origin_mm=plane.origin_mm + plane.right * (step_mm * i))
        for i, plane in enumerate(plan.planes)
    )
    return replace(plan, planes=planes)


def unevenly_spaced(plan: PlannedStack, rng: np.random.Generator) -> PlannedStack:
    """Each plane shifted along the normal by up to a third of the spacing."""
    spacing = _spacing_mm(plan) or 0.0
    planes = tuple(
        replace(plane, origin_mm=plane.origin_mm + plane.normal * float(rng.uniform(-0.33, 0.33)) * spacing)
        for plane in plan.planes
    )
    return replace(plan, planes=planes)
