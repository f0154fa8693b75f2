from __future__ import annotations

import json
import socket
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dicomgeom.errors import WrongUse
from tests.helpers.runs import MakeRecipe
from training.loop import train
from training.run_file import read_run
from training.trackers import TRACKING_FILE, flat, open_tracker


class FakeWandb:
    """Records what it is given, as `wandb` 0.19 and later take it."""

    def __init__(self) -> None:
        self.begun: list[dict[str, Any]] = []
        self.lines: list[tuple[int, dict[str, float]]] = []
        self.ended = 0

    def Settings(self, **settings: Any) -> dict[str, Any]:  # noqa: N802  its name there
        return settings

    def init(self, **how: Any) -> Any:
        self.begun.append(how)
        return SimpleNamespace(id=how["id"] or "made-up", log=self.log, finish=self.finish)

    def log(self, values: dict[str, float], step: int) -> None:
        self.lines.append((step, values))

    def finish(self) -> None:
        self.ended += 1


class FakeMlflow:
    """Records what it is given, as MLflow's client takes it."""

    def __init__(self) -> None:
        self.entities = SimpleNamespace(
            Param=lambda key, value: (key, value), Metric=lambda name, value, at, step: (name, value, step)
        )
        self.runs: list[str] = []
        self.params: list[Any] = []
        self.metrics: list[Any] = []
        self.ended: list[str] = []
        self.MlflowClient = lambda: self

    def get_experiment_by_name(self, name: str) -> None:
        return None

    def create_experiment(self, name: str) -> str:
        return "1"

    def create_run(self, experiment: str, run_name: str) -> Any:
        self.runs.append(run_name)
        return SimpleNamespace(info=SimpleNamespace(run_id=f"run-{len(self.runs)}"))

    def log_batch(self, run: str, metrics: Any = (), params: Any = ()) -> None:
        assert len(params) <= 100
        self.metrics += metrics
        self.params += params

    def set_terminated(self, run: str) -> None:
        self.ended.append(run)


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> FakeWandb:
    fake = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", fake)  # type: ignore[arg-type]
    return fake


@pytest.fixture
def mlflow(monkeypatch: pytest.MonkeyPatch) -> FakeMlflow:
    fake = FakeMlflow()
    monkeypatch.setitem(sys.modules, "mlflow", fake)  # type: ignore[arg-type]
    return fake


class Stopped(Exception):
    pass


def stop_at_5(what: str, *, done: int, total: int | None) -> None:
    if what == "training" and done == 5:
        raise Stopped


def test_wandb_gets_the_log_and_goes_on_with_the_same_run(
    wandb: FakeWandb, small: MakeRecipe, pretext_store: Path, tmp_path: Path
) -> None:
    with pytest.raises(Stopped):
        train(small(), {"": pretext_store}, tmp_path / "run", track="wandb", progress=stop_at_5)
    train(small(), {"": pretext_store}, tmp_path / "run", track="wandb")
    assert [begun["id"] for begun in wandb.begun] == [None, "made-up"]
    assert wandb.ended == 2
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    of_step_6 = {name: value for step, values in wandb.lines if step == 6 for name, value in values.items()}
    last = [line for line in log if line["step"] == 6]
    assert of_step_6["loss"] == last[0]["loss"]
    assert of_step_6["validation/mtl/heatmap"] == last[1]["validation"]["mtl/heatmap"]
    assert json.loads((tmp_path / "run" / TRACKING_FILE).read_text()) == {"wandb": "made-up"}


def test_nothing_of_places_and_people_is_sent(
    wandb: FakeWandb, mlflow: FakeMlflow, small: MakeRecipe, pretext_store: Path, tmp_path: Path
) -> None:
    train(small(steps="1"), {"": pretext_store}, tmp_path / "one", track="wandb")
    train(small(steps="1"), {"": pretext_store}, tmp_path / "other", track="mlflow")
    sent = repr((wandb.begun, wandb.lines, mlflow.params, mlflow.metrics, mlflow.runs))
    for word in (str(tmp_path), str(pretext_store), tmp_path.name, pretext_store.name):
        assert word not in sent
    settings = wandb.begun[0]["settings"]
    assert all(
        settings[name] for name in ("x_disable_meta", "disable_git", "disable_code", "x_disable_stats")
    )
    assert settings["host"] == settings["program"] == ""


