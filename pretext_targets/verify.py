"""Check that a store is what was built, and that its labels still follow from its geometry.

Files are hashed before Zarr opens any: Zarr answers with fill values where a file is
missing, and decoders may crash on damaged bytes. Only then a sample of the examples is worked
out again from what the store itself holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from dicomgeom.errors import IntegrityError
from dicomgeom.progress import Progress, silent
from pretext_targets.attributes import StoreAttributes, read_attributes
from pretext_targets.drawing import draw_boxes, draw_heatmaps, heatmap_codes
from pretext_targets.lines import crossing_px
from pretext_targets.manifest import ManifestRow, read_row, row_name
from pretext_targets.places import METADATA, Place, Where, place_of
from pretext_targets.protocol import Protocol
from pretext_targets.reader import StoreReader
from pretext_targets.schema import STACK_STATISTICS, Field
from pretext_targets.store import array_options, open_array
from pretext_targets.tissue_table import UNKNOWN_TISSUE

LINE_TOLERANCE_PX = 1e-2
"""How far a box's centre may lie from its line: float32 rounding is a hundred times smaller."""

LOCATION_TOLERANCE = 5e-3
"""How far a location may be from what the planes say; slices tilted by a degree differ by less."""

UNIT_TOLERANCE = 1e-5
"""How far a^2 + b^2 may be from 1 in float32."""

PIXEL_TOLERANCE = 2e-5
"""How far an image's statistics may be from its pixels, as a fraction of its range."""


def verify_store(where: Where, *, recompute: int = 32, progress: Progress = silent) -> list[str]:
    """List all that is wrong with a store.

    Parameters
    ----------
    where : Path or str
        The store: a path or a URL.
    recompute : int
        Examples, evenly spread, whose labels are worked out again.

    Returns
    -------
    list of str
        One line a problem; empty when the store is sound.

    Raises
    ------
    IntegrityError, WrongVersion
        When there is no store of this version there at all.
    """
    place = place_of(where)
    attributes = read_attributes(place)
    problems = [] if attributes.complete else ["half-written; run the same build-targets again to finish it"]
    problems += _broken_files(place, attributes, progress)
    if problems:
        return problems
    problems = [one for field in attributes.fields for one in _schema_problems(place, field, attributes)]
    if problems:
        return problems
    return list(_label_problems(StoreReader(place), recompute))


def _broken_files(place: Place, attributes: StoreAttributes, progress: Progress) -> list[str]:
    """Rows that are missing, and files that are not what their row says."""
    problems: list[str] = []
    for shard in range(-1, attributes.shards):
        name = row_name(shard)
        remedy = f"delete {name} and run the same build-targets again"
        try:
            row = read_row(place, shard)
        except IntegrityError as error:
            problems.append(str(error))
            continue
        if row is None:
            if shard >= 0 or attributes.complete:
                problems.append(f"{name} is missing; run the same build-targets again")
        else:
            problems += [f"{what}; {remedy}" for what in _row_problems(place, row, attributes)]
        progress("checking files", done=shard + 2, total=attributes.shards + 1)
    return problems


def _row_problems(place: Place, row: ManifestRow, attributes: StoreAttributes) -> Iterator[str]:
    if row.shard >= 0 and (row.start, row.stop) != attributes.range_of(row.shard):
        yield f"shard {row.shard} covers examples {row.start} to {row.stop}, not its own"
    for name in sorted(_files_of(row.shard, attributes) - set(row.files)):
        yield f"{name} is not listed by its row"
    for name, record in row.files.items():
        found = place.record(name)
        if found is None:
            yield f"{name} is missing"
        elif found != record:
            yield f"{name} has changed since it was written"


def _files_of(shard: int, attributes: StoreAttributes) -> set[str]:
    """What the row of a shard must list; of the store's own (-1) what exists once."""
    fields = attributes.fields
    if shard >= 0:
        return {one.chunk_name(shard) for one in fields if one.name not in STACK_STATISTICS}
    of_stacks = [one for one in fields if one.name in STACK_STATISTICS]
    chunks = {one.chunk_name(number) for one in of_stacks for number in range(attributes.shards)}
    return {METADATA, *(f"{one.name}/{METADATA}" for one in fields), *chunks}


