"""The few entries of DICOM's dictionary (PS3.6) that headers are read by: keyword, tag, representation.

Loading pydicom's dictionary costs more time than reading a thousand headers. What is not here is
looked up there; a test compares the two.
"""

from __future__ import annotations

from typing import Final

_BY_REPRESENTATION: Final[dict[str, dict[str, int]]] = {
    "CS": {
        "SpecificCharacterSet": 0x00080005, "ImageType": 0x00080008, "Modality": 0x00080060,
        "FrameType": 0x00089007, "ComplexImageComponent": 0x00089208, "BodyPartExamined": 0x00180015,
        "ScanningSequence": 0x00180020, "ScanOptions": 0x00180022, "PhaseContrast": 0x00189014,
        "PhotometricInterpretation": 0x00280004,
    },
    "DA": {
        "SeriesDate": 0x00080021, "AcquisitionDate": 0x00080022,
    },
    "DS": {
        "RepetitionTime": 0x00180080, "EchoTime": 0x00180081, "InversionTime": 0x00180082,
        "SpacingBetweenSlices": 0x00180088, "TriggerTime": 0x00181060, "FlipAngle": 0x00181314,
        "ImagePositionPatient": 0x00200032, "ImageOrientationPatient": 0x00200037, "PixelSpacing": 0x00280030,
        "RescaleIntercept": 0x00281052, "RescaleSlope": 0x00281053,
    },
    "DT": {
        "AcquisitionDateTime": 0x0008002A, "FrameAcquisitionDateTime": 0x00189074,
    },
    "FD": {
        "InversionTimes": 0x00189079, "EffectiveEchoTime": 0x00189082, "DiffusionBValue": 0x00189087,
        "VelocityEncodingDirection": 0x00189090, "NominalCardiacTriggerDelayTime": 0x00209153,
        "RRIntervalTimeNominal": 0x00209251,
    },
    "IS": {
        "NominalInterval": 0x00181062, "HeartRate": 0x00181088, "CardiacNumberOfImages": 0x00181090,
        "SeriesNumber": 0x00200011, "AcquisitionNumber": 0x00200012, "InstanceNumber": 0x00200013,
        "TemporalPositionIdentifier": 0x00200100, "NumberOfFrames": 0x00280008,
    },
    "LO": {
        "Manufacturer": 0x00080070, "SeriesDescription": 0x0008103E, "PatientID": 0x00100020,
        "ProtocolName": 0x00181030,
    },
    "SH": {
        "SequenceName": 0x00180024, "PulseSequenceName": 0x00189005,
    },
    "SQ": {
        "InstitutionCodeSequence": 0x00080082, "ProcedureCodeSequence": 0x00081032,
        "ReferencedStudySequence": 0x00081110, "ReferencedPerformedProcedureStepSequence": 0x00081111,
        "ReferencedSeriesSequence": 0x00081115, "ReferencedPatientSequence": 0x00081120,
        "ReferencedImageSequence": 0x00081140, "ReferencedInstanceSequence": 0x0008114A,
        "ReferencedSOPSequence": 0x00081199, "SourceImageSequence": 0x00082112,
        "AnatomicRegionSequence": 0x00082218, "AnatomicRegionModifierSequence": 0x00082220,
        "PrimaryAnatomicStructureSequence": 0x00082228, "DerivationImageSequence": 0x00089124,
        "DerivationCodeSequence": 0x00089215, "OtherPatientIDsSequence": 0x00101002,
        "DeidentificationMethodCodeSequence": 0x00120064, "MRImagingModifierSequence": 0x00189006,
        "MRTimingAndRelatedParametersSequence": 0x00189112, "MREchoSequence": 0x00189114,
        "MRModifierSequence": 0x00189115, "MRDiffusionSequence": 0x00189117,
        "CardiacSynchronizationSequence": 0x00189118, "MRVelocityEncodingSequence": 0x00189197,
        "MRImageFrameTypeSequence": 0x00189226, "FrameAnatomySequence": 0x00209071,
        "FrameContentSequence": 0x00209111, "PlanePositionSequence": 0x00209113,
        "PlaneOrientationSequence": 0x00209116, "UnassignedSharedConvertedAttributesSequence": 0x00209170,
        "UnassignedPerFrameConvertedAttributesSequence": 0x00209171,
        "DimensionOrganizationSequence": 0x00209221, "DimensionIndexSequence": 0x00209222,
        "TemporalPositionSequence": 0x00209310, "PixelMeasuresSequence": 0x00289110,
        "PixelValueTransformationSequence": 0x00289145, "RequestedProcedureCodeSequence": 0x00321064,
        "ScheduledProtocolCodeSequence": 0x00400008, "PerformedProtocolCodeSequence": 0x00400260,
        "RequestAttributesSequence": 0x00400275, "ReasonForRequestedProcedureCodeSequence": 0x0040100A,
        "ConceptNameCodeSequence": 0x0040A043, "PurposeOfReferenceCodeSequence": 0x0040A170,
        "ViewCodeSequence": 0x00540220, "IconImageSequence": 0x00880200,
        "ModifiedAttributesSequence": 0x04000550, "OriginalAttributesSequence": 0x04000561,
        "SharedFunctionalGroupsSequence": 0x52009229, "PerFrameFunctionalGroupsSequence": 0x52009230,
    },
    "TM": {
        "SeriesTime": 0x00080031, "AcquisitionTime": 0x00080032, "ContentTime": 0x00080033,
    },
    "UI": {
        "MediaStorageSOPClassUID": 0x00020002, "TransferSyntaxUID": 0x00020010, "SOPClassUID": 0x00080016,
        "SOPInstanceUID": 0x00080018, "StudyInstanceUID": 0x0020000D, "SeriesInstanceUID": 0x0020000E,
        "FrameOfReferenceUID": 0x00200052,
    },
    "UL": {
        "TemporalPositionIndex": 0x00209128,
    },
    "US": {
        "SamplesPerPixel": 0x00280002, "Rows": 0x00280010, "Columns": 0x00280011, "BitsAllocated": 0x00280100,
        "BitsStored": 0x00280101, "HighBit": 0x00280102, "PixelRepresentation": 0x00280103,
    },
}  # fmt: skip

