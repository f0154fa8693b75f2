"""What real exports contain: files of many slices, and kinds of images (see test_pitfalls.py)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items

from dicomgeom.errors import NothingUsable
from dicomgeom.index import index
from dicomgeom.pixels import read_image
from dicomgeom.plane import ImagePlane
from dicomgeom.row_planes import plane_of
from tests.helpers.dicom_files import axial, mr_dataset, uid, write_mr
from tests.helpers.exports import catalogue_of, sagittal, series, write_stack
from tests.helpers.special_files import enhanced_dataset, grid_dataset, item, mosaic_dataset, save

# Several slices in one file


def test_enhanced_frames_in_any_order_and_orientation_are_sorted_by_their_groups(tmp_path: Path) -> None:
    planes = [axial(10.0), sagittal(5.0), axial(0.0), sagittal(0.0), axial(5.0), sagittal(10.0)]
    planes = [
        ImagePlane(p.origin_mm, p.right, p.down, 1.5, 1.5, 16, 16, uid(4)) for p in planes
    ]  # frames of one file share their matrix
    dataset = enhanced_dataset(planes)
    for number, group in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        # As some files do: every frame claims another place in its stack than it has.
        group.FrameContentSequence[0].InStackPositionNumber = 6 - number
        group.FrameContentSequence[0].StackID = "1"
        del group.CardiacSynchronizationSequence
    save(tmp_path / "export" / "a", dataset)
    catalogue = catalogue_of(tmp_path)
    assert catalogue.stacks["n_slices"].to_list() == [3, 3]
    for row in catalogue.images.iter_rows(named=True):
        frame = planes[row["frame"]]
        np.testing.assert_allclose(plane_of(row).patient_from_pixel, frame.patient_from_pixel, atol=1e-6)
        image = read_image(str(tmp_path / "export"), "a", row["frame"])
        assert (image == row["frame"]).all()


def test_an_enhanced_frame_takes_its_place_from_standard_groups_alone(tmp_path: Path) -> None:
    planes = [axial(0.0), axial(5.0)]
    dataset = enhanced_dataset(planes, ImagePositionPatient=["9", "9", "9"])
    for group in dataset.PerFrameFunctionalGroupsSequence:
        block = group.private_block(0x2005, "Philips MR Imaging DD 005", create=True)
        block.add_new(0x0F, "SQ", [item(ImagePositionPatient=["7", "7", "7"], PixelSpacing=["7", "7"])])
    save(tmp_path / "export" / "a", dataset)
    for row in catalogue_of(tmp_path).images.iter_rows(named=True):
        np.testing.assert_allclose(
            plane_of(row).patient_from_pixel, planes[row["frame"]].patient_from_pixel, atol=1e-6
        )
    del dataset.PerFrameFunctionalGroupsSequence[1].PlanePositionSequence
    save(tmp_path / "export" / "a", dataset)
    with pytest.raises(NothingUsable, match="1 no-position"):
        index([tmp_path / "export"], tmp_path / "other")


def test_empty_groups_in_a_classic_image_mean_nothing(tmp_path: Path) -> None:
    write_mr(tmp_path / "export" / "a", axial(7.0), PerFrameFunctionalGroupsSequence=Items([Dataset()]))
    (row,) = catalogue_of(tmp_path).images.rows(named=True)
    assert row["origin_mm"][2] == 7.0


def test_tiles_become_a_stack_of_the_catalogue_or_a_skipped_file_with_that_reason(tmp_path: Path) -> None:
    planes = [axial(4.0 * n) for n in range(7)]
    save(tmp_path / "export" / "mosaic", mosaic_dataset(axial(), 9, 5.0, **series(1)))
    save(tmp_path / "export" / "grid", grid_dataset(planes, **series(2), EchoTime="70"))
    save(tmp_path / "export" / "bare", mosaic_dataset(axial(), 9, 5.0, csa=False, **series(3)))
    catalogue = catalogue_of(tmp_path)
    assert sorted(catalogue.stacks.select("n_slices", "spacing_mm", "regular").rows()) == [
        (7, pytest.approx(4.0), True),
        (9, pytest.approx(5.0), True),
    ]
    assert catalogue.files.filter(pl.col("path") == "bare").select("status", "reason").row(0) == (
        "skipped",
        "siemens-mosaic",
    )


# What kind of image it is

FLOW: Final = {"SequenceName": "*fl2d1_v150in", "EchoTime": "2.5"}
CONTRASTS: Final[dict[str, tuple[int, dict[str, Any]]]] = {
    "cine": (4, {}),
    "static late-enhancement": (1, {"InversionTime": "300", "EchoTime": "3.2", "RepetitionTime": "700"}),
    "dynamic perfusion": (4, {"EchoTime": "1.1", "RepetitionTime": "170", "CardiacNumberOfImages": None}),
    "map T1": (1, {"ImageType": ["DERIVED", "PRIMARY", "T1 MAP", "ND"], "EchoTime": "1.2"}),
    "map T2": (1, {"ImageType": ["DERIVED", "PRIMARY", "M", "T2", "MOCO"], "SeriesDescription": "T2 Map"}),
    "flow-magnitude": (4, FLOW),
    "flow-phase": (4, FLOW | {"ImageType": ["ORIGINAL", "PRIMARY", "P", "ND"]}),
    "real": (1, {"ImageType": ["ORIGINAL", "PRIMARY", "R", "ND"], "InversionTime": "300"}),
    "imaginary": (1, {"ImageType": ["ORIGINAL", "PRIMARY", "I", "ND"], "InversionTime": "300"}),
    "phase": (1, {"ImageType": ["ORIGINAL", "PRIMARY", "P", "ND"], "InversionTime": "300"}),
}


def test_contrasts_on_the_planes_of_the_cine_are_told_apart_by_kind_and_contrast_key(tmp_path: Path) -> None:
    planes = [axial(8.0 * n) for n in range(3)]
    for number, (name, (phases, attributes)) in enumerate(CONTRASTS.items()):
        beats = "CardiacNumberOfImages" in attributes
        for phase in range(phases):
            moment = {"AcquisitionDateTime": f"202407041{number}110{phase}"} if beats else {}
            write_stack(
                tmp_path / "export" / name / f"{phase}",
                planes,
                **(
                    (
                        {}
                        if beats or phases == 1
                        else {"TriggerTime": 30.0 * phase, "CardiacNumberOfImages": phases}
                    )
                    | series(number)
                    | attributes
                    | moment
                ),
            )
    catalogue = catalogue_of(tmp_path)
    places = catalogue.images.select(pl.col("path").str.split("/").list.first(), "stack_id", "kind")
    kinds = {path: (stack, kind) for path, stack, kind in places.iter_rows()}
    assert {name: kind for name, (_, kind) in kinds.items()} == {name: name.split()[0] for name in CONTRASTS}
    assert catalogue.stacks.height == len(CONTRASTS)
    assert catalogue.stacks["contrast_key"].n_unique() == len(CONTRASTS)
    assert (catalogue.stacks["superseded_by"] == "").all()


@pytest.mark.parametrize(
    ("attributes", "kind"),
    [
        ({"ImageType": ["ORIGINAL", "PRIMARY", "PHASE CONTRAST M", "P", "PCA"]}, "flow-phase"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "M_PCA", "M", "PCA"]}, "flow-magnitude"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "VELOCITY MAP", "P", "PCA"]}, "flow-phase"),
        ({"PhaseContrast": "YES", "ComplexImageComponent": "PHASE"}, "flow-phase"),
        ({"ComplexImageComponent": "IMAGINARY"}, "imaginary"),
        ({"ge": 0}, ""),
        ({"ge": 1}, "phase"),
        ({"ge": 2}, "real"),
        ({"ge": 3}, "imaginary"),
    ],
    ids=str,
)
def test_makers_name_the_components_of_an_image_each_in_their_way(
    tmp_path: Path, attributes: dict[str, Any], kind: str
) -> None:
    component = attributes.pop("ge", None)
    dataset = mr_dataset(axial(), **attributes)
    if component is not None:
        dataset.private_block(0x0043, "GEMS_PARM_01", create=True).add_new(0x2F, "SS", component)
    save(tmp_path / "export" / "a", dataset)
    assert catalogue_of(tmp_path).images["contrast_kind"].to_list() == [kind]


def test_phase_images_over_a_heartbeat_show_flow_and_so_do_their_magnitudes(tmp_path: Path) -> None:
    for component in (0, 1):
        for phase in range(4):
            dataset = mr_dataset(axial(), TriggerTime=30.0 * phase, CardiacNumberOfImages=4)
            dataset.private_block(0x0043, "GEMS_PARM_01", create=True).add_new(0x2F, "SS", component)
            save(tmp_path / "export" / f"{component}-{phase}", dataset)
    write_stack(tmp_path / "export" / "cine", [axial()], phases=4, **series(2), EchoTime="1.3")
    assert sorted(catalogue_of(tmp_path).stacks["kind"]) == ["cine", "flow-magnitude", "flow-phase"]


@pytest.mark.parametrize("encoding", ["in", "ap", "rl"])
def test_components_of_one_flow_measurement_are_stacks_of_their_own(tmp_path: Path, encoding: str) -> None:
    write_stack(tmp_path / "export" / "a", [axial()], phases=4, SequenceName="*fl3d1_v100fh")
    write_stack(tmp_path / "export" / "b", [axial()], phases=4, SequenceName=f"*fl3d1_v100{encoding}")
    assert catalogue_of(tmp_path).stacks["n_phases"].to_list() == [4, 4]


NO_IMAGES: Final = {
    "segmentation": ("1.2.840.10008.5.1.4.1.1.66.4", {"Modality": "SEG"}, "not-mr"),
    "structured report": ("1.2.840.10008.5.1.4.1.1.88.33", {"Modality": "SR", "Rows": None}, "not-mr"),
    "presentation state": ("1.2.840.10008.5.1.4.1.1.11.1", {"Modality": "PR", "Rows": None}, "not-mr"),
    "key objects": ("1.2.840.10008.5.1.4.1.1.88.59", {"Modality": "KO", "Rows": None}, "not-mr"),
    "secondary capture": ("1.2.840.10008.5.1.4.1.1.7", {}, "not-an-mr-image-class"),
    "screenshot": (
        "1.2.840.10008.5.1.4.1.1.4",
        {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PixelData": bytes(16 * 24 * 6)},
        "colour",
    ),
    "PS_ of Philips": ("1.2.840.10008.5.1.4.1.1.11.1", {"Rows": None, "Columns": None}, "not-an-image"),
    "XX_ of Philips": ("1.3.46.670589.11.0.0.12.1", {"Rows": None, "Columns": None}, "not-an-image"),
    "spectroscopy": ("1.2.840.10008.5.1.4.1.1.4.2", {}, "not-an-mr-image-class"),
    "raw data": ("1.2.840.10008.5.1.4.1.1.66", {"Rows": None, "Columns": None}, "not-an-image"),
}


def test_objects_that_are_no_measured_image_are_skipped_by_a_word(tmp_path: Path) -> None:
    for name, (sop_class, changes, _) in NO_IMAGES.items():
        write_mr(tmp_path / "export" / name, axial(), SOPClassUID=sop_class, **changes)
    write_mr(tmp_path / "export" / "image", axial())
    files = catalogue_of(tmp_path).files
    verdicts = {
        path: (status, reason) for path, status, reason in files.select("path", "status", "reason").rows()
    }
    expected = {name: ("skipped", reason) for name, (_, _, reason) in NO_IMAGES.items()}
    assert verdicts == expected | {"image": ("ok", "")}


def test_only_original_images_stand_in_stacks_and_localizers_cut_nothing(tmp_path: Path) -> None:
    kinds = {
        "image": {},
        "mip": {"ImageType": ["DERIVED", "SECONDARY", "MIP"]},
        "mpr": {"ImageType": ["DERIVED", "SECONDARY", "MPR"]},
        "subtraction": {"ImageType": ["DERIVED", "PRIMARY", "M", "SUB"]},
        "adc": {"ImageType": ["DERIVED", "PRIMARY", "DIFFUSION", "ADC"]},
        "scout": {"SeriesDescription": "Scout"},
    }
    for number, (name, attributes) in enumerate(kinds.items()):
        plane = sagittal() if name == "scout" else axial()
        write_mr(tmp_path / "export" / name, plane, **series(number), **attributes)
    catalogue = catalogue_of(tmp_path)
    roles = dict(catalogue.images.select("path", "role").iter_rows())
    assert roles == dict.fromkeys(("mip", "mpr", "subtraction", "adc"), "derived") | {
        "image": "original",
        "scout": "localizer",
    }
    derived = catalogue.images.filter(pl.col("role") == "derived")
    assert derived["stack_id"].is_null().all()
    assert set(derived["left_out"]) == {"derived"}
    assert len(catalogue.lines) == 0
