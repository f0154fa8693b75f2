"""The three commands on real exams; skips, saying so, where the data is absent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.main import run
from dicomgeom.catalogue import open_catalogue
from dicomgeom.errors import EXIT_DONE, EXIT_SOME_SKIPPED
from tests.cli.test_whole_way import TINY
from tests.helpers.real import real_exam

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which the bare commands have run on a real cardiac exam."""
    folder = tmp_path_factory.mktemp("real") / "work"
    common = ["--workspace", str(folder)]
    assert run(["index", str(real_exam("cardiac-biv-me")), *common]) == EXIT_SOME_SKIPPED
    assert run(["build-targets", *common]) == EXIT_DONE
    assert run(["train", "pretrain-mtl", *TINY, "--device", "cpu", *common]) == EXIT_DONE
    return folder


def test_the_bare_commands_pretrain_on_a_real_cardiac_exam(workspace: Path) -> None:
    stores = sorted(path.name for path in (workspace / "stores").iterdir())
    assert {"cardiac-4ch.zarr", "cardiac-sax.zarr"} <= set(stores)
    state = json.loads((workspace / "runs" / "pretrain-mtl" / "run.json").read_text())
    assert (state["state"], state["steps"]) == ("done", 4)
    assert (workspace / "runs" / "pretrain-mtl" / "weights.safetensors").stat().st_size > 0


def test_the_report_of_a_real_exam_has_pictures_and_no_identity(workspace: Path) -> None:
    assert run(["report", "--workspace", str(workspace)]) == EXIT_DONE
    page = (workspace / "report.html").read_text()
    assert page.count("data:image/png") > 20
    images = open_catalogue(workspace / "catalogue").images
    for column in ("sop_instance_uid", "series_instance_uid", "study_instance_uid", "path", "root"):
        assert not any(value in page for value in images[column].unique().to_list())


def test_nothing_beyond_the_catalogue_holds_an_identity(workspace: Path) -> None:
    images = open_catalogue(workspace / "catalogue").images
    words = {"patient1", str(real_exam("cardiac-biv-me"))}
    for column in ("sop_instance_uid", "series_instance_uid", "study_instance_uid", "frame_of_reference"):
        words |= set(images[column].unique())
    needles = [word.encode() for word in words]
    for folder in ("stores", "runs"):
        for file in (workspace / folder).rglob("*"):
            content = file.read_bytes() if file.is_file() else b""
            assert not any(needle in content for needle in needles), file.name


def test_the_bare_commands_pretrain_on_a_real_knee_exam(tmp_path: Path) -> None:
    common = ["--workspace", str(tmp_path / "work")]
    assert run(["index", str(real_exam("knee-flothesof")), *common]) == EXIT_SOME_SKIPPED
    assert run(["build-targets", *common]) == EXIT_SOME_SKIPPED  # the T1 stack, said with its reason
    assert run(["train", *TINY, "--device", "cpu", *common]) == EXIT_DONE
    assert [path.name for path in (tmp_path / "work" / "stores").iterdir()] == ["knee-sag.zarr"]
