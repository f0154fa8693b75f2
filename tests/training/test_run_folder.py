from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dicomgeom.errors import IntegrityError, WrongVersion
from training.evaluate import evaluate
from training.loop import train
from training.model import read_model
from training.recipe import Recipe
from training.run_file import read_run
from training.run_folder import unchecked_of, verify_run
from training.transfer import read_initial_weights

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(small: Callable[..., Recipe], pretext_store: Path, tmp_path: Path) -> Path:
    train(small(), {"": pretext_store}, tmp_path / "run")
    return tmp_path / "run"


def test_a_sound_run_has_no_problems(run: Path) -> None:
    assert verify_run(run) == []


def test_what_is_missing_or_damaged_is_listed(run: Path) -> None:
    (run / "samples.npz").unlink()
    (run / "weights.safetensors").write_bytes(b"cut")
    (run / "seen_patients.json").write_text("[]")
    log = (run / "log.jsonl").read_text()
    (run / "log.jsonl").write_text(log + log)
    said = "\n".join(verify_run(run))
    for words in (
        "samples.npz is missing",
        "weights.safetensors is not a readable",
        "seen_patients",
        "steps twice",
    ):
        assert words in said


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(bytes(content))


def test_weights_with_a_flipped_byte_are_told_by_all_who_use_them(
    run: Path, small: Callable[..., Recipe], pretext_store: Path, tmp_path: Path
) -> None:
    flip_a_byte(run / "weights.safetensors")
    (problem,) = verify_run(run)
    assert "weights.safetensors is not what the run wrote" in problem
    for use in (
        lambda: read_initial_weights(run),
        lambda: read_initial_weights(run / "weights.safetensors"),
        lambda: train(small(), {"": pretext_store}, tmp_path / "next", init=run),
        lambda: evaluate(run, pretext_store),
    ):
        with pytest.raises(IntegrityError, match="is not what the run wrote") as caught:
            use()
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "next").exists()


def test_a_run_of_an_earlier_version_has_no_checksum_and_stays_usable(run: Path) -> None:
    assert unchecked_of(run) == []
    described = json.loads((run / "run.json").read_text())
    del described["weights_sha256"]
    (run / "run.json").write_text(json.dumps(described))
    flip_a_byte(run / "weights.safetensors")
    assert verify_run(run) == []
    assert "holds no SHA-256 of the weights" in unchecked_of(run)[0]
    assert read_initial_weights(run).trained


def test_an_unfinished_run_is_not_sound(run: Path) -> None:
    described = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(described | {"state": "running"}))
    assert verify_run(run) == ["not finished; run the same train command again to finish it"]
    assert unchecked_of(run) == []


def test_a_log_that_ends_early_is_a_problem(run: Path) -> None:
    first, *_ = (run / "log.jsonl").read_text().splitlines()
    (run / "log.jsonl").write_text(first + "\n")
    assert any("ends at step 2, the run at step 6" in problem for problem in verify_run(run))


def test_other_folders_are_no_runs(run: Path, tmp_path: Path) -> None:
    assert "is no run" in verify_run(tmp_path)[0]
    (run / "run.json").write_text("{")
    with pytest.raises(IntegrityError, match="damaged"):
        read_run(run)
    (run / "run.json").write_text('{"format": "something"}')
    with pytest.raises(IntegrityError, match="does not describe a run"):
        read_run(run)
    (run / "run.json").write_text('{"format": "anatprep-run", "version": 2}')
    with pytest.raises(WrongVersion, match="version 2"):
        read_run(run)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"recipe": 3, "notes": None}, "damaged: recipe, notes missing or of the wrong kind"),
        ({"state": "sleeping"}, "damaged: state "),
        ({"recipe": {}}, "damaged: recipe.name, recipe.steps, recipe.batch_size "),
        ({"losses": None}, "damaged: losses "),
        ({"weights_sha256": 7}, "damaged: weights_sha256 "),
    ],
)
def test_a_damaged_description_is_one_line_that_lists_all_that_is_wrong(
    change: dict[str, object], said: str, run: Path
) -> None:
    described = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(described | change))
    with pytest.raises(IntegrityError, match=said) as caught:
        read_run(run)
    assert "\n" not in str(caught.value)
    assert verify_run(run) == [str(caught.value)]


def test_reading_a_run_needs_no_torch() -> None:
    code = "import sys; import training.run_file; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_a_run_says_what_it_is_without_saying_where(run: Path) -> None:
    told = json.loads((run / "run.json").read_text())
    assert told["state"] == "done"
    assert told["steps"] == 6
    assert told["stores"]["main"]["protocol"] == "SAX-test"
    assert told["recipe"]["name"] == "pretrain-mtl"


def test_weights_can_be_used_without_the_run_or_the_store(run: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone.safetensors"
    (run / "weights.safetensors").rename(alone)
    model, configuration = read_model(alone)
    assert model.labels == ("mtl",)
    assert configuration.trained == ("encoder", "decoder")
    assert configuration.facts["mtl"].partners == ("2CH", "4CH")
    assert configuration.recipe.backbone.width == 4
