"""Every reason the catalogue gives, once: a word for machines and what it means.

The column that holds the word is the heading: `files.reason`, `images.left_out`,
`stacks.reason` (several, joined by "; ") and `stacks.frame_reason`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

FILE_REASONS: Final[Mapping[str, str]] = {
    "archive-in-archive": "an archive inside an archive; unpack the outer one and index again",
    "bad-geometry": "direction cosines, spacings or coordinates that no rounding explains",
    "broken-archive": "a zip or tar archive that cannot be opened",
    "cannot-open": "the file is gone, locked, or no longer in its archive",
    "cannot-read": "the file could be opened and then not read: a broken disk or connection",
    "colour": "several samples for a pixel or a palette: a picture of results, no measured image",
    "dead-link": "a link that leads nowhere",
    "decompression-bomb": "a member of an archive that would unpack to an absurd size",
    "dicomdir": "an index of other files; its references are not followed, the folder is read",
    "empty-file": "no bytes",
    "frame-count-contradicts": "another number of frames than of functional groups that place them",
    "made-by-anatprep": "a catalogue, store, run, experiment, report or truth of phantoms; not walked into",
    "multi-frame-without-groups": "several frames and nothing that places each of them",
    "no-position": "position, orientation or pixel spacing missing or unreadable",
    "no-such-frame": "a frame was asked for that the file does not hold",
    "not-a-file": "a device, a socket or a pipe; in a tar also a symbolic link",
    "not-an-image": "no rows and columns: a report, a presentation state, raw data",
    "not-an-mr-image-class": "a secondary capture or another class than MR image",
    "not-dicom": "neither a DICM mark nor a first element that DICOM could start with",
    "not-mr": "another modality, or none stated",
    "path-climbs-out": "a member of an archive whose path leads out of it",
    "siemens-mosaic": "a mosaic whose private header does not prove where its tiles lie",
    "truncated": "the file ends before its pixel data do",
    "uih-grid": "a grid whose private header does not prove where its tiles lie",
    "undecodable-name": "a file name in bytes that are no text; rename the file and index again",
    "undecodable-pixels": "pixel data broken, or compressed in a way that no installed decoder knows",
    "unreadable-folder": "a folder that may not be listed",
    "unreadable-header": "bytes that cannot be taken apart into elements",
}
"""Why a file gives no image; status says whether it was skipped (not for us) or unreadable (broken)."""

PASSING_REASONS: Final = frozenset({"cannot-open", "cannot-read", "unreadable-folder"})
"""Files with these are tried again by the next run: a share was away, a right was missing."""

IMAGE_REASONS: Final[Mapping[str, str]] = {
    "conflict": "another file with its SOP Instance UID shows the same place and time otherwise",
    "copy": "another file has the same content",
    "derived": "computed from other images (reformat, projection, difference): by Image Type",
}
"""Why an image is in no stack."""

NOTHING_MISSED: Final = frozenset({"copy", "derived", "dicomdir", "made-by-anatprep"})
"""What is left out and yet nothing is missed: a copy's content is in, a DICOMDIR's folder is read, derived
images add nothing measured, and what anatprep wrote is no input."""

FRAME_REASONS: Final[Mapping[str, str]] = {
    "frame-for-every-file": "every file has a frame of reference of its own, as de-identification makes them",
    "no-frame-stated": "the files state no frame of reference",
}
"""Why a frame of reference was assumed: same study, same day, and planes that really cross."""

STACK_REASONS: Final[Mapping[str, str]] = {
    **FRAME_REASONS,
    "chosen-of-repeats": "chosen over an earlier or less complete acquisition at the same planes",
    "gap": "a slice is missing: somewhere the distance is a multiple of the usual one",
    "joined": "joined from several series, or several parts of one",
    "phases-unordered": "no evidence of time tells the images of a plane apart: they keep no order",
    "phases-uneven": "some planes have fewer images than others",
    "repeated": "acquired again, later or more completely, at the same planes",
    "sheared": "the line through the origins is not the normal (gantry tilt, shifted slices)",
    "studies-merged": "several Study Instance UIDs of one patient, day and frame of reference, seen as one",
    "uid-shared": "holds images whose SOP Instance UID another image at another place or time has too",
}
"""What a user should know of a stack; none of them makes it unusable by itself."""

REASONS: Final[Mapping[str, Mapping[str, str]]] = {
    "files.reason": FILE_REASONS,
    "images.left_out": IMAGE_REASONS,
    "stacks.reason": STACK_REASONS,
}
