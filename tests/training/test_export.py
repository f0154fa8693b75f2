from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.bundle.scripts import create_workflow
from monai.bundle.scripts import run as run_bundle
from monai.networks.nets.basic_unet import BasicUNet
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid
from safetensors.torch import load_file
from torch import Tensor, nn

from dicomgeom.errors import WrongUse, WrongVersion
from training.export import backbone_tensors, export_run
from training.loop import train
from training.model import Model, read_model
from training.recipe import load_recipe
from training.transfer import WEIGHTS_FILE

pytestmark = pytest.mark.filterwarnings("ignore:NvImgCodec")
"""MONAI looks for a decoder of DICOM that is not here."""

NARROW = {"backbone.width": "4", "steps": "2", "batch_size": "4", "amp": "false"}
DYN = {**NARROW, "backbone.kind": "dyn-unet", "backbone.levels": "4"}
INSTANCE = {"backbone.norm": "instance"}
FINDINGS = ("abnormality", "ACL tear")
AFFINE = np.diag([1.25, 0.8, 5.0, 1.0])


@pytest.fixture(scope="module")
def runs(
    labelled_store: Path,
    pretext_store: Path,
    write_store: Callable[..., Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    for name, settings, store in (
        ("segment-sax", NARROW, labelled_store),
        ("pretrain-location", NARROW, pretext_store),
    ):
        train(load_recipe(name, settings), {"": store}, folder / name)
    for name, settings in (
        ("basic-instance", {**NARROW, **INSTANCE}),
        ("dyn-unet", DYN),
        ("instance", {**DYN, **INSTANCE}),
        ("alexnet", {**NARROW, "backbone.kind": "alexnet"}),
    ):
        side = 64 if name == "alexnet" else 48
        store = labelled_store
        if side != 48:
            store = write_store(folder.with_name(f"{name}.zarr"), segmentation=True, side=side)
        train(load_recipe("segment-sax", settings), {"": store}, folder / name)
    knees = write_store(folder.with_name("knees.zarr"), carrier="SAG", side=64, findings=FINDINGS)
    for name, kind in (("findings", "basic-unet"), ("findings-alexnet", "alexnet")):
        settings = {**NARROW, "backbone.kind": kind}
        train(load_recipe("diagnose-knee", settings), {"": knees}, folder / name)
    large = write_store(folder.with_name("large.zarr"), side=64)
    both = {"pretext": large, "target": labelled_store}
    train(load_recipe("segment-4ch-multitask", {**NARROW, "view": "SAX"}), both, folder / "multitask")
    return {path.name: path for path in folder.iterdir()}


def logits_of(model: Model, image: Tensor) -> Tensor:
    """What the run itself says, (b, classes, rows, columns)."""
    head: nn.Module = model.eval().task(_label(model)).head  # type: ignore[assignment]
    with torch.no_grad():
        said: Tensor = head(model.backbone.decode(model.backbone.encode(image))[0])
    return said


def _label(model: Model) -> str:
    return next(label for label in model.labels if model.task(label).segment_names)


def parsed_bundle(folder: Path) -> tuple[ConfigParser, nn.Module]:
    """The configuration of a bundle and its network with its weights."""
    parser = ConfigParser()
    parser.read_config(folder / "configs" / "inference.json")
    parser["bundle_root"] = str(folder)
    network: nn.Module = parser.get_parsed_content("network")
    assert "All keys matched" in str(parser.get_parsed_content("load"))
    return parser, network.eval()


def workflow_of(folder: Path, **changes: Any) -> Any:
    """The bundle as MONAI's own workflow, initialised as MONAI does it."""
    config = str(folder / "configs" / "inference.json")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "parsing config_file")  # MONAI says so of every bundle
        return create_workflow(
            config_file=config, workflow_type="inference", bundle_root=str(folder), **changes
        )


def drawn_image(path: Path, rows: int, columns: int) -> NDArray[np.uint8]:
    """An image as a file, and its pixels (rows, columns)."""
    drawn = np.random.default_rng(rows).integers(0, 256, (rows, columns)).astype(np.uint8)
    if path.suffix == ".png":
        Image.fromarray(drawn).save(path)
    elif path.suffix == ".dcm":
        _save_dicom(path, drawn)
    else:
        values = drawn.T[..., None] if "slice" in path.name else drawn.T
        nibabel.save(nibabel.Nifti1Image(values, AFFINE), path)  # type: ignore[no-untyped-call]
    return drawn


def _save_dicom(path: Path, drawn: NDArray[np.uint8]) -> None:
    image = Dataset()
    image.SOPClassUID, image.SOPInstanceUID, image.Modality = MRImageStorage, generate_uid(), "MR"
    image.ImagePositionPatient, image.ImageOrientationPatient = [0, 0, 0], [1, 0, 0, 0, 1, 0]
    image.PixelSpacing, image.SliceThickness = [0.8, 1.25], 5
    image.Rows, image.Columns = drawn.shape
    image.SamplesPerPixel, image.PhotometricInterpretation, image.PixelRepresentation = 1, "MONOCHROME2", 0
    image.BitsAllocated, image.BitsStored, image.HighBit = 8, 8, 7
    image.PixelData = drawn.tobytes()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.save_as(path, enforce_file_format=True)


def classes_of(run: Path, drawn: NDArray[np.uint8]) -> NDArray[np.int64]:
    """What the run itself says of an image, (rows, columns)."""
    values = torch.as_tensor(drawn, dtype=torch.float32)
    model, _ = read_model(run / WEIGHTS_FILE)
    logits = logits_of(model, ((values - values.mean()) / values.std(correction=0))[None, None])
    return np.asarray(logits.argmax(dim=1)[0])


def segmented_by(folder: Path, image: Path) -> NDArray[np.uint8]:
    """What a bundle says of a file, by its own steps and network; the array as MONAI holds it."""
    parser, network = parsed_bundle(folder)
    given = parser.get_parsed_content("preprocessing")({"image": str(image)})
    with torch.no_grad():
        pred = parser.get_parsed_content("inferer")(given["image"][None], network)[0]
    said = parser.get_parsed_content("postprocessing")({"pred": pred})["pred"]
    return np.asarray(said[0]).astype(np.uint8)


@pytest.mark.parametrize("name", ["segment-sax", "basic-instance", "dyn-unet", "instance", "multitask"])
def test_a_bundle_runs_in_monai_and_says_what_the_run_says(
    name: str, runs: dict[str, Path], tmp_path: Path
) -> None:
    export_run(runs[name], tmp_path / "bundle", "monai")
    network = parsed_bundle(tmp_path / "bundle")[1]
    model, _ = read_model(runs[name] / WEIGHTS_FILE)
    image = torch.randn(2, 1, 48, 64)
    with torch.no_grad():
        assert torch.allclose(network(image), logits_of(model, image), atol=1e-5)
    metadata = json.loads((tmp_path / "bundle" / "configs" / "metadata.json").read_text())
    channels = metadata["network_data_format"]["outputs"]["pred"]["channel_def"]
    assert list(channels.values()) == ["background", "LV cavity", "RV cavity"]


@pytest.mark.parametrize("suffix", [".png", ".nii.gz", "-slice.nii.gz", ".dcm"])
def test_a_bundle_sees_an_image_the_way_up_that_the_run_learned_from(
    suffix: str, runs: dict[str, Path], tmp_path: Path
) -> None:
    export_run(runs["segment-sax"], tmp_path / "bundle", "monai")
    path = tmp_path / f"image{suffix}"
    expected = classes_of(runs["segment-sax"], drawn_image(path, 64, 48))
    assert len(np.unique(expected)) > 1
    said = segmented_by(tmp_path / "bundle", path)
    assert said.shape == (48, 64)  # (column, row), as MONAI read it
    assert np.array_equal(said.T, expected)


@pytest.mark.parametrize("name", ["segment-sax", "dyn-unet", "pretrain-location", "findings"])
def test_monais_own_workflow_has_the_trained_weights_and_all_that_monai_asks_for(
    name: str, runs: dict[str, Path], tmp_path: Path
) -> None:
    export_run(runs[name], tmp_path, "monai")
    workflow = workflow_of(tmp_path)
    workflow.initialize()  # a second time: create_workflow has done it
    saved = torch.load(tmp_path / "models" / "model.pt", weights_only=True)
    network = workflow.network_def
    assert not network.training
    assert all(torch.equal(values.cpu(), saved[key]) for key, values in network.state_dict().items())
    held = backbone_tensors(read_model(runs[name] / WEIGHTS_FILE)[0])
    assert all(torch.equal(saved[key], values) for key, values in held.items())
    assert workflow.check_properties() == []


def test_monais_own_workflow_segments_the_images_of_a_folder_and_writes_nothing(
    runs: dict[str, Path], tmp_path: Path
) -> None:
    bundle, images = tmp_path / "bundle", tmp_path / "images"
    export_run(runs["segment-sax"], bundle, "monai")
    images.mkdir()
    (images / ".hidden").touch()
    expected = [
        classes_of(runs["segment-sax"], drawn_image(images / name, rows, 48))
        for name, rows in (("a.nii.gz", 64), ("b.png", 32), ("c.dcm", 48))
    ]
    before = sorted(tmp_path.rglob("*"))
    workflow = workflow_of(bundle, dataset_dir=str(images))
    (said,) = workflow.run()
    workflow.finalize()
    for one, classes in zip(said, expected, strict=True):
        assert np.array_equal(np.asarray(one["pred"])[0].T, classes)
    assert [Path(one["pred"].meta["filename_or_obj"]).name for one in said] == ["a.nii.gz", "b.png", "c.dcm"]
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.filterwarnings("ignore:parsing config_file")
def test_monais_run_writes_the_classes_where_it_is_asked_to_and_on_the_images_grid(
    runs: dict[str, Path], tmp_path: Path
) -> None:
    bundle, images = tmp_path / "bundle", tmp_path / "images"
    export_run(runs["segment-sax"], bundle, "monai")
    images.mkdir()
    expected = classes_of(runs["segment-sax"], drawn_image(images / "a.nii.gz", 64, 48))
    run_bundle(
        config_file=str(bundle / "configs" / "inference.json"),
        bundle_root=str(bundle),
        dataset_dir=str(images),
        output_dir=str(tmp_path / "out"),
    )
    (path,) = (tmp_path / "out").iterdir()
    assert path.name == "a_seg.nii.gz"
    written: Any = nibabel.load(path)
    assert np.array_equal(np.asarray(written.dataobj).T, expected)
    assert written.get_data_dtype() == np.uint8
    assert np.allclose(written.affine, AFFINE)


def test_a_bundle_without_images_says_what_to_give(runs: dict[str, Path], tmp_path: Path) -> None:
    export_run(runs["segment-sax"], tmp_path, "monai")
    with pytest.raises(RuntimeError) as raised:
        workflow_of(tmp_path).run()
    assert "no image was found; give dataset_dir" in str(raised.value.__cause__)


@pytest.mark.parametrize("name", ["pretrain-location", "findings"])
def test_a_bundle_without_an_output_layer_has_images_to_tune_on_and_nothing_to_run(
    name: str, runs: dict[str, Path], tmp_path: Path
) -> None:
    bundle, images = tmp_path / "bundle", tmp_path / "images"
    export_run(runs[name], bundle, "monai")
    images.mkdir()
    drawn = drawn_image(images / "a.png", 64, 48)
    workflow = workflow_of(bundle, dataset_dir=str(images))
    (given,) = workflow.dataset
    assert np.allclose(np.asarray(given["image"])[0], (drawn - drawn.mean()) / drawn.std(), atol=1e-5)
    assert workflow.evaluator is None
    with pytest.raises(ValueError, match="'run' doesn't exist"):
        workflow.run()
    told = (bundle / "docs" / "README.md").read_text()
    assert "trained were the encoder only" in told
    assert "`run` is absent" in told
    assert "workflow.run()" not in told


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("segment-sax", "segmentation", "segmentation of LV cavity, RV cavity"),
        ("findings", "classification", "classification of abnormality, ACL tear"),
        ("findings-alexnet", "classification", "classification of abnormality, ACL tear"),
        ("pretrain-location", "self-supervised learning", "self-supervised learning by location"),
        (
            "multitask",
            "segmentation and self-supervised learning",
            "segmentation of LV cavity, RV cavity; self-supervised learning by app",
        ),
    ],
)
def test_what_was_learned_from_annotations_is_not_called_self_supervised(
    name: str, kind: str, said: str, runs: dict[str, Path], tmp_path: Path
) -> None:
    export_run(runs[name], tmp_path / "hf", "hf")
    card = (tmp_path / "hf" / "README.md").read_text()
    assert f"trained with anatprep: {said}." in card
    tags = "medical-imaging, mri" + (", self-supervised" if "self-supervised" in kind else "")
    assert f"tags: [{tags}]" in card
    if name != "findings-alexnet":  # no network of MONAI
        export_run(runs[name], tmp_path / "monai", "monai")
        metadata = json.loads((tmp_path / "monai" / "configs" / "metadata.json").read_text())
        assert metadata["task"] == kind
        assert f"anatprep ({kind})" in (tmp_path / "monai" / "docs" / "README.md").read_text()


