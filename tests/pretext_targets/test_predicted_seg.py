from __future__ import annotations

from pathlib import Path

import highdicom as hd
import numpy as np
import pytest

from dicomgeom.catalogue import Catalogue
from dicomgeom.privacy import hashed
from dicomgeom.row_planes import plane_of
from pretext_targets.labelled import index_segmentations, read_labels
from pretext_targets.predicted import PredictedStack
from pretext_targets.predicted_seg import Writer, write_segs
from pretext_targets.reader import StoreReader
from pretext_targets.resample import resample_labels

NAMES = ("background", "LV cavity", "a thing of our own")
WRITER = Writer("anatprep", "1.0", "0123456789abcdef")


def predicted(built: Path) -> list[PredictedStack]:
    """Drawn classes for every stack of a store; one image of each is missing."""
    reader, rng = StoreReader(built), np.random.default_rng(2)
    keys = reader.column("stack_key")
    stacks = []
    for key in np.unique(keys, axis=0):
        rows = np.flatnonzero((keys == key).all(axis=1))
        slices = np.unique(reader.column("slice_index")[rows])
        phases = np.unique(reader.column("phase_index")[rows])
        first = [rows[reader.column("slice_index")[rows] == one][0] for one in slices]
        known = np.ones((len(phases), len(slices)), dtype=bool)
        known[-1, 0] = False
        shape = (*known.shape, reader.attributes.rows, reader.attributes.columns)
        stacks.append(
            PredictedStack(
                patient_key=bytes(16),
                stack_key=bytes(key),
                slices=tuple(slices.tolist()),
                phases=tuple(phases.tolist()),
                classes=rng.integers(0, 3, shape).astype(np.uint8) * known[..., None, None],
                known=known,
                patient_from_pixel=reader.column("patient_from_pixel")[first],
                spacing_mm=reader.attributes.spacing_mm,
                segment_names=NAMES,
            )
        )
    return stacks


@pytest.fixture
def written(built: Path, catalogue: Catalogue, tmp_path: Path) -> tuple[list[PredictedStack], list[Path]]:
    stacks = predicted(built)
    return stacks, write_segs(tmp_path, catalogue, stacks, WRITER)


def test_each_image_gets_the_classes_of_the_stores_pixels_it_lies_on(
    written: tuple[list[PredictedStack], list[Path]], catalogue: Catalogue, tmp_path: Path
) -> None:
    stacks, _ = written
    by_key = {stack.stack_key: stack for stack in stacks}
    found, compared, missing = index_segmentations(tmp_path), 0, 0
    for row in catalogue.images.to_dicts():
        stack = by_key.get(hashed(catalogue.salt, row["stack_id"] or ""))
        if stack is None:
            continue
        place, phase = stack.slices.index(row["slice_index"]), stack.phases.index(row["phase_index"])
        number = found.find(row)
        if not stack.known[phase, place]:
            missing += number is None
            continue
        assert number is not None
        said = read_labels(str(found.files[number]), row["sop_instance_uid"], row["frame"], NAMES)
        plane = plane_of(row)
        grid = stack.plane(place, plane.frame_of_reference)
        assert np.array_equal(said, resample_labels(stack.classes[phase, place], grid, plane))
        assert said.shape == (plane.rows, plane.columns)
        compared += 1
    assert compared == sum(int(stack.known.sum()) for stack in stacks) > 0
    assert missing == len(stacks)


def test_highdicom_reads_the_objects_and_finds_their_planes(
    written: tuple[list[PredictedStack], list[Path]],
) -> None:
    stacks, paths = written
    for path in paths:
        read = hd.seg.segread(path)
        assert read.segmentation_type == hd.seg.SegmentationTypeValues.LABELMAP
        assert [one.SegmentLabel for one in read.SegmentSequence if one.SegmentNumber] == list(NAMES[1:])
        volume = read.get_volume(combine_segments=True)
        stack = next(one for one in stacks if path.name.startswith(one.stack_key.hex()))
        phase = stack.phases.index(int(path.stem[-3:]))
        assert volume.spatial_shape[0] == int(stack.known[phase].sum())
        assert abs(float(volume.direction[:, 0] @ stack.patient_from_pixel[0, :3, 2])) > 0.999


def test_stacks_that_the_catalogue_does_not_know_are_left_out(
    built: Path, catalogue: Catalogue, tmp_path: Path
) -> None:
    strangers = [
        PredictedStack(**{**stack.__dict__, "stack_key": bytes(16)}) for stack in predicted(built)[:1]
    ]
    assert write_segs(tmp_path, catalogue, strangers, WRITER) == []
