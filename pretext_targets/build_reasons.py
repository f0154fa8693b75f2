"""Every word with which a build says what it lacks, and what the word means.

By the key of the summary under which it is counted: images that are no examples, examples without boxes,
examples whose pixels could not be used. Those of annotations stand in `annotations.UNUSED_REASONS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from dicomgeom.errors import AnatprepError, UnusableFile
from pretext_targets import boxes, choose
from pretext_targets.annotations import OTHER_VIEW
from pretext_targets.resample import GridMissesImage

NO_LABEL: Final = "no-label"
BAD_GEOMETRY: Final = "geometry"
GRID_MISSES_IMAGE: Final = "grid-misses-image"
SIZES_DIFFER: Final = "sizes-differ"
AFFINES_DIFFER: Final = "affines-differ"
SLICE_AXIS: Final = "slice-axis"

LEFT_OUT_REASONS: Final[Mapping[str, str]] = {
    AFFINES_DIFFER: "NIfTI files of one subject lie elsewhere than one another, by affines that are believed",
    "array-axes": "an array that has other axes than slices, rows and columns, or holds no numbers",
    "array-broken": "an array that cannot be read",
    choose.OTHER_CONTRAST: "the exam has a fat-suppressed stack, which the protocol prefers",
    BAD_GEOMETRY: "planes from which no label follows: slices that do not ascend, a broken affine",
    GRID_MISSES_IMAGE: "no pixel of the grid lies on the image: --spacing-mm is far too large",
    choose.KIND: "of the view, but of a kind that the protocol does not admit",
    "nifti-axes": "a NIfTI file of fewer than two or more than four axes, or with one of length 0",
    "nifti-broken": "a NIfTI file that cannot be read",
    "nifti-pixels": "a NIfTI file whose pixels are colours or complex numbers",
    NO_LABEL: "no partner, and no place in a stack: nothing to learn from",
    choose.NO_ORIGINAL: "no original image of the scanner",
    OTHER_VIEW: "a file of another view than the protocol's (counted in files)",
    choose.SUPERSEDED: "acquired again later; the later one is taken",
    SIZES_DIFFER: "the files of one subject have different sizes",
    SLICE_AXIS: "the third axis of a NIfTI file is not that of the slices of the protocol's view",
}
"""Why images are no examples."""

NO_BOXES_REASONS: Final[Mapping[str, str]] = {
    boxes.NO_DIRECTION: "nothing tells base from apex: no boxes",
    boxes.OUTSIDE: "the lines cross outside the image: no boxes",
    boxes.WEAK_DIRECTION: "a line runs across the direction that names its two ways: no boxes",
    boxes.PARALLEL: "the two lines are nearly parallel: no boxes",
    boxes.NO_GEOMETRY: "the files do not say where a plane lies in the patient: no lines and no boxes",
    boxes.NO_LINE: "a partner's line is absent: no boxes",
}
"""Why an example has none of the nine boxes."""

PIXEL_REASONS: Final[Mapping[str, str]] = {
    "array-axes": LEFT_OUT_REASONS["array-axes"],
    "array-broken": LEFT_OUT_REASONS["array-broken"],
    "contour-broken": "its contour is no polygon of points x y",
    "nifti-axes": LEFT_OUT_REASONS["nifti-axes"],
    "nifti-broken": LEFT_OUT_REASONS["nifti-broken"],
    "nifti-pixels": LEFT_OUT_REASONS["nifti-pixels"],
    "pixels-not-finite": "pixels that are infinite or no numbers",
    "segmentation-broken": "its DICOM SEG object cannot be decoded, or draws what it does not name",
    "segmentation-not-a-label-map": "its tissues are no label map of one byte a pixel",
    "segmentation-not-whole-numbers": "its label map has numbers between the codes, as interpolated ones do",
    "segmentation-size": "its annotation has another size than the image",
    "size-changed": "the file holds an image of another size than when it was indexed",
    "tissue-unknown": "its tissue image holds numbers that the table of tissues does not",
}
"""Why the pixels or the annotation of an example cannot be used, beside `dicomgeom.reasons.FILE_REASONS`."""

BUILD_REASONS: Final[Mapping[str, Mapping[str, str]]] = {
    "left_out": LEFT_OUT_REASONS,
    "without_boxes": NO_BOXES_REASONS,
    "invalid_reasons": PIXEL_REASONS,
}
"""Key of a build's summary -> word -> meaning."""


def reason_of(error: AnatprepError) -> str:
    """The word for what kept a stack, or a subject, out of a build."""
    if isinstance(error, UnusableFile):
        return error.reason
    return GRID_MISSES_IMAGE if isinstance(error, GridMissesImage) else BAD_GEOMETRY
