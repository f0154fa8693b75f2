"""A run that cannot go on says why in one line, and loses nothing it had."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import zarr

from dicomgeom.errors import AnatprepError, IntegrityError, Unreachable, WrongUse
from tests.helpers.runs import MakeRecipe, Stopped, assert_same_bits, stop_after
from training.checkpoint import position_of
from training.failures import batch_that_fits
from training.loop import train, verify_run
from training.run_folder import CHECKPOINT_FILE
from training.steps import Training


def test_a_loss_that_is_no_number_names_its_step_and_its_rows(
    small: MakeRecipe, pretext_store: Path, tmp_path: Path
) -> None:
    store, run = tmp_path / "store.zarr", tmp_path / "run"
    shutil.copytree(pretext_store, store)
    zarr.open_array(store / "location", mode="r+")[5] = np.inf
    with pytest.raises(AnatprepError, match=r"the loss became (nan|inf) at step") as caught:
        train(small(steps="8", checkpoint_every="1"), {"": store}, run)
    said = str(caught.value)
    assert "\n" not in said
    step = int(said.split("at step ")[1].split(",")[0])
    rows = [int(row) for row in said.split("on rows ")[1].split(" of the store main")[0].split(", ")]
    assert len(rows) == 6
    assert 5 in rows
    assert "of which 5 hold infinite values" in said
    assert ("no checkpoint was made yet" in said) if step == 1 else (f"of step {step - 1}, is kept" in said)
    keys = {bytes(key).hex() for key in zarr.open_array(store / "patient_key", mode="r")[...]}
    assert not any(key in said for key in keys)
    assert str(store) not in said


def test_weights_that_are_no_numbers_do_not_replace_those_of_the_last_checkpoint(
    small: MakeRecipe, pretext_store: Path, tmp_path: Path
) -> None:
    class Exploding(Training):
        def one_step(self, step: int) -> None:
            super().one_step(step)
            if step == 5:  # the last: no loss comes after it
                with torch.no_grad():
                    self.learned[0].view(-1)[0] = float("inf")

    run, recipe = tmp_path / "run", small(steps="6")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("training.loop.Training", Exploding)
        with pytest.raises(AnatprepError, match=r"weights became .* step 6 .* of step 3, is kept.*clip_norm"):
            train(recipe, {"": pretext_store}, run)
    assert position_of(run / CHECKPOINT_FILE).step == 3
    assert train(recipe, {"": pretext_store}, run).steps == 6


def test_the_batch_that_fits_lies_on_the_line_through_two_peaks() -> None:
    peaks = {2: 1_000 + 2 * 300, 6: 1_000 + 6 * 300}
    assert batch_that_fits(peaks, room_bytes=10_000) == 26  # 0.9 * 10,000 holds 1,000 and 26 times 300
    assert batch_that_fits(peaks, room_bytes=1_000) == 0
    assert batch_that_fits({2: 500, 6: 500}, room_bytes=1_000) > 6


@pytest.mark.parametrize(
    ("room", "expected"), [(10_000, "about 4 would: set batch_size=4"), (900, "nor would")]
)
def test_too_little_memory_of_a_gpu_says_what_would_fit(
    room: int,
    expected: str,
    small: MakeRecipe,
    pretext_store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run, tried = tmp_path / "run", []
    with pytest.raises(Stopped):
        train(small(), {"": pretext_store}, run, progress=stop_after(4))
    before = (run / "checkpoint.safetensors").read_bytes()

    def no_room(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 4.00 GiB.\nof which")

    def peak(_: torch.device, work: Callable[[], None]) -> int:
        images: list[int] = []
        usual = Training._backward

        def counted(self: Training, stream: object, crops: list[object], team: object) -> object:
            images.append(crops[0].image.shape[0])  # type: ignore[attr-defined]
            return usual(self, stream, crops, team)  # type: ignore[arg-type]

        with monkeypatch.context() as patch:
            patch.setattr(Training, "_backward", counted)
            work()
        tried.extend(images)
        return 1_000 + 2_000 * images[0]

    monkeypatch.setattr(Training, "one_step", no_room)
    monkeypatch.setattr("training.failures.room_on", lambda _: room)
    monkeypatch.setattr("training.failures.peak_on", peak)
    with pytest.raises(WrongUse, match=r"a batch of 6 does not fit into the 0\.0 GB of cpu") as caught:
        train(small(), {"": pretext_store}, run)
    assert expected in str(caught.value)
    assert "its last checkpoint, of step 3, is kept" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert tried == [2, 6]
    assert (run / "checkpoint.safetensors").read_bytes() == before


def test_validation_without_room_tells_of_the_checkpoint_and_how_to_go_on(
    small: MakeRecipe, pretext_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, recipe = tmp_path / "run", small(checkpoint_every="2")

    def no_room(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 4.00 GiB.")

    monkeypatch.setattr("training.steps.validate", no_room)
    with pytest.raises(
        WrongUse, match=r"or to validate .*of step 2, is kept: .*--device cpu and run the same"
    ) as caught:
        train(recipe, {"": pretext_store}, run)
    assert "\n" not in str(caught.value)
    monkeypatch.undo()
    assert train(recipe, {"": pretext_store}, run, device="cpu").steps == 6


def test_a_network_too_large_for_the_gpu_is_an_error_of_one_line(
    small: MakeRecipe, pretext_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 4.00 GiB.\nof which")

    monkeypatch.setattr("training.loop.Training", no_room)
    with pytest.raises(WrongUse, match=r"too little free memory .*no checkpoint .*--device cpu") as caught:
        train(small(), {"": pretext_store}, tmp_path / "run")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("full_while", ["checkpoint", "log"])
def test_a_full_disk_keeps_the_last_checkpoint_and_the_run_goes_on_later(
    full_while: str, small: MakeRecipe, pretext_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, recipe = tmp_path / "run", small(steps="8")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def fill_up(what: str, *, done: int, total: int | None) -> None:
        if what == "training" and done == 4:
            name = (
                "training.checkpoint.os.fsync" if full_while == "checkpoint" else "training.log.Board.write"
            )
            monkeypatch.setattr(name, full)

    with pytest.raises(
        Unreachable, match=r"No space left on device.*of step 3, is kept: free some space"
    ) as caught:
        train(recipe, {"": pretext_store}, run, progress=fill_up)
    assert caught.value.exit_code == 5
    assert "\n" not in str(caught.value)
    assert not [path for path in run.iterdir() if path.name.endswith(".part")]
    monkeypatch.undo()
    assert verify_run(run) == ["not finished; run the same train command again to finish it"]
    train(recipe, {"": pretext_store}, run)
    train(recipe, {"": pretext_store}, tmp_path / "whole")
    assert_same_bits(run, tmp_path / "whole")


def test_a_checkpoint_of_another_network_is_refused(
    small: MakeRecipe, pretext_store: Path, tmp_path: Path
) -> None:
    for name, width in (("one", "4"), ("other", "6")):
        with pytest.raises(Stopped):
            train(small(backbone__width=width), {"": pretext_store}, tmp_path / name, progress=stop_after(4))
    shutil.copy(tmp_path / "other" / "checkpoint.safetensors", tmp_path / "one")
    with pytest.raises(IntegrityError, match="belongs to another network"):
        train(small(), {"": pretext_store}, tmp_path / "one")


def test_one_patient_alone_is_learned_from_and_validated_on_nobody(
    small: MakeRecipe, tmp_path: Path, write_store: Callable[..., Path]
) -> None:
    for name, patients, notes in (("none", (1, 0, 0), 1), ("one", (1, 1, 0), 0)):
        store = write_store(tmp_path / f"{name}.zarr", patients=patients)
        summary = train(small(steps="1"), {"": store}, tmp_path / name)
        assert len(summary.notes) == notes