KEYWORDS: Final = {keyword: tag for tags in _BY_REPRESENTATION.values() for keyword, tag in tags.items()}
"""Tag of each keyword."""

REPRESENTATIONS: Final = {tag: kind for kind, tags in _BY_REPRESENTATION.items() for tag in tags.values()}
"""Value representation of each tag."""

PRIVATE_REPRESENTATIONS: Final = {("GEMS_PARM_01", 0x0043, 0x2F): "SS"}
"""Of private elements, by creator, group and the last byte of the element."""

CHARACTER_SETS: Final = {
    "": "iso8859", "ISO_IR 6": "iso8859", "ISO_IR 13": "shift_jis", "ISO_IR 100": "latin_1",
    "ISO_IR 101": "iso8859_2", "ISO_IR 109": "iso8859_3", "ISO_IR 110": "iso8859_4",
    "ISO_IR 126": "iso_ir_126", "ISO_IR 127": "iso_ir_127", "ISO_IR 138": "iso_ir_138",
    "ISO_IR 144": "iso_ir_144", "ISO_IR 148": "iso_ir_148", "ISO_IR 166": "iso_ir_166",
    "ISO_IR 192": "UTF8", "GB18030": "GB18030", "GBK": "GBK",
}  # fmt: skip
"""Codecs of the character sets that stand alone (PS3.3 C.12.1.1.2); pydicom knows those with escapes."""


def tag_of(keyword: str) -> int:
    """Tag of a keyword; KeyError when there is no such one."""
    tag = KEYWORDS.get(keyword)
    if tag is not None:
        return tag
    from pydicom.datadict import keyword_dict

    return int(keyword_dict[keyword])


def representation_of(tag: int) -> str | None:
    """Value representation of a standard element; None for private and unknown ones."""
    kind = REPRESENTATIONS.get(tag)
    if kind is not None or tag >> 16 & 1:
        return kind
    from pydicom.datadict import dictionary_VR

    try:
        return dictionary_VR(tag)
    except KeyError:
        return None


def is_sequence(tag: int) -> bool:
    """Whether the dictionary lists an element, and as a sequence."""
    if tag in REPRESENTATIONS or tag >> 16 & 1:
        return REPRESENTATIONS.get(tag) == "SQ"
    from pydicom.datadict import dictionary_has_tag, dictionary_VR

    return dictionary_has_tag(tag) and dictionary_VR(tag) == "SQ"


def private_representation_of(tag: int, creator: str) -> str | None:
    """Value representation that a creator is known to use; None when it is not known."""
    kind = PRIVATE_REPRESENTATIONS.get((creator, tag >> 16, tag & 0xFF))
    if kind is not None:
        return kind
    from pydicom.datadict import private_dictionary_VR

    try:
        return private_dictionary_VR(tag, creator)
    except KeyError:
        return None


def codec_of(character_set: str) -> str:
    """Python's codec of a character set, by the standard's name; empty when there is no such one."""
    codec = CHARACTER_SETS.get(character_set)
    if codec is not None:
        return codec
    from pydicom.charset import python_encoding

    return python_encoding.get(character_set, "")
