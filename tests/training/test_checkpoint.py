from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from dicomgeom.errors import IntegrityError, WrongVersion
from training.checkpoint import Position, position_of, read_checkpoint, write_atomically, write_checkpoint


def network() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    return model, torch.optim.Adam(model.parameters())


def step(model: torch.nn.Module, optimiser: torch.optim.Optimizer) -> None:
    optimiser.zero_grad()
    model(torch.randn(4, 3)).square().sum().backward()
    optimiser.step()


def test_all_state_comes_back(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, optimiser = network()
    step(model, optimiser)
    position = Position(1, 0.5, 4, {"a/b": 0.25})
    write_checkpoint(tmp_path / "c.safetensors", model, optimiser, position)
    step(model, optimiser)
    other, other_optimiser = network()
    assert read_checkpoint(tmp_path / "c.safetensors", other, other_optimiser) == position
    assert position_of(tmp_path / "c.safetensors") == position
    step(other, other_optimiser)  # the same random input, the same moments
    assert all(torch.equal(values, other.state_dict()[name]) for name, values in model.state_dict().items())


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sgd_with_and_without_momentum_comes_back(momentum: float, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, _ = network()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=momentum)
    step(model, optimiser)
    write_checkpoint(tmp_path / "c.safetensors", model, optimiser, Position(1, 0.0, 4, {}))
    step(model, optimiser)
    other, _ = network()
    other_optimiser = torch.optim.SGD(other.parameters(), lr=0.1, momentum=momentum)
    read_checkpoint(tmp_path / "c.safetensors", other, other_optimiser)
    step(other, other_optimiser)
    assert all(torch.equal(values, other.state_dict()[name]) for name, values in model.state_dict().items())


def test_a_failed_write_leaves_the_old_file_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def full_disk(descriptor: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("training.checkpoint.os.fsync", full_disk)
    with pytest.raises(OSError, match="no space"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_other_files_are_no_checkpoints(tmp_path: Path) -> None:
    model, optimiser = network()
    position = Position(1, 0.0, 4, {})
    (tmp_path / "cut").write_bytes(b"\x00" * 5)
    save_file({"a": torch.zeros(1)}, tmp_path / "foreign")
    save_file({"a": torch.zeros(1)}, tmp_path / "newer", {"format": "anatprep-checkpoint", "version": "99"})
    write_checkpoint(tmp_path / "narrow", torch.nn.Linear(1, 1), optimiser, position)
    for name, error, said in (
        ("cut", IntegrityError, "is damaged"),
        ("foreign", IntegrityError, "is not a checkpoint"),
        ("newer", WrongVersion, "has version 99"),
        ("narrow", IntegrityError, "belongs to another network"),
    ):
        with pytest.raises(error, match=said):
            read_checkpoint(tmp_path / name, model, optimiser)


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.SGD])
def test_what_an_optimiser_keeps_comes_back_in_the_order_of_the_weights(
    kind: type[torch.optim.Optimizer], tmp_path: Path
) -> None:
    torch.manual_seed(0)

    def made() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
        model = torch.nn.Conv2d(4, 8, 3).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        more = {"momentum": 0.9} if kind is torch.optim.SGD else {}
        return model, kind(model.parameters(), lr=0.1, **more)

    def learn(model: torch.nn.Module, optimiser: torch.optim.Optimizer) -> None:
        optimiser.zero_grad()
        model(torch.randn(2, 4, 6, 6)).square().sum().backward()
        optimiser.step()

    model, optimiser = made()
    learn(model, optimiser)
    write_checkpoint(tmp_path / "c.safetensors", model, optimiser, Position(1, 0.0, 4, {}))
    other, other_optimiser = made()
    read_checkpoint(tmp_path / "c.safetensors", other, other_optimiser)
    (weight, kept), (other_weight, other_kept) = (
        next(iter(one.state.items())) for one in (optimiser, other_optimiser)
    )
    assert weight.stride() == other_weight.stride() == (36, 1, 12, 4)
    assert kept.keys() == other_kept.keys()
    for name, values in kept.items():
        assert torch.equal(values, other_kept[name])
        assert (values.stride(), values.dtype) == (other_kept[name].stride(), other_kept[name].dtype)
        assert not other_kept[name].requires_grad
