"""One phantom exam, before it becomes files: the patient, the plan, the series and their images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import generate_uid

from dicomgeom.errors import WrongUse
from dicomgeom.plane import ImagePlane
from phantoms.cardiac_scene import CardiacScene
from phantoms.cardiac_volumes import chamber_volumes_ml
from phantoms.contrast import Contrast, draw_contrast, received, shading
from phantoms.prescription import Grid, HeartPrescription, OperatorError, PlannedStack
from phantoms.sampling import SampledPlane

ANATOMIES = ("cardiac",)

MATRICES = ((192, 192), (208, 176), (176, 208), (208, 192))
"""Columns and rows that cines come in."""


@dataclass(frozen=True)
class ExportOptions:
    """How exams are acquired and filed; None means drawn for each patient.

    Parameters
    ----------
    phases : int or None
        Phases of a cine; drawn between 20 and 30.
    spacing_mm : float or None
        Pixel spacing; drawn between 1.4 and 1.8.
    columns, rows : int or None
        Matrix of the cines; drawn around 192.
    operator
        How well the radiographer hits the planes.
    wrong_description_share, empty_description_share : float
        Chance that a series' description names another view, or says nothing.
    series_per_slice_share : float
        Chance that a patient's short-axis stack is filed as one series a slice.
    localizers : bool
        Whether three-plane localizers are made.
    """

    phases: int | None = None
    spacing_mm: float | None = None
    columns: int | None = None
    rows: int | None = None
    operator: OperatorError = field(default_factory=OperatorError)
    wrong_description_share: float = 0.12
    empty_description_share: float = 0.12
    series_per_slice_share: float = 0.4
    localizers: bool = True

    def __post_init__(self) -> None:
        if self.phases is not None and not 2 <= self.phases <= 100:
            raise WrongUse(f"phases must be 2 to 100, found {self.phases}")
        if self.spacing_mm is not None and not 0.3 <= self.spacing_mm <= 20:
            raise WrongUse(f"spacing_mm must be 0.3 to 20, found {self.spacing_mm}")
        for name in ("columns", "rows"):
            side = getattr(self, name)
            if side is not None and not 16 <= side <= 1024:
                raise WrongUse(f"{name} must be 16 to 1024, found {side}")
        for name in ("wrong_description_share", "empty_description_share", "series_per_slice_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise WrongUse(f"{name} must be 0 to 1, found {getattr(self, name)}")


@dataclass(frozen=True)
class ExamSeries:
    """One series: planes (slice index, plane) of one view, and what its header says."""

    number: int
    uid: str
    view: str
    cine: bool
    description: str
    description_is: str
    thickness_mm: float
    spacing_between_mm: float | None
    planes: tuple[tuple[int, ImagePlane], ...]
    starts_at_s: float


@dataclass(frozen=True)
class ExamImage:
    """One image with its truth; `tissue` is None for localizers."""

    slice_index: int
    phase_index: int
    trigger_ms: float
    plane: ImagePlane
    pixels: NDArray[np.uint16]
    tissue: NDArray[np.uint8] | None


_NAMES = {
    "SAX": ("cine_trufi_retro SAX", "SA stack cine", "cine sa", "bSSFP short axis"),
    "2CH": ("cine_trufi_retro 2CH", "2ch LV", "VLA cine", "bSSFP 2 chamber"),
    "3CH": ("cine_trufi_retro 3CH", "3ch", "LVOT 3CH", "bSSFP 3 chamber"),
    "4CH": ("cine_trufi_retro 4CH", "4ch", "HLA cine", "bSSFP 4 chamber"),
    "localizer": ("localizer", "scout 3 plane", "trufi_localizer", "loc multi-plane"),
}


class CardiacExam:
    """Exam `index` of a phantom export: a function of (seed, index, options) alone."""

    def __init__(self, seed: int, index: int, options: ExportOptions) -> None:
        self.seed, self.index, self.options = seed, index, options
        self.scene = CardiacScene(self.draws("patient"))
        self.contrast: Contrast = draw_contrast(self.draws("contrast"))
        acquisition = self.draws("acquisition")
        drawn_phases, drawn_spacing = int(acquisition.integers(20, 31)), float(acquisition.uniform(1.4, 1.8))
        drawn_columns, drawn_rows = MATRICES[int(acquisition.integers(len(MATRICES)))]
        self.phases = options.phases or drawn_phases
        self.grid = Grid(
            spacing_mm=options.spacing_mm or round(drawn_spacing, 4),
            columns=options.columns or drawn_columns,
            rows=options.rows or drawn_rows,
        )
        self.series = tuple(self._series())

    def draws(self, purpose: str) -> np.random.Generator:
        """Random numbers for one purpose, independent of what other purposes draw."""
        return np.random.default_rng([self.seed, self.index, *purpose.encode()])

    def uid(self, *what: str) -> str:
        """A UID that is the same whenever the same exam is made."""
        parts = ["anatprep phantom", str(self.seed), str(self.index), *what]
        return str(generate_uid(entropy_srcs=["/".join(parts)]))

    @property
    def patient_id(self) -> str:
        """Says plainly that this is nobody."""
        return f"PHANTOM-{self.seed}-{self.index:05d}"

    @cached_property
    def frame_of_reference(self) -> str:
        """One for the whole study."""
        return self.uid("frame of reference")

    @property
    def end_systole_phase(self) -> int:
        """Phase with the smallest LV volume."""
        filling = [self.scene.heart.curve.at(phase / self.phases) for phase in range(self.phases)]
        return int(np.argmin(filling))

    def volumes_ml(self) -> list[dict[str, float]]:
        """True volumes of every phase, ml, by segment name."""
        return chamber_volumes_ml(self.scene, [phase / self.phases for phase in range(self.phases)])

    def _plans(self) -> list[PlannedStack]:
        prescription = HeartPrescription(
            self.scene.landmarks(),
            self.scene.chest_centre_mm,
            self.grid,
            self.frame_of_reference,
            self.options.operator,
            self.draws("prescription"),
        )
        plans = list(prescription.localizers()) if self.options.localizers else []
        return [
            *plans,
            *(prescription.long_axis(view) for view in ("2CH", "4CH", "3CH")),
            prescription.short_axis(),
        ]

    def _series(self) -> Iterator[ExamSeries]:
        """Stacks as they are filed: localizers share one series; SAX is one series, or one a slice."""
        rng = self.draws("filing")
        split = rng.random() < self.options.series_per_slice_share
        plans = self._plans()
        scouts = [plane for plan in plans if not plan.cine for plane in plan.planes]
        filed: list[tuple[PlannedStack, tuple[tuple[int, ImagePlane], ...]]] = []
        if scouts:
            whole = PlannedStack("localizer", tuple(scouts), plans[0].thickness_mm, cine=False)
            filed.append((whole, tuple(enumerate(scouts))))
        for plan in (plan for plan in plans if plan.cine):
            slices = tuple(enumerate(plan.planes))
            filed += [(plan, (one,)) for one in slices] if split and len(slices) > 1 else [(plan, slices)]
        starts_at_s = 120.0
        for number, (plan, slices) in enumerate(filed, start=1):
            description, verdict = self._description(plan.view, rng)
            yield ExamSeries(
                number=number,
                uid=self.uid("series", str(number)),
                view=plan.view,
                cine=plan.cine,
                description=description,
                description_is=verdict,
                thickness_mm=plan.thickness_mm,
                spacing_between_mm=_spacing_mm(plan),
                planes=slices,
                starts_at_s=starts_at_s,
            )
            starts_at_s += 14.0 * len(slices) + float(rng.uniform(5, 30))

    def _description(self, view: str, rng: np.random.Generator) -> tuple[str, str]:
        """A description and whether it is right, wrong or empty."""
        style, luck = int(rng.integers(4)), float(rng.random())
        other = [name for name in _NAMES if name != view]
        wrong = _NAMES[other[int(rng.integers(len(other)))]][style]
        if luck < self.options.wrong_description_share:
            return wrong, "wrong"
        if luck < self.options.wrong_description_share + self.options.empty_description_share:
            return "", "empty"
        return _NAMES[view][style], "right"

    def images(self, series: ExamSeries) -> Iterator[ExamImage]:
        """All images of a series, slice by slice, phase by phase."""
        rng = self.draws(f"noise {series.number}")
        phases = self.phases if series.cine else 1
        moment = float(rng.uniform(0.6, 0.9))
        for slice_index, plane in series.planes:
            sampled = SampledPlane(self.scene, plane, series.thickness_mm, self.contrast)
            shade = shading(self.contrast, plane, self.scene.patient.heart_centre_mm)
            for phase in range(phases):
                image, tissue = sampled.at(phase / phases if series.cine else moment)
                yield ExamImage(
                    slice_index=slice_index,
                    phase_index=phase,
                    trigger_ms=phase / phases * self.scene.patient.beat_ms,
                    plane=plane,
                    pixels=received(image, shade, self.contrast, rng),
                    tissue=tissue if series.cine else None,
                )


def _spacing_mm(plan: PlannedStack) -> float | None:
    if len(plan.planes) < 2 or not plan.cine:
        return None
    return abs(float(plan.planes[0].distance_mm(plan.planes[1].origin_mm)))
