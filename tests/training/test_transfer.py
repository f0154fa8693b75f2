from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from dicomgeom.errors import HalfWritten, IntegrityError, WrongUse
from training.backbones import BasicUNetBackbone
from training.transfer import load_into, read_initial_weights


def backbone_of(width: int = 4, seed: int = 0) -> BasicUNetBackbone:
    torch.manual_seed(seed)
    return BasicUNetBackbone(width)


def saved(folder: Path, backbone: BasicUNetBackbone) -> Path:
    path = folder / "weights.safetensors"
    save_file({f"backbone.{name}": values for name, values in backbone.state_dict().items()}, path)
    return path


def test_weights_of_the_same_network_are_all_taken_over(tmp_path: Path) -> None:
    source, target = backbone_of(seed=1), backbone_of(seed=2)
    table = load_into(target, read_initial_weights(saved(tmp_path, source)), 0.9)
    assert (table.coverage, table.missing, table.misfitting) == (1.0, (), ())
    assert all(torch.equal(values, target.state_dict()[name]) for name, values in source.state_dict().items())


def test_only_the_parts_that_were_pretrained_are_taken_and_counted(tmp_path: Path) -> None:
    from dataclasses import replace

    source, target = backbone_of(seed=1), backbone_of(seed=2)
    decoder = {name: values.clone() for name, values in target.state_dict().items() if "upcat" in name}
    initial = replace(read_initial_weights(saved(tmp_path, source)), trained=("encoder",))
    table = load_into(target, initial, 0.9)
    assert table.coverage == 1.0
    assert not any("upcat" in name for name in table.matched)
    assert all(torch.equal(values, target.state_dict()[name]) for name, values in decoder.items())
    assert torch.equal(next(target.parameters_of("encoder")), next(source.parameters_of("encoder")))


def test_weights_of_another_width_are_refused_and_nothing_changes(tmp_path: Path) -> None:
    target = backbone_of(8)
    before = {name: values.clone() for name, values in target.state_dict().items()}
    with pytest.raises(
        WrongUse, match=r"do not fit the network: .* of 134 tensors of its encoder and decoder"
    ) as caught:
        load_into(target, read_initial_weights(saved(tmp_path, backbone_of(4))), 0.9)
    assert "\n" not in str(caught.value)
    assert all(torch.equal(values, before[name]) for name, values in target.state_dict().items())


def test_what_is_missing_and_what_does_not_fit_is_listed(tmp_path: Path) -> None:
    source = backbone_of()
    tensors = {
        name: values for name, values in source.state_dict().items() if "conv_0.conv_0.adn" not in name
    }
    tensors["net.conv_0.conv_1.conv.bias"] = torch.zeros(99)
    save_file(tensors, tmp_path / "bare.safetensors")
    table = load_into(backbone_of(seed=3), read_initial_weights(tmp_path / "bare.safetensors"), 0.5)
    assert table.misfitting == ("net.conv_0.conv_1.conv.bias",)
    assert "net.conv_0.conv_0.adn.N.weight" in table.missing
    assert 0.9 < table.coverage < 1.0


def test_a_plain_state_dict_of_pytorch_is_read(tmp_path: Path) -> None:
    source = backbone_of(seed=1)
    torch.save({"state_dict": source.state_dict()}, tmp_path / "weights.pt")
    assert load_into(backbone_of(seed=2), read_initial_weights(tmp_path / "weights.pt"), 0.9).coverage == 1.0


class Trap:
    def __reduce__(self) -> tuple[object, ...]:
        return (exec, ("raise SystemExit('unpickled')",))


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    (tmp_path / "weights.pt").write_bytes(pickle.dumps({"state_dict": Trap()}))
    torch.save({"state_dict": Trap()}, tmp_path / "other.pth")
    for name in ("weights.pt", "other.pth"):
        with pytest.raises(IntegrityError, match="not a file of plain tensors"):
            read_initial_weights(tmp_path / name)


def test_other_things_than_weights_are_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "text.safetensors").write_text("no weights")
    (tmp_path / "folder").mkdir()
    (tmp_path / "unfinished").mkdir()
    recipe = {"name": "x", "steps": 1, "batch_size": 1}
    described = {"format": "anatprep-run", "version": 1, "state": "running", "recipe": recipe}
    described |= {"recipe_sha256": "", "stores": {}, "init_sha256": "", "notes": []}
    (tmp_path / "unfinished" / "run.json").write_text(json.dumps(described))
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "run.json").write_text('{"format": "anatprep-run", "version": 1}')
    torch.save([1, 2], tmp_path / "list.pt")
    for name, error, said in (
        ("text.safetensors", IntegrityError, "not a readable safetensors file"),
        ("folder", IntegrityError, "is no run"),
        ("unfinished", HalfWritten, "not finished"),
        ("damaged", IntegrityError, "run.json is damaged"),
        ("list.pt", IntegrityError, "no named tensors"),
    ):
        with pytest.raises(error, match=said) as caught:
            read_initial_weights(tmp_path / name)
        assert "\n" not in str(caught.value)
        assert caught.value.exit_code == 5
    with pytest.raises(WrongUse, match=r"nowhere.safetensors does not exist"):
        read_initial_weights(tmp_path / "nowhere.safetensors")
