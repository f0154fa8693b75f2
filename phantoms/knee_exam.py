"""A knee exam: localizers, sagittal, coronal and axial stacks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dicomgeom.plane import ImagePlane
from phantoms import acquisition, descriptions
from phantoms.acquisition import Acquisition
from phantoms.cardiac_patient import tilted
from phantoms.contrast import Contrast, Sequence, draw_contrast, spin_echo_contrast
from phantoms.exam import Exam, ExamImage, ExamSeries, sheared, tilting, unevenly_spaced
from phantoms.knee_scene import KneeScene
from phantoms.knee_volumes import knee_volumes_ml
from phantoms.prescription import Grid, OperatorError, PlannedStack, plane_at
from phantoms.reception import received, shading
from phantoms.sampling import SampledPlane
from phantoms.segments import KNEE_SEGMENTS
from phantoms.tissues import Tissue

FIELDS_MM = (150.0, 172.0)
MATRICES = (256, 288, 320)


class KneeExam(Exam):
    """Proton density with fat suppression in three planes, and a sagittal T1 on the planes of the first."""

    anatomy: ClassVar[str] = "knee"
    segments = KNEE_SEGMENTS
    body_part: ClassVar[str] = "KNEE"
    study_description: ClassVar[str] = "Phantom knee"
    phrasing = descriptions.KNEE

    def _prepare(self) -> None:
        self.scene = KneeScene(self.draws("patient"))
        rng = self.draws("contrast")
        variation = rng.normal(0, 0.06, len(Tissue))
        suppressed = Sequence(
            flip_deg=150,
            echo_ms=round(float(rng.uniform(17, 38))),
            repetition_ms=round(float(rng.uniform(3200, 4600))),
        )
        t1 = Sequence(flip_deg=140, echo_ms=round(float(rng.uniform(10, 17))), repetition_ms=650)
        self.contrasts: dict[str, Contrast] = {
            "fat-suppressed": spin_echo_contrast(rng, suppressed, True, variation),
            "t1": spin_echo_contrast(rng, t1, False, variation),
            "localizer": draw_contrast(rng),
        }
        drawn = self.draws("acquisition")
        self._made: dict[int, tuple[NDArray[np.float32], NDArray[np.uint8]]] = {}
        self._twice: frozenset[int] = frozenset()
        side = MATRICES[int(drawn.integers(len(MATRICES)))]
        self.grid = self._grid(drawn, float(drawn.uniform(*FIELDS_MM)) / side, side, side)

    @property
    def beat_ms(self) -> None:
        return None

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
    def laterality(self) -> str:
        return self.scene.patient.side

    def truth(self) -> dict[str, Any]:
        """Labels as MRNet names them, and what they are made of."""
        patient = self.scene.patient
        return {
            "side": patient.side,
            "abnormality": patient.abnormal,
            "acl_tear": patient.acl_tear,
            "meniscus_tear": patient.meniscus_tear,
            "medial_meniscus_tear": patient.medial_tear,
            "lateral_meniscus_tear": patient.lateral_tear,
            "cartilage_defect": patient.cartilage_defect,
            "bone_bruise": patient.bruise,
            "effusion_mm": patient.effusion_mm,
        }

    def landmarks(self) -> Mapping[str, NDArray[np.float64]]:
        return self.scene.landmarks()

    def volumes_ml(self) -> list[dict[str, float]]:
        """Volumes within 65 mm of the joint, by counting."""
        return [knee_volumes_ml(self.scene)]

    def _stack(
        self, axis: int, slices: int, spacing_mm: float, rng: np.random.Generator, error: OperatorError
    ) -> PlannedStack:
        """Planes across a knee axis: 0 sagittal, 1 coronal, 2 axial."""
        pose = self.scene.patient.patient_from_knee
        normal = pose[:, axis] * np.sign(pose[axis, axis])
        if axis == 0:  # sagittal planes follow the anterior cruciate ligament
            normal = tilted_about(normal, np.array([0.0, 0.0, 1.0]), float(rng.normal(0, np.deg2rad(4))))
        normal = tilted(normal, float(abs(error.angles_rad(rng, 1)[0])), float(rng.uniform(0, 2 * np.pi)))
        size = self.scene.patient.size
        middle_of = [(0.0, 4.0, 2.0), (0.0, -6.0, 2.0), (0.0, 0.0, 10.0)][axis]
        middle = self.scene.to_patient(np.array([middle_of]))[0] + error.shifts_mm(rng, 3)
        offsets = (np.arange(slices) - (slices - 1) / 2) * spacing_mm * size
        view = ("SAG", "COR", "AX")[axis]
        planes = tuple(
            plane_at(middle + normal * o, normal, self.grid, self.frame_of_reference, main=axis)
            for o in offsets
        )
        return PlannedStack(view, planes, round(0.82 * spacing_mm * size, 2), cine=False)

    def _localizers(self, rng: np.random.Generator) -> PlannedStack:
        side = max(32, round(self.grid.columns * 0.8))
        grid = Grid(self.grid.spacing_mm * self.grid.columns * 1.5 / side, side, side)
        middle = self.scene.landmarks()["joint_centre"] + rng.normal(0, 8, 3)
        planes = tuple(
            plane_at(middle + np.eye(3)[axis] * offset, np.eye(3)[axis], grid, self.frame_of_reference)
            for axis in (2, 1, 0)
            for offset in (-22.0, 0.0, 22.0)
        )
        return PlannedStack("localizer", planes, 6.0, cine=False, segmented=False)

    def _plans(self) -> list[tuple[PlannedStack, Acquisition]]:
        rng = self.draws("prescription")
        error = OperatorError(7.5, 5.0) if self.has("operator-error") else self.options.operator
        suppressed = acquisition.spin_echo(self.contrasts["fat-suppressed"].sequence, 8, True)
        t1 = acquisition.spin_echo(self.contrasts["t1"].sequence, 3, False)
        plans: list[tuple[PlannedStack, Acquisition]] = []
        if self.options.localizers:
            scout = acquisition.localizer(self.contrasts["localizer"].sequence)
            plans.append((self._localizers(rng), scout))
        sagittal = self._trapped(self._stack(0, int(rng.integers(20, 25)), 4.2, rng, error), rng)
        coronal = self._stack(1, int(rng.integers(20, 23)), 4.2, rng, error)
        axial = self._stack(2, int(rng.integers(22, 27)), 4.2, rng, error)
        if self.has("repeat") or self.has("repeat-incomplete"):
            again = sagittal if self.has("repeat") else replace(sagittal, planes=sagittal.planes[:9])
            plans.append((again, suppressed))
        self._twice = frozenset(id(plane) for plane in sagittal.planes)
        return [*plans, (sagittal, suppressed), (coronal, suppressed), (axial, suppressed), (sagittal, t1)]

    def _trapped(self, stack: PlannedStack, rng: np.random.Generator) -> PlannedStack:
        if self.has("uneven-spacing"):
            stack = unevenly_spaced(stack, rng)
        if self.has("tilting-stack"):
            stack = tilting(stack, 1.5)
        return sheared(stack, 1.5) if self.has("sheared-stack") else stack

    def _series(self) -> Iterator[ExamSeries]:
        return self._filed(self._plans(), False, self.draws("filing"))

    def images(self, series: ExamSeries) -> Iterator[ExamImage]:
        """All images of a series, slice by slice."""
        rng = self.draws(f"noise {series.number}")
        look = self._look(series.acquisition)
        joint = self.scene.patient.centre_mm
        for slice_index, plane in series.planes:
            image, tissue = self._sampled(plane, series.thickness_mm, look)
            contrast = self.contrasts[look]
            yield ExamImage(
                slice_index=slice_index,
                phase_index=0,
                trigger_ms=0.0,
                plane=plane,
                pixels=received(image, shading(contrast, plane, joint), contrast, rng),
                tissue=tissue if series.segmented else None,
            )

    @staticmethod
    def _look(taken: Acquisition) -> str:
        if taken.kind == "localizer":
            return "localizer"
        return "fat-suppressed" if taken.fat_suppressed else "t1"

    def _sampled(
        self, plane: ImagePlane, thickness_mm: float, look: str
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """One slice in one contrast; both of a plane that is taken twice are made at once."""
        if look == "t1" and id(plane) in self._made:
            return self._made.pop(id(plane))
        if look == "fat-suppressed" and id(plane) in self._twice:
            sampled = SampledPlane(
                self.scene, plane, thickness_mm, self.contrasts[look], self.contrasts["t1"]
            )
            (image, other), tissue = sampled.all_at(0.0)
            self._made[id(plane)] = other, tissue
            return image, tissue
        return SampledPlane(self.scene, plane, thickness_mm, self.contrasts[look]).at(0.0)


def tilted_about(
    direction: NDArray[np.float64], axis: NDArray[np.float64], angle_rad: float
) -> NDArray[np.float64]:
    """A direction turned round an axis (Rodrigues)."""
    cosine, sine = np.cos(angle_rad), np.sin(angle_rad)
    turned: NDArray[np.float64] = (
        direction * cosine + np.cross(axis, direction) * sine + axis * (axis @ direction) * (1 - cosine)
    )
    return turned