def _schema_problems(place: Place, one: Field, attributes: StoreAttributes) -> Iterator[str]:
    """Ways in which an array's metadata is not what the schema says."""
    wanted = array_options(one, attributes)
    try:
        array = open_array(place, one.name)
    except IntegrityError as error:
        yield str(error)
        return
    found = {
        "shape": array.shape,
        "dtype": str(array.dtype),
        "chunks": array.chunks,
        "shards": array.shards,
        "dimension_names": array.metadata.to_dict().get("dimension_names"),
    }
    for key, value in found.items():
        expected = tuple(wanted[key]) if key == "dimension_names" else wanted[key]
        if (tuple(value) if isinstance(value, list) else value) != expected:
            yield f"{one.name}: {key} is {value}, the schema says {expected}"
    if not np.array_equal(array.fill_value, one.fill, equal_nan=one.dtype.startswith("float")):
        yield f"{one.name}: fill_value is {array.fill_value}, the schema says {one.fill}"


def _label_problems(reader: StoreReader, recompute: int) -> Iterator[str]:
    """Compare a sample of the examples with what their stored geometry says."""
    count = len(reader)
    sample = np.unique(np.linspace(0, count - 1, min(recompute, count)).round().astype(np.int64))
    checks: list[tuple[str, Callable[[StoreReader, NDArray[np.int64]], NDArray[np.bool_]]]] = [
        ("patient_from_pixel is no grid of the store's spacing", _bent_grids),
        ("a line is not normalised or its sign is not canonical", _bad_lines),
        ("the boxes do not follow from their lines", _misplaced_boxes),
        ("location_sine does not follow from the planes", _misplaced_slices),
        ("the image's statistics do not follow from its pixels", _wrong_statistics),
    ]
    if "rasters" in reader.attributes.parts:
        checks.append(("box_mask is not what its parameters draw", _wrong_masks))
        checks.append(("line_heatmap is not what its parameters draw", _wrong_heatmaps))
    if "tissue" in reader.attributes.parts:
        checks.append(("tissue holds codes that `tissues` does not name", _unnamed_tissues))
    for what, check in checks:
        wrong = sample[check(reader, sample)]
        if wrong.size:
            yield f"{what}: {wrong.size} of {sample.size} examples looked at, the first is {wrong[0]}"


def _bent_grids(reader: StoreReader, sample: NDArray[np.int64]) -> NDArray[np.bool_]:
    matrix = reader.read("patient_from_pixel", sample)[:, :3, :3]
    gram = np.swapaxes(matrix, 1, 2) @ matrix
    spacing_mm = reader.attributes.spacing_mm
    # A labelled set without geometry says so with nothing but NaN.
    unplaced = np.isnan(reader.read("patient_from_pixel", sample)).all(axis=(1, 2))
    return np.asarray(
        ~unplaced & ~(np.abs(gram - np.diag([spacing_mm**2, spacing_mm**2, 1])) < 1e-6).all(axis=(1, 2))
    )


def _bad_lines(reader: StoreReader, sample: NDArray[np.int64]) -> NDArray[np.bool_]:
    line = reader.read("line", sample).astype(np.float64)
    a, b = line[..., 0], line[..., 1]
    bad = (np.abs(np.hypot(a, b) - 1) > UNIT_TOLERANCE) | (a < 0) | ((a == 0) & (b < 0))
    return np.asarray((bad & ~np.isnan(line).any(axis=-1)).any(axis=-1))


def _misplaced_boxes(reader: StoreReader, sample: NDArray[np.int64]) -> NDArray[np.bool_]:
    """The centre at the crossing, the others at their steps along their lines."""
    protocol = Protocol.model_validate(reader.attributes.protocol)
    channels = list(protocol.box_channels)
    lines = reader.read("line", sample).astype(np.float64)[:, channels]
    centres = reader.read("box_centre", sample).astype(np.float64)
    steps = np.array([1, 2, 1, 2] * 2) * protocol.box_step_px
    wrong = np.zeros(sample.size, dtype=bool)
    for place in np.flatnonzero(~np.isnan(centres).any(axis=(1, 2))):
        pair, centre = lines[place], centres[place]
        crossing = crossing_px(pair[0], pair[1])
        own = np.repeat(pair, 4, axis=0)
        off = np.abs((own[:, :2] * centre[1:]).sum(axis=1) + own[:, 2])
        reach = np.linalg.norm(centre[1:] - centre[0], axis=1)
        wrong[place] = (
            crossing is None
            or np.abs(crossing - centre[0]).max() > LINE_TOLERANCE_PX
            or off.max() > LINE_TOLERANCE_PX
            or np.abs(reach - steps).max() > LINE_TOLERANCE_PX
        )
    return wrong