def test_a_network_of_other_tensors_than_the_runs_is_refused(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Another(BasicUNet):
        def __init__(self, **arguments: Any) -> None:
            super().__init__(**{**arguments, "norm": "batch"})

    monkeypatch.setattr("training.export_monai.BasicUNet", Another)
    with pytest.raises(WrongVersion, match="running_mean"):
        export_run(runs["basic-instance"], tmp_path / "bundle", "monai")


@pytest.mark.parametrize("form", ["safetensors", "hf"])
@pytest.mark.parametrize("name", ["segment-sax", "basic-instance", "dyn-unet", "multitask"])
def test_an_exported_segmentation_fills_the_network_its_config_names(
    form: str, name: str, runs: dict[str, Path], tmp_path: Path
) -> None:
    summary = export_run(runs[name], tmp_path, form)
    config = json.loads((tmp_path / "config.json").read_text())
    network: nn.Module = ConfigParser({"network": config["monai"]}).get_parsed_content("network")
    tensors = load_file(tmp_path / "model.safetensors")
    network.load_state_dict(tensors, strict=True)
    assert summary.tensors == len(tensors)
    image = torch.randn(2, 1, 48, 64)
    model, _ = read_model(runs[name] / WEIGHTS_FILE)
    with torch.no_grad():
        assert torch.allclose(network.eval()(image), logits_of(model, image), atol=1e-5)
    assert config["holds"] == "network"
    if form == "hf":
        card = (tmp_path / "README.md").read_text()
        assert "`model.safetensors` holds the whole network" in card
        assert "pipeline_tag: image-segmentation" in card
        assert "backbone only" not in card


@pytest.mark.parametrize("name", ["pretrain-location", "alexnet"])
def test_where_no_output_layer_is_handed_over_the_card_says_so(
    name: str, runs: dict[str, Path], tmp_path: Path
) -> None:
    export_run(runs[name], tmp_path, "hf")
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["holds"] == "backbone"
    assert "backbone only" in (tmp_path / "README.md").read_text()


def test_of_several_streams_the_one_that_segments_is_told(runs: dict[str, Path], tmp_path: Path) -> None:
    export_run(runs["multitask"], tmp_path / "hf", "hf")
    export_run(runs["multitask"], tmp_path / "monai", "monai")
    config = json.loads((tmp_path / "hf" / "config.json").read_text())
    assert config["segment_names"] == ["background", "LV cavity", "RV cavity"]
    assert (config["input"]["rows"], config["input"]["columns"]) == (48, 48)  # the pretext's store has 64
    card = (tmp_path / "hf" / "README.md").read_text()
    assert "segmentation of LV cavity, RV cavity" in card
    assert "48 x 48 pixels" in card
    metadata = json.loads((tmp_path / "monai" / "configs" / "metadata.json").read_text())
    data = metadata["network_data_format"]
    assert data["inputs"]["image"]["spatial_shape"] == [48, 48]
    assert "48 x 48 pixels" in (tmp_path / "monai" / "docs" / "README.md").read_text()


@pytest.mark.parametrize("name", ["dyn-unet", "instance"])
def test_nnunets_own_network_takes_the_weights_and_computes_the_same(
    name: str, runs: dict[str, Path], tmp_path: Path
) -> None:
    unet = pytest.importorskip("dynamic_network_architectures.architectures.unet")
    export_run(runs[name], tmp_path / "out", "nnunet")
    told = json.loads((tmp_path / "out" / "architecture.json").read_text())["architecture"]
    arguments = told["arch_kwargs"]
    for key in told["_kw_requires_import"]:
        if arguments[key] is not None:
            place, _, kind = arguments[key].rpartition(".")
            arguments[key] = getattr(__import__(place, fromlist=[kind]), kind)
    network = unet.PlainConvUNet(input_channels=1, num_classes=3, deep_supervision=False, **arguments)
    saved = torch.load(tmp_path / "out" / "checkpoint_final.pth", weights_only=True)["network_weights"]
    wanted = {key: values for key, values in network.state_dict().items() if ".seg_layers." not in key}
    # nnU-Net refuses weights that lack any of its own tensors, or have one of another shape.
    assert {key: values.shape for key, values in wanted.items()} == {k: v.shape for k, v in saved.items()}
    network.load_state_dict(saved, strict=False)
    model, _ = read_model(runs[name] / WEIGHTS_FILE)
    network.decoder.seg_layers[-1].load_state_dict(model.task("segmentation").head.state_dict())  # type: ignore[union-attr]
    network.eval()
    image = torch.randn(2, 1, 48, 64)
    with torch.no_grad():
        assert torch.allclose(network(image), logits_of(model, image), atol=1e-4)


@pytest.mark.parametrize("form", ["safetensors", "hf"])
@pytest.mark.parametrize(
    ("name", "parts"),
    [("pretrain-location", ["encoder"]), ("segment-sax", ["encoder", "decoder"]), ("dyn-unet", None)],
)
def test_an_exported_file_is_taken_over_again(
    form: str, name: str, parts: list[str] | None, runs: dict[str, Path], labelled_store: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    export_run(runs[name], out, form)
    summary = train(
        load_recipe("segment-sax", DYN if name == "dyn-unet" else NARROW),
        {"": labelled_store},
        tmp_path / "run",
        init=out / "model.safetensors",
    )
    assert summary.transfer is not None
    assert summary.transfer["coverage"] == 1.0
    config = json.loads((out / "config.json").read_text())
    assert config["trained_parts"] == (parts or ["encoder", "decoder"])
    assert (out / "README.md").is_file() == (form == "hf")


def test_no_patient_and_no_path_is_handed_over(runs: dict[str, Path], tmp_path: Path) -> None:
    seen = json.loads((runs["segment-sax"] / "seen_patients.json").read_text())
    keys = [word for word in json.dumps(seen).replace('"', " ").split() if len(word) == 32]
    assert keys
    for form in ("safetensors", "hf", "monai"):
        export_run(runs["segment-sax"], tmp_path / form, form)
    for path in tmp_path.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not any(key.encode() in content for key in keys)
            assert str(tmp_path).encode() not in content


def test_forms_that_cannot_hold_the_network_say_so(runs: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="nnU-Net takes the weights of a dyn-unet"):
        export_run(runs["segment-sax"], tmp_path / "out", "nnunet")
    with pytest.raises(WrongUse, match="'onnx' is no form"):
        export_run(runs["segment-sax"], tmp_path / "out", "onnx")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "note").touch()
    with pytest.raises(WrongUse, match="is not empty"):
        export_run(runs["segment-sax"], tmp_path / "full", "hf")
