"""Single attributes, read leniently."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from dicomgeom.attributes import Attributes, Given, private_tags
from tests.helpers.special_files import item


class Raw:
    """A dataset of raw elements: keyword -> bytes, or (type, bytes)."""

    def __init__(self, *, little: bool = True, **elements: Any) -> None:
        self.elements = {}
        for keyword, value in elements.items():
            vr, raw = value if isinstance(value, tuple) else ("LO", value)
            tag = Tag(keyword)
            self.elements[int(tag)] = RawDataElement(tag, vr, len(raw), raw, 0, False, little)

    def get_item(self, tag: int, /) -> Any:
        return self.elements.get(int(tag))


def test_a_frame_stands_before_what_is_shared_and_empty_values_stand_for_nothing() -> None:
    own, shared = Raw(EchoTime=b"", FlipAngle=b"7"), Raw(EchoTime=b"30", FlipAngle=b"8")
    both = Attributes(own, shared)
    assert (both.number("EchoTime"), both.number("FlipAngle")) == (30.0, 7.0)
    assert both.before(Given({"EchoTime": 2.5})).number("EchoTime") == 2.5


@pytest.mark.parametrize(("little", "raw"), [(True, b"\x10\x00\x18\x00"), (False, b"\x00\x10\x00\x18")])
def test_binary_numbers_are_read_in_the_order_of_their_bytes(little: bool, raw: bytes) -> None:
    assert Attributes(Raw(little=little, Rows=("US", raw))).numbers("Rows") == [16, 24]


def test_numbers_are_all_understood_or_none_is_given() -> None:
    assert Attributes(Raw(PixelSpacing=b"1,5\\ 2.5 ")).numbers("PixelSpacing") == [1.5, 2.5]
    assert Attributes(Raw(PixelSpacing=b"1.5\\wide")).numbers("PixelSpacing") == []
    assert Attributes(Raw(PixelSpacing=b"1.5\\1e400")).numbers("PixelSpacing") == []
    assert Attributes(Raw(InstanceNumber=b"1e30")).integer("InstanceNumber") is None


def test_a_private_element_is_found_by_its_creator_in_any_of_the_first_blocks() -> None:
    dataset = Dataset()
    dataset.private_block(0x0029, "SOMEBODY ELSE", create=True).add_new(0x10, "OB", b"wrong")
    dataset.private_block(0x0029, "SIEMENS CSA HEADER", create=True).add_new(0x10, "OB", b"right!")
    source = Attributes(dataset)
    assert source.private_bytes("SIEMENS CSA HEADER", 0x0029, 0x10) == b"right!"
    assert source.private_bytes("NOBODY", 0x0029, 0x10) == b""
    assert {0x00290011, 0x00291110} <= set(private_tags(0x0029, 0x10))


def test_a_private_number_of_an_implicit_file_is_read_as_its_creator_writes_it() -> None:
    tags = {0x00430010: b"GEMS_PARM_01", 0x0043102F: b"\x02\x00"}
    source = Raw()
    source.elements = {
        tag: RawDataElement(Tag(tag), None, len(raw), raw, 0, True, True) for tag, raw in tags.items()
    }
    assert Attributes(source).private_numbers("GEMS_PARM_01", 0x0043, 0x2F) == [2]


def test_items_of_a_sequence_are_empty_where_it_is_absent_broken_or_none() -> None:
    whole = item(ReferencedImageSequence=[item(EchoTime="5")])
    (found,) = Attributes(whole).items("ReferencedImageSequence")
    assert Attributes(found).number("EchoTime") == 5
    assert Attributes(whole).items("SourceImageSequence") == []
    for broken in (b"text", b"\xfe\xff\x00\xe0\xff\x00\x00\x00", b"\xfe\xff\x00\xe0\xff\xff\xff\xff\x08"):
        source = Attributes(Raw(ReferencedImageSequence=("SQ", broken)))
        assert [list(one) for one in source.items("ReferencedImageSequence")] in ([], [[]])


@given(
    st.binary(max_size=40), st.sampled_from(["", "ISO_IR 192", "\\ISO 2022 IR 87", "ISO_IR 13", "GBK", "?"])
)
def test_no_bytes_under_any_character_set_stop_the_reading(raw: bytes, charset: str) -> None:
    source = Attributes(Raw(SeriesDescription=raw, SpecificCharacterSet=charset.encode()))
    assert isinstance(source.described("SeriesDescription"), str)
    source.described("SeriesDescription").encode()
    source.numbers("SeriesDescription")
    source.items("SeriesDescription")