def _misplaced_slices(reader: StoreReader, sample: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Locations against the planes of the whole stack, where the store holds all its slices."""
    stacks, slices = reader.column("stack_key"), reader.column("slice_index")
    stored = reader.read("location_sine", sample), reader.read("location", sample)
    wrong = np.zeros(sample.size, dtype=bool)
    for place, example in enumerate(sample.tolist()):
        members = np.flatnonzero((stacks == stacks[example]).all(axis=1))
        order, first = np.unique(slices[members], return_index=True)
        if order.size < 2 or order.size != reader.column("n_slices")[example]:
            continue
        matrices = reader.read("patient_from_pixel", members[first])
        if np.isnan(matrices).any():
            continue
        middle = [(reader.attributes.columns - 1) / 2, (reader.attributes.rows - 1) / 2, 0, 1]
        along = (matrices @ np.array(middle))[:, :3] @ matrices[0, :3, 2]
        relative = (along - along[0]) / (along[-1] - along[0])
        expected = relative[np.searchsorted(order, slices[example])]
        off = abs(np.sin(np.pi * expected) - stored[0][place])
        linear = stored[1][place]
        off = max(off, 0.0 if np.isnan(linear) else abs(expected - linear))
        wrong[place] = not off <= np.pi * LOCATION_TOLERANCE
    return wrong


def _wrong_statistics(reader: StoreReader, sample: NDArray[np.int64]) -> NDArray[np.bool_]:
    codes = reader.read("image", sample).astype(np.float64)
    scale, offset = (reader.read(f"image_{one}", sample)[:, None, None] for one in ("scale", "offset"))
    pixels = codes * scale + offset
    wrong = np.zeros(sample.size, dtype=bool)
    for name, found in (
        ("mean", pixels.mean(axis=(1, 2))),
        ("std", pixels.std(axis=(1, 2))),
        ("min", pixels.min(axis=(1, 2))),
        ("max", pixels.max(axis=(1, 2))),
    ):
        span = np.maximum(np.ptp(pixels, axis=(1, 2)), np.abs(offset[:, 0, 0]) * 1e-3)
        wrong |= np.abs(reader.read(f"image_{name}", sample) - found) > PIXEL_TOLERANCE * span + 1e-6
    return np.asarray(wrong & reader.read("valid", sample))


def _wrong_masks(reader: StoreReader, sample: NDArray[np.int64]) -> NDArray[np.bool_]:
    about = reader.attributes
    centre, present = reader.read("box_centre", sample), reader.read("box_present", sample)
    drawn = draw_boxes(centre, present, about.box_side_px, about.rows, about.columns)
    return np.asarray((drawn != reader.read("box_mask", sample)).any(axis=(1, 2)))


def _unnamed_tissues(reader: StoreReader, sample: NDArray[np.int64]) -> NDArray[np.bool_]:
    codes = reader.read("tissue", sample)
    unnamed = (codes >= len(reader.attributes.tissues)) & (codes != UNKNOWN_TISSUE)
    return np.asarray(unnamed.any(axis=(1, 2)))


def _wrong_heatmaps(reader: StoreReader, sample: NDArray[np.int64]) -> NDArray[np.bool_]:
    about = reader.attributes
    line = reader.read("line", sample)
    drawn = heatmap_codes(draw_heatmaps(line, about.line_sigma_px, about.rows, about.columns))
    difference = np.abs(drawn.astype(np.int16) - reader.read("line_heatmap", sample))
    return np.asarray((difference > 1).any(axis=(1, 2, 3)))
