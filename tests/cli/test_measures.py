"""`anatprep evaluate --against` and `anatprep diagnose`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import zarr

from cli.evaluate import _doubts
from cli.main import run
from dicomgeom.errors import EXIT_DONE, EXIT_NOTHING_USABLE, EXIT_SOME_SKIPPED, EXIT_WRONG_USE
from tests.helpers.labelled_hearts import Heart, write_hearts
from tests.training.conftest import write_store

SIDE = 32


def ring(lv_px: float, rng: np.random.Generator) -> np.ndarray:
    """Four slices of a round LV of this radius, its wall, and an RV beside it."""
    y, x = np.mgrid[0:SIDE, 0:SIDE] - SIDE / 2 + rng.uniform(-1, 1)
    masks = np.zeros((4, SIDE, SIDE), np.uint8)
    masks[:, np.hypot(x + lv_px + 5, y) < 5] = 3
    masks[:, np.hypot(x, y) < lv_px + 2] = 2
    masks[:, np.hypot(x, y) < lv_px] = 1
    return masks


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hearts of two kinds: the first empties well, the second does not."""
    rng = np.random.default_rng(0)
    hearts = [
        Heart(
            masks=np.stack([ring(7.0, rng), ring(6.5 if number % 2 else 4.0, rng)]),
            slice_distance_mm=8.0,
            diagnosis=number % 2,
            split=0 if number < 8 else 2,
        )
        for number in range(14)
    ]
    return write_hearts(tmp_path_factory.mktemp("stores") / "hearts.zarr", hearts, 3.0)


