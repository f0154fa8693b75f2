"""Functional groups that all frames of an enhanced MR object share (PS3.3 C.8.13.5)."""

from __future__ import annotations

from collections.abc import Sequence

from pydicom.dataset import Dataset

from phantoms.acquisition import VENC_CM_S, Acquisition
from phantoms.exam import Exam


def item(**values: object) -> Dataset:
    """Make a data set of elements by keyword."""
    dataset = Dataset()
    for name, value in values.items():
        setattr(dataset, name, value)
    return dataset


def add_mr_groups(
    group: Dataset, exam: Exam, taken: Acquisition, frame_type: Sequence[str], contrast: str
) -> None:
    """Add the functional groups of MR (PS3.3 C.8.13.5) that all frames share."""
    _add_sequence_groups(group, taken, frame_type, contrast)
    _add_hardware_groups(group, exam)
    if taken.kind.startswith("flow"):
        group.MRVelocityEncodingSequence = [
            item(
                VelocityEncodingDirection=[0.0, 0.0, 1.0],
                VelocityEncodingMinimumValue=-VENC_CM_S,
                VelocityEncodingMaximumValue=VENC_CM_S,
            )
        ]


def _add_sequence_groups(
    group: Dataset, taken: Acquisition, frame_type: Sequence[str], contrast: str
) -> None:
    """Frame type, timing, echo and preparation."""
    group.MRImageFrameTypeSequence = [
        item(
            FrameType=list(frame_type),
            PixelPresentation="MONOCHROME",
            VolumetricProperties="VOLUME",
            VolumeBasedCalculationTechnique="NONE",
            ComplexImageComponent="PHASE" if taken.kind == "flow-phase" else "MAGNITUDE",
            AcquisitionContrast=contrast,
        )
    ]
    group.MRTimingAndRelatedParametersSequence = [
        item(
            RepetitionTime=taken.repetition_ms,
            FlipAngle=taken.flip_deg,
            EchoTrainLength=taken.echo_train,
            RFEchoTrainLength=0 if taken.scanning_sequence != "SE" else taken.echo_train,
            GradientEchoTrainLength=1 if taken.scanning_sequence != "SE" else 0,
            SpecificAbsorptionRateSequence=[
                item(SpecificAbsorptionRateDefinition="IEC_WHOLE_BODY", SpecificAbsorptionRateValue=0.8)
            ],
            GradientOutputType="DB_DT",
            GradientOutput=20.0,
            OperatingModeSequence=[
                item(OperatingModeType="STATIC FIELD", OperatingMode="IEC_NORMAL"),
                item(OperatingModeType="RF", OperatingMode="IEC_NORMAL"),
                item(OperatingModeType="GRADIENT", OperatingMode="IEC_NORMAL"),
            ],
        )
    ]
    group.MREchoSequence = [item(EffectiveEchoTime=float(taken.echo_ms))]
    group.MRModifierSequence = [_modifier(taken)]


def _add_hardware_groups(group: Dataset, exam: Exam) -> None:
    """Field of view, frequency and coils."""
    group.MRFOVGeometrySequence = [
        item(
            InPlanePhaseEncodingDirection="ROW",
            MRAcquisitionFrequencyEncodingSteps=128,
            MRAcquisitionPhaseEncodingStepsInPlane=128,
            PercentSampling="100",
            PercentPhaseFieldOfView="100",
        )
    ]
    group.MRImagingModifierSequence = [
        item(
            MagnetizationTransfer="NONE",
            BloodSignalNulling="NO",
            Tagging="NONE",
            TransmitterFrequency=42.577 * float(exam.field_tesla),
            PixelBandwidth="900",
        )
    ]
    group.MRReceiveCoilSequence = [
        item(
            ReceiveCoilName="phantom",
            ReceiveCoilManufacturerName="",
            ReceiveCoilType="SURFACE",
            QuadratureReceiveCoil="NO",
        )
    ]
    group.MRTransmitCoilSequence = [
        item(TransmitCoilName="phantom", TransmitCoilManufacturerName="", TransmitCoilType="BODY")
    ]
    group.MRAveragesSequence = [item(NumberOfAverages="1")]


def _modifier(taken: Acquisition) -> Dataset:
    modifier = item(
        InversionRecovery="NO",
        FlowCompensation="NONE",
        Spoiling="NONE",
        T2Preparation="NO",
        SpectrallySelectedExcitation="NONE",
        SpatialPresaturation="NONE",
        PartialFourier="NO",
        ParallelAcquisition="NO",
    )
    if taken.inversion_ms is not None:
        modifier.InversionRecovery = "YES"
        modifier.InversionTimes = [float(taken.inversion_ms)]
    return modifier