def test_mlflow_gets_the_recipe_and_names_it_allows(
    mlflow: FakeMlflow, small: MakeRecipe, pretext_store: Path, tmp_path: Path
) -> None:
    recipe = small(
        "pretrain-app", steps="2", log_every="1",
        streams__1__store="second", streams__1__task="app",
    )  # fmt: skip
    train(recipe, {"main": pretext_store, "second": pretext_store}, tmp_path / "run", track="mlflow")
    assert ("backbone.width", "4") in mlflow.params
    assert ("streams.1.store", "second") in mlflow.params
    assert {name for name, _, _ in mlflow.metrics} >= {"loss", "parts/app_second/cross_entropy"}
    assert mlflow.ended == ["run-1"]


def test_a_server_that_fails_costs_the_curve_and_not_the_run(
    wandb: FakeWandb,
    small: MakeRecipe,
    pretext_store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fails(values: dict[str, float], step: int) -> None:
        raise ConnectionError(f"no route to http://curves.hospital.example from {tmp_path}\nsecond line")

    monkeypatch.setattr(wandb, "log", fails)
    summary = train(small(), {"": pretext_store}, tmp_path / "run", track="wandb")
    assert summary.steps == 6
    (note,) = summary.notes
    assert note.startswith("wandb failed (ConnectionError): from step 2 on its curves are missing")
    assert read_run(tmp_path / "run")["notes"] == [note]
    assert "hospital" not in note  # a place or a path: for the eyes of who runs it, in no file
    assert str(tmp_path) not in note
    assert "ConnectionError: no route to http://curves.hospital.example" in capsys.readouterr().err


def test_a_missing_package_is_told_before_anything_is_written(
    small: MakeRecipe, pretext_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(WrongUse, match=r"pip install 'anatprep\[mlflow\]'"):
        train(small(), {"": pretext_store}, tmp_path / "run", track="mlflow")
    assert not (tmp_path / "run").exists()


def test_a_tool_that_lets_no_run_begin_is_told_in_one_line(
    wandb: FakeWandb, small: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(**how: Any) -> None:
        raise RuntimeError("api_key not configured\nTry `wandb login`")

    monkeypatch.setattr(wandb, "init", refuses)
    with pytest.raises(WrongUse, match=r"does not let a run begin .api_key not configured") as caught:
        open_tracker("wandb", tmp_path, small())
    assert "\n" not in str(caught.value)


def test_settings_are_flat_under_the_names_that_set_takes(small: MakeRecipe) -> None:
    settings = dict(flat(small().as_json()))
    assert settings["streams.0.task"] == "mtl"
    assert settings["tasks.mtl.location_weight"] == 1.0


@pytest.mark.filterwarnings("ignore")
def test_the_real_mlflow_keeps_it_in_its_file_store(
    small: MakeRecipe, pretext_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow", reason="MLflow, an extra, is not installed")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "curves").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    train(small(), {"": pretext_store}, tmp_path / "run", track="mlflow")
    client = mlflow.MlflowClient()
    number = json.loads((tmp_path / "run" / TRACKING_FILE).read_text())["mlflow"]
    assert [one.step for one in client.get_metric_history(number, "loss")] == [2, 3, 4, 6]
    found = client.get_run(number)
    assert found.data.params["backbone.width"] == "4"
    assert found.info.status == "FINISHED"


@pytest.mark.filterwarnings("ignore")
def test_the_real_wandb_keeps_it_offline(
    small: MakeRecipe, pretext_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb", reason="Weights & Biases, an extra, is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    summary = train(small(), {"": pretext_store}, tmp_path / "run", track="wandb")
    assert summary.notes == ()
    (kept,) = tmp_path.rglob("*.wandb")
    for word in (str(pretext_store), str(tmp_path / "run"), socket.gethostname()):
        assert word.encode() not in kept.read_bytes()
