"""A heart exam: patient, plan, series and their images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dicomgeom.plane import ImagePlane
from phantoms import acquisition, descriptions
from phantoms.acquisition import Acquisition
from phantoms.cardiac_scene import CardiacScene
from phantoms.cardiac_volumes import chamber_volumes_ml
from phantoms.contrast import Contrast, draw_contrast, flow_contrast, late_enhancement_contrast
from phantoms.exam import Exam, ExamImage, ExamSeries, sheared, tilting, unevenly_spaced
from phantoms.prescription import HeartPrescription, OperatorError, PlannedStack
from phantoms.reception import received, shading, velocity_image
from phantoms.sampling import SampledPlane
from phantoms.segments import CARDIAC_SEGMENTS

TRAP_ERROR = OperatorError(angle_deg=7.5, shift_mm=5.0)
"""Standard deviations that reach 15 degrees and 10 mm, where they are cut."""

MYOCARDIUM_G_ML = 1.05
"""Density of heart muscle."""


class CardiacExam(Exam):
    """Cines of the short axis and three long axes, sometimes more on the same planes."""

    anatomy: ClassVar[str] = "cardiac"
    segments = CARDIAC_SEGMENTS
    body_part: ClassVar[str] = "HEART"
    study_description: ClassVar[str] = "Phantom heart"
    phrasing = descriptions.CARDIAC

    def _prepare(self) -> None:
        self.scene = CardiacScene(self.draws("patient"))
        self.contrast: Contrast = draw_contrast(self.draws("contrast"))
        drawn = self.draws("acquisition")
        phases, spacing_mm = int(drawn.integers(20, 31)), float(drawn.uniform(*self.flavour.spacing_mm))
        columns, rows = self.flavour.matrices[int(drawn.integers(len(self.flavour.matrices)))]
        self.phases = self.options.phases or phases
        # A larger matrix is a finer image of about the same field of view.
        self.grid = self._grid(drawn, spacing_mm * min(1.0, 224 / columns), columns, rows)

    @property
    def beat_ms(self) -> float:
        return self.scene.patient.beat_ms

    @property
    def height_m(self) -> float:
        return self.scene.patient.height_m

    @property
    def weight_kg(self) -> float:
        return self.scene.patient.weight_kg

    @property
    def sex(self) -> str:
        return self.scene.patient.sex

    @property
    def end_systole_phase(self) -> int:
        """Phase with the smallest LV volume."""
        filling = [self.scene.heart.curve.at(phase / self.phases) for phase in range(self.phases)]
        return int(np.argmin(filling))

    def volumes_ml(self) -> list[dict[str, float]]:
        """True volumes of every phase, ml, by segment name."""
        return self._volumes_ml

    @cached_property
    def _volumes_ml(self) -> list[dict[str, float]]:
        return chamber_volumes_ml(self.scene, [phase / self.phases for phase in range(self.phases)])

    def landmarks(self) -> Mapping[str, NDArray[np.float64]]:
        return self.scene.landmarks()

    def truth(self) -> dict[str, Any]:
        """Group, size of the body, and the measures that a report of such an exam states."""
        patient, volumes = self.scene.patient, self.volumes_ml()
        filled, emptied = volumes[0], volumes[self.end_systole_phase]
        measures: dict[str, float] = {}
        for side in ("LV", "RV"):
            end_diastole, end_systole = filled[f"{side} cavity"], emptied[f"{side} cavity"]
            measures[f"{side.lower()}_edv_ml"] = end_diastole
            measures[f"{side.lower()}_esv_ml"] = end_systole
            measures[f"{side.lower()}_ef"] = 1 - end_systole / end_diastole
        return {
            "group": str(patient.group),
            "diagnosis": str(patient.group),
            "body_surface_m2": patient.body_surface_m2,
            **measures,
            "lv_mass_g": filled["LV myocardium"] * MYOCARDIUM_G_ML,
            "thickest_wall_mm": self.scene.heart.thickest_wall_mm,
            "beat_ms": patient.beat_ms,
            "long_axis": [float(value) for value in patient.patient_from_heart[:, 2]],
        }

    def _prescription(self) -> HeartPrescription:
        return HeartPrescription(
            self.scene.landmarks(),
            self.scene.chest_centre_mm,
            self.grid,
            self.frame_of_reference,
            TRAP_ERROR if self.has("operator-error") else self.options.operator,
            self.draws("prescription"),
        )

    def _plans(self) -> list[tuple[PlannedStack, Acquisition]]:
        """Everything that is acquired, in order."""
        prescription, rng = self._prescription(), self.draws("more series")
        cine = acquisition.cine(self.contrast.sequence, self.phases)
        localizers = prescription.localizers() if self.options.localizers else ()
        plans: list[tuple[PlannedStack, Acquisition]] = []
        if localizers:
            scouts = tuple(plane for plan in localizers for plane in plan.planes)
            whole = PlannedStack("localizer", scouts, localizers[0].thickness_mm, cine=False, segmented=False)
            plans.append((whole, acquisition.localizer(self.contrast.sequence)))
        views = {view: prescription.long_axis(view) for view in ("2CH", "4CH", "3CH")}
        stack = self._trapped(prescription.short_axis(), rng)
        if rng.random() < self.options.repeat_share or self.has("repeat"):
            again = views[("2CH", "4CH", "3CH")[int(rng.integers(3))]]
            plans.append((again, cine))
        if self.has("repeat-incomplete"):
            half = replace(stack, planes=stack.planes[: len(stack.planes) // 2])
            return [
                *plans,
                *((plan, cine) for plan in (*views.values(), stack, half)),
                *self._more(stack, rng),
            ]
        return [*plans, *((plan, cine) for plan in (*views.values(), stack)), *self._more(stack, rng)]

    def _trapped(self, stack: PlannedStack, rng: np.random.Generator) -> PlannedStack:
        if self.has("uneven-spacing"):
            stack = unevenly_spaced(stack, rng)
        if self.has("tilting-stack"):
            stack = tilting(stack, 2.0)
        return sheared(stack, 2.5) if self.has("sheared-stack") else stack

    def _more(
        self, stack: PlannedStack, rng: np.random.Generator
    ) -> Iterator[tuple[PlannedStack, Acquisition]]:
        """Late enhancement and flow on the planes of the short-axis cine."""
        if rng.random() < self.options.late_enhancement_share or self.has("late-enhancement"):
            late = replace(stack, cine=False, segmented=False)
            yield late, acquisition.late_enhancement(self.draws("late enhancement"))
        if rng.random() < self.options.flow_share or self.has("flow"):
            ends = stack.planes[0], stack.planes[-1]
            base = self.scene.landmarks()["base_centre"]
            near = min(ends, key=lambda plane: abs(float(plane.distance_mm(base))))
            basal = replace(stack, planes=(near,), segmented=False, cine=False)
            for component in ("magnitude", "phase"):
                yield basal, acquisition.flow(self.phases, component)

    def _series(self) -> Iterator[ExamSeries]:
        rng = self.draws("filing")
        share = self._by_habit(self.options.series_per_slice_share, self.flavour.series_per_slice)
        split = bool(rng.random() < share) or self.has("series-per-slice")
        return self._filed(self._plans(), split and not self.enhanced, rng)

    def breath_shift_mm(self, stack: str, slice_index: int) -> NDArray[np.float64]:
        """Where the heart lies while a slice is taken, against where it lay when it was planned, LPS mm.

        Breathing moves it mostly toward head or feet, a third of that forward or backward.
        """
        rng = self.draws(f"breath {stack} {slice_index}")
        held = float(np.clip(rng.normal(0, 1), -2.5, 2.5)) * self.options.breathing_mm
        return np.array([0.0, -0.3, 1.0]) * held

    def images(self, series: ExamSeries) -> Iterator[ExamImage]:
        """All images of a series, slice by slice, phase by phase."""
        kind, phases = series.acquisition.kind, series.acquisition.phases
        rng = self.draws(f"noise {series.number}")
        moment = float(rng.uniform(0.6, 0.9))
        contrast = self._contrast_of(series.acquisition)
        for slice_index, plane in series.planes:
            seen = self._seen_plane(series, slice_index, plane)
            sampled = SampledPlane(self.scene, seen, series.thickness_mm, contrast)
            shade = shading(contrast, plane, self.scene.patient.heart_centre_mm)
            for phase in range(phases):
                fraction = phase / phases if series.acquisition.beats else moment
                image, tissue = sampled.at(fraction)
                pixels = (
                    velocity_image(image, tissue, fraction, contrast, rng)
                    if kind == "flow-phase"
                    else received(image, shade, contrast, rng)
                )
                yield ExamImage(
                    slice_index=slice_index,
                    phase_index=phase,
                    trigger_ms=fraction * self.beat_ms,
                    plane=plane,
                    pixels=pixels,
                    tissue=tissue if series.segmented else None,
                )

    def _seen_plane(self, series: ExamSeries, slice_index: int, plane: ImagePlane) -> ImagePlane:
        if series.view == "localizer":
            return plane
        # The body has moved by the shift, so the plane cuts it that much the other way.
        return replace(plane, origin_mm=plane.origin_mm - self.breath_shift_mm(series.stack, slice_index))

    def _contrast_of(self, taken: Acquisition) -> Contrast:
        if taken.kind == "late-enhancement":
            return late_enhancement_contrast(self.contrast)
        if taken.kind.startswith("flow"):
            return flow_contrast(self.contrast)
        return self.contrast
