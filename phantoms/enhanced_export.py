"""A series as one enhanced multi-frame object (Enhanced MR Image Storage, PS3.3 A.36).

Built from the classic data sets of its images, so that both say the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import EnhancedMRImageStorage

from phantoms.acquisition import Acquisition
from phantoms.enhanced_groups import add_mr_groups, item
from phantoms.exam import Exam, ExamSeries

FLAVOURS = {
    "cine": "CINE",
    "localizer": "LOCALIZER",
    "late-enhancement": "CARDIAC",
    "flow-magnitude": "FLOW_ENCODED",
    "flow-phase": "FLOW_ENCODED",
    "static": "VOLUME",
}
"""Third value of Image Type."""

CONTRASTS = {"flow-magnitude": "FLOW_ENCODED", "flow-phase": "FLOW_ENCODED", "static": "PROTON_DENSITY"}

REGIONS = {"HEART": ("80891009", "Heart"), "KNEE": ("72696002", "Knee")}
"""SNOMED CT codes (PS3.16 CID 4030)."""

_LEFT_OUT = (
    "ScanningSequence", "SequenceVariant", "ScanOptions", "SequenceName", "SliceThickness",
    "SpacingBetweenSlices", "EchoTime", "RepetitionTime", "InversionTime", "FlipAngle", "EchoTrainLength",
    "NumberOfAverages", "NominalInterval", "HeartRate", "CardiacNumberOfImages", "TriggerTime",
    "TemporalPositionIdentifier", "NumberOfTemporalPositions", "ImagePositionPatient",
    "ImageOrientationPatient", "SliceLocation", "PixelSpacing", "WindowCenter", "WindowWidth", "PixelData",
    "RescaleSlope", "Laterality", "RescaleIntercept", "RescaleType", "AcquisitionDate", "AcquisitionTime",
)  # fmt: skip
"""What functional groups say instead."""


def enhanced_dataset(
    exam: Exam, series: ExamSeries, images: Sequence[Dataset], order: Sequence[int], wrong_dimensions: bool
) -> Dataset:
    """All images of a series in one object.

    Parameters
    ----------
    images
        Classic data sets.
    order
        Which of them is stored as first frame, second, and so on.
    wrong_dimensions
        Count positions backward in the dimension indices.
    """
    first, dataset = images[0], Dataset()
    left_out = {Tag(name) for name in _LEFT_OUT}
    dataset.update(
        {tag: first[tag] for tag in sorted(first.keys()) if tag not in left_out and not tag.is_private}
    )
    for name in ("SOPClassUID", "SOPInstanceUID", "ImageType", "InstanceNumber"):
        del dataset[name]
    dataset.SOPClassUID = EnhancedMRImageStorage
    dataset.SOPInstanceUID = exam.uid("enhanced", str(series.number))
    dataset.InstanceNumber = 1
    _image_module(dataset, first, series.acquisition)
    _sequence_module(dataset, series.acquisition)
    if exam.beat_ms is not None and "CG" in series.acquisition.scan_options:
        _gating_module(dataset, exam.beat_ms)
    dataset.NumberOfFrames = len(images)
    one_orientation = len({tuple(image.ImageOrientationPatient) for image in images}) == 1
    dataset.SharedFunctionalGroupsSequence = [_shared(exam, series, first, one_orientation)]
    stored = [images[i] for i in order]
    dataset.PerFrameFunctionalGroupsSequence = _frames(
        series, stored, exam.beat_ms, one_orientation, wrong_dimensions
    )
    _dimensions(dataset, exam.uid("dimensions of images", str(series.number)))
    dataset.PixelData = b"".join(bytes(image.PixelData) for image in stored)
    dataset["PixelData"].VR = "OW"
    return dataset


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    return item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


def _frame_type(taken: Acquisition) -> list[str]:
    return ["ORIGINAL", "PRIMARY", FLAVOURS[taken.kind], "NONE"]


def _image_module(dataset: Dataset, first: Dataset, taken: Acquisition) -> None:
    """Enhanced MR Image, its common description, and what else every object needs (PS3.3 C.8.13)."""
    dataset.ImageType = _frame_type(taken)
    dataset.AcquisitionDateTime = str(first.AcquisitionDate) + str(first.AcquisitionTime)
    dataset.AcquisitionDuration = 12.0
    dataset.PixelPresentation = "MONOCHROME"
    dataset.VolumetricProperties = "VOLUME"
    dataset.VolumeBasedCalculationTechnique = "NONE"
    dataset.ComplexImageComponent = "PHASE" if taken.kind == "flow-phase" else "MAGNITUDE"
    dataset.AcquisitionContrast = CONTRASTS.get(taken.kind, "UNKNOWN")
    dataset.ContentQualification = "RESEARCH"
    dataset.ResonantNucleus = "1H"
    dataset.KSpaceFiltering = "NONE"
    dataset.ApplicableSafetyStandardAgency = "IEC"
    dataset.BurnedInAnnotation = "NO"
    dataset.LossyImageCompression = "00"
    dataset.PresentationLUTShape = "IDENTITY"
    dataset.AcquisitionContextSequence = []


def _sequence_module(dataset: Dataset, taken: Acquisition) -> None:
    """MR Pulse Sequence (PS3.3 C.8.13.4)."""
    gradient = taken.scanning_sequence != "SE"
    flow = taken.kind.startswith("flow")
    dataset.PulseSequenceName = "B-FFE" if gradient else "TSE"
    dataset.MRAcquisitionType = "2D"
    dataset.EchoPulseSequence = "GRADIENT" if gradient else "SPIN"
    if not gradient:
        dataset.MultipleSpinEcho = "NO"
    dataset.MultiPlanarExcitation = "NO"
    dataset.PhaseContrast = "YES" if flow else "NO"
    if flow:
        dataset.VelocityEncodingAcquisitionSequence = [item(VelocityEncodingDirection=[0.0, 0.0, 1.0])]
    dataset.TimeOfFlightContrast = "NO"
    dataset.SteadyStatePulseSequence = "FREE_PRECESSION" if gradient and not flow else "NONE"
    dataset.EchoPlanarPulseSequence = "NO"
    dataset.SaturationRecovery = "NO"
    dataset.SpectrallySelectedSuppression = "FAT" if taken.fat_suppressed else "NONE"
    dataset.OversamplingPhase = "NONE"
    dataset.GeometryOfKSpaceTraversal = "RECTILINEAR"
    dataset.RectilinearPhaseEncodeReordering = "LINEAR"
    dataset.SegmentedKSpaceTraversal = "PARTIAL"
    dataset.NumberOfKSpaceTrajectories = 1


def _gating_module(dataset: Dataset, beat_ms: float) -> None:
    """Cardiac Synchronization (PS3.3 C.7.6.18.1)."""
    dataset.CardiacSynchronizationTechnique = "RETROSPECTIVE"
    dataset.CardiacSignalSource = "ECG"
    dataset.CardiacRRIntervalSpecified = float(round(beat_ms))
    dataset.CardiacBeatRejectionTechnique = "NONE"
    dataset.LowRRValue, dataset.HighRRValue = round(beat_ms * 0.9), round(beat_ms * 1.1)
    dataset.IntervalsAcquired, dataset.IntervalsRejected = 8, 0


def _shared(exam: Exam, series: ExamSeries, first: Dataset, one_orientation: bool) -> Dataset:
    """Functional groups that all frames share."""
    taken, group = series.acquisition, Dataset()
    group.PixelMeasuresSequence = [
        item(SliceThickness=first.SliceThickness, PixelSpacing=list(first.PixelSpacing))
    ]
    if series.spacing_between_mm is not None:
        group.PixelMeasuresSequence[0].SpacingBetweenSlices = first.SpacingBetweenSlices
    if one_orientation:
        group.PlaneOrientationSequence = [item(ImageOrientationPatient=list(first.ImageOrientationPatient))]
    value, meaning = REGIONS[exam.body_part]
    group.FrameAnatomySequence = [
        item(FrameLaterality=exam.laterality or "U", AnatomicRegionSequence=[_code(value, "SCT", meaning)])
    ]
    group.PixelValueTransformationSequence = [
        item(
            RescaleIntercept=first.get("RescaleIntercept", "0"),
            RescaleSlope=first.get("RescaleSlope", "1"),
            RescaleType="US",
        )
    ]
    group.FrameVOILUTSequence = [item(WindowCenter=first.WindowCenter, WindowWidth=first.WindowWidth)]
    add_mr_groups(group, exam, taken, _frame_type(taken), CONTRASTS.get(taken.kind, "UNKNOWN"))
    return group


def _frames(
    series: ExamSeries,
    images: Sequence[Dataset],
    beat_ms: float | None,
    one_orientation: bool,
    wrong_dimensions: bool,
) -> list[Dataset]:
    """Functional groups of each frame: place, time, and its indices along the dimensions."""
    places = list(dict.fromkeys(tuple(image.ImagePositionPatient) for image in sorted(images, key=_number)))
    phases = series.acquisition.phases
    groups = []
    for image in images:
        place = places.index(tuple(image.ImagePositionPatient)) + 1
        phase = (int(image.InstanceNumber) - 1) % phases + 1
        moment = datetime.strptime(f"{image.AcquisitionDate}{image.AcquisitionTime}", "%Y%m%d%H%M%S.%f")
        stated = len(places) + 1 - place if wrong_dimensions else place
        content = item(
            FrameReferenceDateTime=moment.strftime("%Y%m%d%H%M%S.%f"),
            FrameAcquisitionDateTime=moment.strftime("%Y%m%d%H%M%S.%f"),
            FrameAcquisitionDuration=float(timedelta(seconds=1) / timedelta(milliseconds=1)),
            FrameAcquisitionNumber=int(image.AcquisitionNumber),
            DimensionIndexValues=[1, stated, phase],
            StackID="1",
            InStackPositionNumber=stated,
            TemporalPositionIndex=phase,
        )
        group = item(
            FrameContentSequence=[content],
            PlanePositionSequence=[item(ImagePositionPatient=list(image.ImagePositionPatient))],
        )
        if not one_orientation:
            orientation = list(image.ImageOrientationPatient)
            group.PlaneOrientationSequence = [item(ImageOrientationPatient=orientation)]
        if series.acquisition.beats or "CG" in series.acquisition.scan_options:
            group.CardiacSynchronizationSequence = [
                item(
                    NominalCardiacTriggerDelayTime=_delay_ms(image),
                    RRIntervalTimeNominal=float(beat_ms or 0.0),
                    CardiacCyclePosition="UNDETERMINED",
                )
            ]
        groups.append(group)
    return groups


def _number(image: Dataset) -> int:
    return int(image.InstanceNumber)


def _delay_ms(image: Dataset) -> float:
    """Delay after the R wave; a maker who does not state it in classic files must do it here."""
    if image.get("TriggerTime"):
        return float(image.TriggerTime)
    taken, shown = (
        datetime.strptime(str(text), "%H%M%S.%f") for text in (image.AcquisitionTime, image.ContentTime)
    )
    return float(np.round((shown - taken) / timedelta(milliseconds=1), 3))


def _dimensions(dataset: Dataset, uid: str) -> None:
    """Stack, position in it, and moment (PS3.3 C.7.6.17)."""
    dataset.DimensionOrganizationSequence = [item(DimensionOrganizationUID=uid)]
    pointers = ("StackID", "InStackPositionNumber", "TemporalPositionIndex")
    dataset.DimensionIndexSequence = [
        item(
            DimensionOrganizationUID=uid,
            DimensionIndexPointer=Tag(name),
            FunctionalGroupPointer=Tag("FrameContentSequence"),
            DimensionDescriptionLabel=name,
        )
        for name in pointers
    ]