@pytest.fixture(scope="module")
def runs(store: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("runs")
    small = ["backbone.width=4", "batch_size=8", "optimiser.learning_rate=1e-2", "validate_every=100"]
    for steps in (30, 1):
        words = ["train", "segment-sax", "--store", str(store), "-o", str(folder / str(steps)), "--json"]
        for setting in (*small, f"steps={steps}"):
            words += ["--set", setting]
        assert run(words) == EXIT_DONE
    return [folder / "30", folder / "1"]


def test_two_runs_are_compared_patient_by_patient(
    runs: list[Path], store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    words = ["evaluate", str(runs[0]), "--store", str(store), "--against", str(runs[1]), "--json"]
    assert run(words) == EXIT_DONE
    told = capsys.readouterr()
    found = json.loads(told.out)["against"]["segmentation"]["dice mean"]
    tables = [
        json.loads((one / "evaluation.json").read_text())["tasks"]["segmentation"]["patients"] for one in runs
    ]
    apart = [tables[0][key]["dice mean"] - tables[1][key]["dice mean"] for key in tables[0]]
    assert found["patients"] == 6
    assert found["difference"] == pytest.approx(np.mean(apart)) != 0.0
    assert found["interval"][0] <= found["difference"] <= found["interval"][1]
    assert 0 < found["permutation_p"] <= 1
    assert "p permutation" in told.err


def test_pixels_of_another_size_are_allowed_to_both_runs(
    runs: list[Path], store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "store.zarr"
    shutil.copytree(store, other)
    described = json.loads((other / "zarr.json").read_text())
    described["attributes"]["anatprep"]["spacing_mm"] *= 1.25
    described["attributes"]["anatprep"]["plan_sha256"] = "1" * 64
    (other / "zarr.json").write_text(json.dumps(described))
    words = ["evaluate", str(runs[0]), "--store", str(other), "--against", str(runs[1]), "--json"]
    assert run(words) == EXIT_WRONG_USE
    assert "--any-spacing" in capsys.readouterr().err
    assert run([*words, "--any-spacing"]) == EXIT_DONE
    assert json.loads(capsys.readouterr().out)["against"]["segmentation"]["dice mean"]["patients"] == 6


def test_the_tables_tell_intervals_and_units(
    runs: list[Path], store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert run(["evaluate", str(runs[0]), "--store", str(store)]) == EXIT_DONE
    told = capsys.readouterr().out
    for words in ("95 %", "assd LV cavity (mm)", "volume error RV cavity (ml)", "sd over patients"):
        assert words in told


def test_a_diagnosis_from_a_run_and_from_manual_segmentations(
    runs: list[Path], store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert run(["diagnose", str(runs[0]), "--store", str(store), "--json"]) == EXIT_DONE
    told = capsys.readouterr()
    found = json.loads(told.out)
    assert found["manual"]["auc"]["auc mean"] == 1.0
    assert len(found["automatic"]["patients"]) == 6
    assert "no training patient has height (cm), weight (kg)" in told.err
    assert run(["diagnose", "--store", str(store)]) == EXIT_DONE
    assert "manual segmentations of 6 patients, 100.0% diagnosed rightly" in capsys.readouterr().out


def test_unreadable_images_are_told_and_make_the_exit_code_3(
    runs: list[Path], store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torn = tmp_path / "torn.zarr"
    shutil.copytree(store, torn)
    zarr.open_array(torn / "valid", mode="r+")[-1] = False  # of a test patient
    capsys.readouterr()
    assert run(["evaluate", str(runs[0]), "--store", str(torn)]) == EXIT_SOME_SKIPPED
    assert "1 image left out, whose pixels cannot be used; 1 volume measured" in capsys.readouterr().out
    assert run(["diagnose", str(runs[0]), "--store", str(torn), "--json"]) == EXIT_SOME_SKIPPED
    told = capsys.readouterr()
    found = json.loads(told.out)
    assert found["automatic"]["volumes_left_out"] == found["manual"]["volumes_left_out"] == 1
    assert told.err.count("note: 1 volume of these patients with images left out") == 2


def test_volumes_without_all_images_are_counted_once_however_many_tasks_measure_them() -> None:
    tasks = {name: {"volumes_incomplete": 1, "mean": {}} for name in ("lines", "boxes")}
    known = {"ancestors_known": True, "patients_comparable": True}
    (doubt,) = _doubts(known | {"images_left_out": 1, "tasks": tasks})
    assert doubt.endswith("1 volume measured without all images")


def test_a_store_without_what_is_asked_of_it_is_read_and_of_no_use(
    runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = write_store(tmp_path / "bare.zarr", first_patient=50)
    for words, said in (
        (["diagnose", "--store", str(bare)], "the store holds no diagnosis"),
        (["evaluate", str(runs[0]), "--store", str(bare)], "no image of the split 'test'"),
    ):
        assert run(words) == EXIT_NOTHING_USABLE
        assert said in capsys.readouterr().err


def test_what_is_wrong_with_the_other_run_is_said_before_the_first_is_measured(
    runs: list[Path], store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[object] = []
    monkeypatch.setattr("training.evaluate.evaluate", lambda *_, **__: measured.append(1))
    words = ["evaluate", str(runs[0]), "--store", str(store), "--against", str(tmp_path / "nope")]
    assert run(words) == EXIT_WRONG_USE
    assert measured == []


def test_wrong_words_end_in_one_line(
    runs: list[Path], store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    for words, code, said in (
        (["diagnose", str(runs[0])], EXIT_WRONG_USE, "--store"),
        (["diagnose", "--store", str(store), "--split", "train"], EXIT_WRONG_USE, "--split"),
        (["diagnose", "--store", str(store), "--split", "validation"], EXIT_NOTHING_USABLE, "no patient has"),
        (["diagnose", "--store", str(tmp_path)], 5, "not an anatprep store"),
        (
            ["evaluate", str(runs[0]), "--store", str(store), "--against", str(tmp_path)],
            5,
            "is no run",
        ),
        (
            ["evaluate", str(runs[0]), "--store", str(store), "--against", str(tmp_path / "nope")],
            EXIT_WRONG_USE,
            "nope does not exist; give a finished run",
        ),
        (["evaluate", str(tmp_path / "nope"), "--store", str(store)], EXIT_WRONG_USE, "does not exist"),
        (["evaluate", str(runs[0]), "--store", str(tmp_path / "nope")], EXIT_WRONG_USE, "no store at"),
        (["diagnose", "--store", str(tmp_path / "nope")], EXIT_WRONG_USE, "no store at"),
        (["export", str(tmp_path / "nope"), "-o", str(tmp_path / "out")], EXIT_WRONG_USE, "does not exist"),
    ):
        assert run(words) == code
        told = capsys.readouterr().err
        assert said in told
        assert "Traceback" not in told
