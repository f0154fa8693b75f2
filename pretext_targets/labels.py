"""All labels of a stack, put together: a pure function of geometry.

What every phase of a slice shares is worked out once, when the build is planned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dicomgeom.lines import lines_between
from dicomgeom.plane import ImagePlane
from dicomgeom.privacy import hashed
from pretext_targets.boxes import BoxLabels, lay_boxes, no_boxes
from pretext_targets.choose import Choice, StackPlanes
from pretext_targets.lines import lines_on_grid, meeting_point
from pretext_targets.locations import linear_locations, sine_locations
from pretext_targets.patient_facts import NOTHING_TOLD, PatientFacts
from pretext_targets.protocol import Protocol
from pretext_targets.resample import axes_of, axis_matrix, grid_plane

Floats = NDArray[np.float64]

KNOWN_DIRECTIONS = ("SAG", "COR", "AX")
"""Views whose stacks always count along an anatomical direction; SAX only when the apex is known."""


@dataclass(frozen=True, eq=False)
class SliceLabels:
    """One slice of a carrier stack, its grid and its labels."""

    stack: int
    """Number of the stack in the plan."""
    stack_id: str
    slice_index: int
    n_slices: int
    n_phases: int
    plane: ImagePlane
    grid: ImagePlane
    line: Floats
    """a, b, c of each partner on the grid, shape (K, 3); NaN where absent."""
    boxes: BoxLabels
    location: float
    location_sine: float
    patient_key: bytes
    study_key: bytes
    stack_key: bytes
    centred: Literal["image", "crossing"] = "image"
    """What the grid's centre is."""
    placed: bool = True
    """Whether the planes are known to lie there; False: they only count rows, columns and slices."""
    slice_distance_mm: float = np.nan
    """Of neighbouring slices, where that is known and their place is not."""
    facts: PatientFacts = NOTHING_TOLD
    """What the set tells of the patient."""
    findings: tuple[int, ...] = ()
    """What a table tells of the exam: 1, 0 or -1 for each of the plan's findings."""

    @property
    def any_label(self) -> bool:
        """Whether geometry says anything about this slice."""
        known = np.isfinite([self.location, self.location_sine]).any()
        return bool(known or np.isfinite(self.line).any())


def label_stack(
    stack: StackPlanes, choices: Sequence[Choice], protocol: Protocol, *, number: int = 0, salt: bytes = b""
) -> list[SliceLabels]:
    """Label every slice of a stack.

    Parameters
    ----------
    stack : StackPlanes
        The carrier.
    choices : sequence of Choice
        Its partners, in the order of `protocol.partners`.
    protocol : Protocol
        Grid and sizes.
    number : int
        The stack's number in the plan.
    salt : bytes
        Of the catalogue, for the keys.

    Raises
    ------
    GeometryError
        When the slices do not ascend, or the grid misses the image.
    """
    row = stack.row
    partners = [choice.plane for choice in choices]
    known = bool(row["apex_known"]) if row["view"] == "SAX" else row["view"] in KNOWN_DIRECTIONS
    locations = linear_locations(stack.positions_mm, direction_known=known)
    sines = sine_locations(stack.positions_mm)
    toward = _directions(stack, choices, protocol)
    centre_mm = crossing_centre(stack, choices, protocol) if protocol.centre == "crossing" else None
    keys: dict[str, Any] = {
        "patient_key": bytes.fromhex(row["patient_key"]),
        "study_key": hashed(salt, row["study_instance_uid"]),
        "stack_key": hashed(salt, stack.stack_id),
    }
    labels = []
    for place, (slice_index, plane) in enumerate(zip(stack.slice_indices, stack.planes, strict=True)):
        grid = usable_grid(plane, protocol, centre_mm)
        line = lines_on_grid(grid, _believed(plane, partners, assumed=bool(row["frame_assumed"])))
        labels.append(
            SliceLabels(
                stack=number,
                stack_id=stack.stack_id,
                slice_index=slice_index,
                n_slices=len(stack.planes),
                n_phases=int(row["n_phases"]),
                plane=plane,
                grid=grid,
                line=line,
                boxes=_boxes(grid, plane, line, toward, protocol),
                location=float(locations[place]),
                location_sine=float(sines[place]),
                centred="image" if centre_mm is None else "crossing",
                **keys,
            )
        )
    return labels


def _believed(
    plane: ImagePlane, partners: Sequence[ImagePlane | None], *, assumed: bool
) -> list[ImagePlane | None]:
    """Partners that may cut an image: under an assumed frame of reference only those that really cross it."""
    if not assumed:
        return list(partners)
    return [
        partner if partner is not None and lines_between([plane], [partner]).crosses[0, 0] else None
        for partner in partners
    ]


def crossing_centre(stack: StackPlanes, choices: Sequence[Choice], protocol: Protocol) -> Floats | None:
    """Where the carrier's middle plane meets those of two partners: for hearts SAX, 2CH and 4CH.

    None when a partner is absent, two planes are nearly parallel, or the point's foot lies
    outside one of the stack's images; their own centres are taken then.
    """
    plane_of = {choice.view: choice.plane for choice in choices}
    pair = [plane_of[view] for view in protocol.crossing_views]
    if pair[0] is None or pair[1] is None:
        return None
    point_mm = meeting_point([stack.planes[stack.middle], pair[0], pair[1]])
    if point_mm is None:
        return None
    seen = [plane.contains_px(plane.to_pixel(point_mm)).all() for plane in stack.planes]
    return point_mm if all(seen) else None


def usable_grid(plane: ImagePlane, protocol: Protocol, centre_mm: Floats | None = None) -> ImagePlane:
    """The grid of an image.

    Raises
    ------
    GeometryError
        When it misses the image, as `GridMissesImage`.
    """
    grid = grid_plane(plane, protocol.rows, protocol.columns, protocol.spacing_mm, centre_mm=centre_mm)
    for axis in axes_of(plane, grid):
        axis_matrix(axis)  # complains when the grid misses the image
    return grid


def _boxes(
    grid: ImagePlane,
    plane: ImagePlane,
    line: Floats,
    toward: tuple[Floats | None, Floats | None],
    protocol: Protocol,
) -> BoxLabels:
    if protocol.boxes is None:
        return no_boxes("")
    side_px, step_px = protocol.box_side_px, protocol.box_step_px
    lines = line[list(protocol.box_channels)]
    return lay_boxes(grid, plane, lines, toward, side_px=side_px, step_px=step_px)


def _directions(
    stack: StackPlanes, choices: Sequence[Choice], protocol: Protocol
) -> tuple[Floats | None, Floats | None]:
    """LPS direction of the first way along each box line; None where the exam doesn't tell it."""
    short_axis = [one.partner for one in choices if one.view == "SAX" and one.partner is not None]
    if stack.row["view"] == "SAX":
        short_axis = [stack]

    def direction(toward: Any) -> Floats | None:
        if toward != "base":
            return np.asarray(toward, dtype=np.float64)
        if not short_axis or not short_axis[0].row["apex_known"]:
            return None
        return -short_axis[0].normal

    if protocol.boxes is None:
        return None, None
    first, second = (direction(line.toward) for line in protocol.boxes.lines)
    return first, second
