"""Pitfalls of real exports that a phantom exam can be given, by name.

A trap is done to an exam on top of whatever its vendor does. Some are planned (another
series is acquired, a stack tilts), some change data sets before they are written, some change the
bytes or the folder afterwards. What the catalogue should make of each is a sentence in
tests/phantoms/test_traps.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dicomgeom.errors import WrongUse

PLANNED: Mapping[str, str] = {
    "series-per-slice": "the short-axis stack is one series a slice",
    "repeat": "a view is acquired twice",
    "repeat-incomplete": "the short-axis stack is acquired again and broken off after half the slices",
    "late-enhancement": "late enhancement on the planes of the short-axis cine",
    "flow": "phase contrast, magnitude and phase, on a plane of the short-axis cine",
    "anisotropic": "pixels that are not square, in an image that is not square",
    "wrong-descriptions": "every description names another view",
    "empty-descriptions": "every description is empty",
    "foreign-descriptions": "every description is in another language",
    "operator-error": "planes up to 15 degrees and 10 mm beside where they should be",
    "uneven-spacing": "slices at uneven distances",
    "tilting-stack": "the planes of a stack tilt more from slice to slice",
    "sheared-stack": "the images of a stack are shifted in the plane from slice to slice (gantry tilt)",
    "enhanced": "all series are enhanced multi-frame objects, the localizer of three orientations too",
    "enhanced-frames-shuffled": "enhanced, with frames in no order",
    "enhanced-dimensions-wrong": "enhanced, with dimension indices that contradict the positions",
    "dicomdir": "a file set with a DICOMDIR",
    "dicomdir-dead-references": "a DICOMDIR whose files were renamed, and that climbs out of its folder",
    "implicit": "implicit VR little endian",
    "big-endian": "explicit VR big endian",
    "deflated": "deflated explicit VR little endian",
    "rle": "RLE lossless",
    "jpeg-lossless": "JPEG lossless, first-order prediction",
    "jpeg-baseline": "JPEG baseline, eight bits, lossy",
    "jpeg-extended": "JPEG extended, twelve bits, lossy",
    "jpeg-ls": "JPEG-LS lossless",
    "jpeg-2000": "JPEG 2000 lossless",
}
"""Traps the exam is planned or filed with."""

ON_DATA_SETS: Mapping[str, str] = {
    "localizer-shares-series": "localizers and short axis share one Series Instance UID",
    "frame-per-file": "a frame of reference of its own for every file",
    "no-frame": "no frame of reference",
    "frame-changes": "the table moved: long axes and short axes have different frames of reference",
    "study-per-series": "a Study Instance UID for every series",
    "binary-copies": "files that are there twice, byte for byte",
    "same-uid-other-content": "a SOP Instance UID that two images at different places share",
    "missing-slice": "a slice in the middle of the stack is missing",
    "missing-phases": "slices with fewer phases than others",
    "slice-thickness-wrong": "Slice Thickness and Spacing Between Slices that contradict the positions",
    "spacing-negative": "Spacing Between Slices is negative",
    "spacing-absent": "neither Slice Thickness nor Spacing Between Slices",
    "instance-numbers-repeated": "Instance Number is 1 everywhere",
    "instance-numbers-absent": "no Instance Number",
    "instance-numbers-shuffled": "Instance Number in no order",
    "slice-location-wrong": "Slice Location has nothing to do with the positions",
    "trigger-time-constant": "Trigger Time is the same in all phases",
    "trigger-time-absent": "no Trigger Time",
    "trigger-time-shuffled": "Trigger Time in another order than the instance numbers",
    "temporal-position-constant": "Temporal Position Identifier is 1 everywhere",
    "cardiac-images-absent": "Cardiac Number of Images is absent",
    "cosines-rounded": "direction cosines with four decimals",
    "cosines-skewed": "direction cosines that no rounding explains",
    "derived-originals": "DERIVED in the Image Type of originals",
    "derived-images": "a reformat and a projection beside the originals",
    "complex-images": "real and imaginary parts beside the magnitude",
    "t1-map": "a T1 map on a plane of the cine",
    "perfusion": "first-pass perfusion on a plane of the cine: many beats, one phase",
    "late-header": "the spacing lies behind a private header of 120 KB",
    "siemens-mosaic": "the first phase of the short-axis stack again, as a mosaic with a CSA header",
    "mosaic-stripped": "a mosaic whose CSA header was removed",
    "uih-grid": "the first phase of the short-axis stack again, as a grid without position",
    "secondary-capture": "a screenshot",
    "structured-report": "a report, a key object selection and a presentation state",
    "segmentation-object": "the truth of a series among the images, as DICOM SEG",
    "monochrome1": "MONOCHROME1",
    "rescaled": "a rescale slope and intercept of its own for every image",
    "signed": "signed pixels",
    "few-bits": "10 bits stored of 16 allocated, rubbish in the rest",
    "overlay-bits": "an overlay in the high bits of the pixels",
    "colour": "images in colour",
    "character-sets": "descriptions in other character sets, some not declared",
    "long-decimals": "decimal strings longer than 16 characters",
    "comma-decimals": "decimal commas",
    "empty-values": "optional elements that are there and empty",
}
"""Traps done to the data sets before they are written."""

ON_FILES: Mapping[str, str] = {
    "no-preamble": "files without preamble and mark",
    "no-file-meta": "files without file meta information",
    "truncated": "a file that ends within its pixels",
    "truncated-header": "a file that ends within its header",
    "wrong-length": "a file with an element longer than the file",
    "empty-file": "a file of no bytes",
    "not-dicom": "a text, a picture and a thumbnail database among the images",
    "dead-link": "a symbolic link that leads nowhere",
    "symlink-loop": "a symbolic link to the folder it lies in",
    "zipped": "half of the exam in a zip archive",
    "climbing-archive": "an archive with a member whose path climbs out of it",
    "zip-bomb": "an archive with a member that unpacks to an absurd size",
    "several-folders": "the exam spread over folders of depth one to six",
    "private-storage": "XX_ and PS_ files, as Philips exports them",
    "file-order": "files whose names sort against the order of acquisition",
    "fragmented": "compressed pixels cut into several fragments",
}
"""Traps done to the bytes or the folder."""

TRAPS: Mapping[str, str] = {**PLANNED, **ON_DATA_SETS, **ON_FILES}
"""Every trap by name, with what it is."""

EXCLUSIVE = (
    frozenset(
        {
            "implicit", "big-endian", "deflated", "rle", "jpeg-lossless", "jpeg-baseline",
            "jpeg-extended", "jpeg-ls", "jpeg-2000",
        }
    ),
    frozenset({"wrong-descriptions", "empty-descriptions", "foreign-descriptions"}),
)  # fmt: skip
"""Of each of these one exam can have only one."""


def check_traps(names: Sequence[str]) -> None:
    """Refuse names that are no traps, and traps that exclude each other.

    Raises
    ------
    WrongUse
        With the list of all names.
    """
    unknown = [name for name in names if name not in TRAPS]
    if unknown:
        raise WrongUse(f"no trap {', '.join(map(repr, unknown))}; there is: {', '.join(TRAPS)}")
    for group in EXCLUSIVE:
        both = [name for name in names if name in group]
        if len(set(both)) > 1:
            raise WrongUse(f"traps {' and '.join(both)} exclude each other; choose one")
