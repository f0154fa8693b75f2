"""Our short dictionary says what pydicom's long one says."""

from __future__ import annotations

import pytest
from pydicom.charset import python_encoding
from pydicom.datadict import DicomDictionary, keyword_dict, private_dictionary_VR

from dicomgeom.dictionary import (
    CHARACTER_SETS,
    KEYWORDS,
    PRIVATE_REPRESENTATIONS,
    REPRESENTATIONS,
    codec_of,
    is_sequence,
    private_representation_of,
    representation_of,
    tag_of,
)
from dicomgeom.header import PRIVATE_TAGS, READ_TAGS

OVERLAY_ROWS = 0x60020010
"""In the dictionary by its pattern (60xx) alone."""


def test_every_entry_is_that_of_pydicom() -> None:
    assert {keyword: keyword_dict[keyword] for keyword in KEYWORDS} == KEYWORDS
    assert {tag: DicomDictionary[tag][0] for tag in REPRESENTATIONS} == REPRESENTATIONS
    assert {name: python_encoding[name] for name in CHARACTER_SETS} == CHARACTER_SETS
    for (creator, group, element), kind in PRIVATE_REPRESENTATIONS.items():
        assert private_dictionary_VR(group << 16 | 0x1000 | element, creator) == kind


def test_whatever_is_not_here_is_looked_up_in_pydicom() -> None:
    assert "PatientName" not in KEYWORDS
    assert tag_of("PatientName") == 0x00100010
    assert all(is_sequence(tag) == (entry[0] == "SQ") for tag, entry in DicomDictionary.items())
    assert all(representation_of(tag) == entry[0] for tag, entry in DicomDictionary.items())
    assert representation_of(OVERLAY_ROWS) == "US"
    assert not is_sequence(OVERLAY_ROWS)
    assert {name: codec_of(name) for name in python_encoding} == python_encoding
    assert private_representation_of(0x0019100C, "SIEMENS MR HEADER") == "IS"


def test_what_nobody_knows_is_nothing() -> None:
    assert representation_of(0x00080003) is None
    assert representation_of(0x00431099) is None
    assert not is_sequence(0x00431099)
    assert private_representation_of(0x00431099, "NOBODY") is None
    assert codec_of("EBCDIC") == ""
    with pytest.raises(KeyError):
        tag_of("NoSuchKeyword")


def test_all_that_headers_are_read_by_is_here() -> None:
    assert set(READ_TAGS) <= set(KEYWORDS)
    assert all(tag >> 16 & 1 for tag in PRIVATE_TAGS)
