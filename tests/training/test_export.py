from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser

from dicomgeom.errors import WrongUse
from training.export import export_run
from training.loop import train
from training.model import read_model
from training.recipe import load_recipe
from training.transfer import WEIGHTS_FILE

NARROW = {"backbone.width": "4", "steps": "2", "batch_size": "4", "amp": "false"}
DYN = {**NARROW, "backbone.kind": "dyn-unet", "backbone.levels": "4"}


@pytest.fixture(scope="module")
def runs(
    labelled_store: Path, pretext_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    for name, settings, store in (
        ("segment-sax", NARROW, labelled_store),
        ("pretrain-location", NARROW, pretext_store),
    ):
        train(load_recipe(name, settings), {"": store}, folder / name)
    train(load_recipe("segment-sax", DYN), {"": labelled_store}, folder / "dyn-unet")
    train(
        load_recipe("segment-sax", {**DYN, "backbone.norm": "instance"}),
        {"": labelled_store},
        folder / "instance",
    )
    return {path.name: path for path in folder.iterdir()}


@pytest.mark.parametrize("name", ["segment-sax", "dyn-unet", "instance"])
def test_a_bundle_runs_in_monai_and_says_what_the_run_says(
    name: str, runs: dict[str, Path], tmp_path: Path
) -> None:
    export_run(runs[name], tmp_path / "bundle", "monai")
    parser = ConfigParser()
    parser.read_config(tmp_path / "bundle" / "configs" / "inference.json")
    parser["bundle_root"] = str(tmp_path / "bundle")
    network = parser.get_parsed_content("network")
    assert "All keys matched" in str(parser.get_parsed_content("load"))
    network.eval()
    model, _ = read_model(runs[name] / WEIGHTS_FILE)
    model.eval()
    image = torch.randn(2, 1, 48, 64)
    task = model.task("segmentation")
    with torch.no_grad():
        ours = task.head(model.backbone.decode(model.backbone.encode(image))[0])  # type: ignore[operator]
        assert torch.allclose(network(image), ours, atol=1e-5)
    metadata = json.loads((tmp_path / "bundle" / "configs" / "metadata.json").read_text())
    channels = metadata["network_data_format"]["outputs"]["pred"]["channel_def"]
    assert list(channels.values()) == ["background", "LV cavity", "RV cavity"]


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
    model.eval()
    network.decoder.seg_layers[-1].load_state_dict(model.task("segmentation").head.state_dict())  # type: ignore[union-attr]
    network.eval()
    image = torch.randn(2, 1, 48, 64)
    with torch.no_grad():
        ours = model.task("segmentation").head(model.backbone.decode(model.backbone.encode(image))[0])  # type: ignore[operator]
        assert torch.allclose(network(image), ours, atol=1e-4)


@pytest.mark.parametrize("form", ["safetensors", "hf"])
def test_an_exported_file_is_taken_over_again(
    form: str, runs: dict[str, Path], labelled_store: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    export_run(runs["pretrain-location"], out, form)
    summary = train(
        load_recipe("segment-sax", NARROW),
        {"": labelled_store},
        tmp_path / "run",
        init=out / "model.safetensors",
    )
    assert summary.transfer is not None
    assert summary.transfer["coverage"] == 1.0
    config = json.loads((out / "config.json").read_text())
    assert config["trained_parts"] == ["encoder"]
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
