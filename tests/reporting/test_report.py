"""The report is one file that needs nothing else, shows what it should, and tells nobody's name."""

from __future__ import annotations

import ast
import base64
import hashlib
import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from dicomgeom.catalogue import open_catalogue
from dicomgeom.errors import HalfWritten, IntegrityError, WrongUse, WrongVersion
from dicomgeom.index import index
from pretext_targets.build import build, plan_build
from pretext_targets.protocol import load_protocol
from reporting import run_files
from reporting.report import write_report
from tests.helpers.exams import DESCRIPTION, PATIENT_ID, PATIENT_NAME, STUDY_DATE
from tests.reporting.written_runs import written_run


@pytest.fixture(scope="module")
def catalogue(heart_export: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report") / "catalogue"
    bad = heart_export.parent / "more"
    bad.mkdir(exist_ok=True)
    (bad / "letter.txt").write_text("no image")
    index([heart_export, bad], folder)
    return folder


@pytest.fixture(scope="module")
def store(catalogue: Path) -> Path:
    protocol = load_protocol("cardiac-sax").with_changes(rows=48, columns=48, spacing_mm=5.0)
    path = catalogue.parent / "sax.zarr"
    build(plan_build(open_catalogue(catalogue), protocol), path)
    return path


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written_run(tmp_path_factory.mktemp("runs") / "one", dice=0.5)


class Links(HTMLParser):
    """Collects every address that a browser would load or follow."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [
            value or "" for name, value in attrs if name in ("href", "src", "xlink:href", "data")
        ]


def links_of(page: str) -> Links:
    parser = Links()
    parser.feed(page)
    return parser


@pytest.fixture
def page(catalogue: Path, store: Path, run_folder: Path, tmp_path: Path) -> str:
    return write_report([catalogue, store, run_folder], tmp_path / "r.html").read_text(encoding="utf-8")


def test_the_page_needs_nothing_but_itself(page: str) -> None:
    links = links_of(page)
    assert all(
        address.startswith(("data:image/png;base64,", "#")) or address == "data:,"
        for address in links.addresses
    )
    assert not {"iframe", "object", "embed"} & set(links.tags)
    assert links.tags.count("script") == 1
    assert not re.search(r"https?://|url\((?!#)|@import|\bfetch\(|XMLHttpRequest|WebSocket|import\(", page)


def test_the_page_forbids_itself_every_address_and_every_other_script(page: str) -> None:
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)
    script = re.search(r"<script>(.*)</script>", page, re.DOTALL)
    assert policy
    assert script
    rules = dict(rule.strip().split(" ", 1) for rule in html.unescape(policy[1]).split(";"))
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    assert rules == {
        "default-src": "'none'",
        "img-src": "data:",
        "style-src": "'unsafe-inline'",
        "script-src": f"'sha256-{digest}'",
    }


def test_an_image_that_is_shown_several_times_stands_in_the_page_once(page: str) -> None:
    images = re.findall(r'<image id="(\w+)"[^>]* href="([^"]+)"', page)
    assert len({png for _, png in images}) == len(images)
    used = set(re.findall(r'<use href="#(\w+)"', page))
    assert used == {name for name, _ in images}
    assert page.count("<use ") > len(images)


def test_the_page_tells_no_name_number_date_uid_or_path(
    page: str, catalogue: Path, heart_export: Path
) -> None:
    tables = open_catalogue(catalogue)
    secrets = {PATIENT_NAME, "Secretovsky", PATIENT_ID, STUDY_DATE, "2019", DESCRIPTION, str(heart_export)}
    secrets |= {str(catalogue), *tables.images["sop_instance_uid"], *tables.images["path"]}
    secrets |= {*tables.stacks["study_instance_uid"], *tables.stacks["patient_key"]}
    # Base64 may spell anything by chance: look at the words only.
    words = re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]+", "", page)
    assert not [secret for secret in secrets if secret in words]
    assert not re.search(r"\b\d+(\.\d+){5,}\b", words)


def test_the_catalogue_shows_each_stack_with_its_lines_and_evidence(catalogue: Path, tmp_path: Path) -> None:
    page = write_report(catalogue, tmp_path / "r.html").read_text(encoding="utf-8")
    assert page.count('class="open"') == 3  # SAX, 4CH, 2CH
    assert page.count("<title>line of ") == 6  # each is cut by the two others
    for word in ("SAX", "4CH", "2CH", "of evidence", "Files left out, and why", "not-dicom"):
        assert word in page


def test_the_catalogue_shows_its_planes_in_space(catalogue: Path, tmp_path: Path) -> None:
    page = write_report(catalogue, tmp_path / "r.html").read_text(encoding="utf-8")
    assert page.count("data-corners=") == 4 + 1 + 1
    assert page.count('<polygon class="sheet central"') == 3
    assert page.count("<line data-ends=") == 3
    assert "2CH (stack 3)" in page


def test_exams_for_which_there_are_no_pictures_are_counted(
    catalogue: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reporting.report.MOST_IMAGES", 2)
    page = write_report(catalogue, tmp_path / "r.html").read_text(encoding="utf-8")
    assert "Pictures of 0 of 1 exam; the others are listed" in page
    assert "<image " not in page
    assert 'class="exam small group"' in page


def test_the_store_shows_lines_boxes_heatmaps_and_locations(store: Path, tmp_path: Path) -> None:
    page = write_report(store, tmp_path / "r.html").read_text(encoding="utf-8")
    assert page.count("<image ") == 1 + 2  # the slices of this exam are all alike; two heatmaps
    assert page.count('class="open"') == 4 + 3 + 2  # slices; image, lines, boxes; heatmaps
    assert page.count("<rect ") >= 4
    for word in ("heatmap of 2CH", "heatmap of 4CH", "location 0.33", "label by label", "near left"):
        assert word in page


def test_the_run_shows_curves_predictions_and_measures(run_folder: Path, tmp_path: Path) -> None:
    page = write_report(run_folder, tmp_path / "r.html").read_text(encoding="utf-8")
    for word in ("Training loss", "Loss on validation patients", "segmentation, predicted", "heatmaps, truth",
                 "dice LV cavity", "All settings", "from scratch", "30 of 30"):  # fmt: skip
        assert word in page
    assert "location: 0.25 (0.5 predicted)" in page


def test_two_evaluated_runs_are_compared(run_folder: Path, tmp_path: Path) -> None:
    other = written_run(tmp_path / "other", dice=0.75, init="abc")
    page = write_report([run_folder, other], tmp_path / "r.html").read_text(encoding="utf-8")
    assert "Runs compared" in page
    assert "segment-sax, from pretrained weights" in page
    assert "<dd>98%</dd><dt>of the weights taken over</dt>" in page
    assert "Runs compared" not in write_report(other, tmp_path / "one.html").read_text(encoding="utf-8")


def test_sources_of_one_name_are_numbered(run_folder: Path, tmp_path: Path) -> None:
    page = write_report([run_folder, run_folder], tmp_path / "r.html").read_text(encoding="utf-8")
    for number in (1, 2):
        assert f">Run segment-sax, from scratch ({number})</h1>" in page


def test_runs_measured_on_other_patients_are_not_compared(run_folder: Path, tmp_path: Path) -> None:
    other = written_run(tmp_path / "other", dice=0.75)
    text = (other / "evaluation.json").read_text().replace("ab" * 16, "cd" * 16)
    (other / "evaluation.json").write_text(text)
    page = write_report([run_folder, other], tmp_path / "r.html").read_text(encoding="utf-8")
    assert "Measured on other patients, another split or protocol, so not compared: A, B." in page
    assert "over the same" not in page


def constant_of(module: str, name: str) -> str:
    """A text that a module of the training names, read without importing it: it loads torch."""
    tree = ast.parse((Path(__file__).parents[2] / "training" / f"{module}.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign):
            targets = node.targets[0]
            names = targets.elts if isinstance(targets, ast.Tuple) else [targets]
            values = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
            for target, value in zip(names, values, strict=False):
                if ast.unparse(target) == name:
                    return str(ast.literal_eval(value))
    raise AssertionError(f"training/{module}.py names no {name}")


def test_the_files_of_a_run_are_called_as_the_training_calls_them() -> None:
    assert constant_of("log", "LOG_FILE") == run_files.LOG_FILE
    assert constant_of("evaluate", "EVALUATION_FILE") == run_files.EVALUATION_FILE
    assert constant_of("validation", "SAMPLES_FILE") == run_files.SAMPLES_FILE
    assert constant_of("diagnosis", "DIAGNOSIS_FILE") == run_files.DIAGNOSIS_FILE


def test_what_people_wrote_cannot_become_markup(run_folder: Path, tmp_path: Path) -> None:
    folder = written_run(tmp_path / "evil", dice=0.5)
    run = json.loads((folder / "run.json").read_text())
    run["recipe"]["paper"] = "<script>alert(1)</script>"
    (folder / "run.json").write_text(json.dumps(run))
    page = write_report(folder, tmp_path / "r.html").read_text("utf-8")
    assert "&lt;script&gt;alert(1)" in page
    assert links_of(page).tags.count("script") == 1  # the page's own


def test_the_file_is_private_and_replaced_in_one_step(run_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "r.html"
    write_report(run_folder, out)
    write_report(run_folder, out)
    assert out.stat().st_mode & 0o077 == 0
    assert [file.name for file in out.parent.iterdir()] == ["r.html"]


def test_a_broken_source_leaves_the_last_report_as_it_was(run_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.html"
    write_report(run_folder, out)
    before = out.read_bytes()
    folder = written_run(tmp_path / "broken", dice=0.5)
    whole = (folder / "samples.npz").read_bytes()
    (folder / "samples.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(IntegrityError, match=r"samples\.npz"):
        write_report(folder, out)
    assert out.read_bytes() == before


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ({"format": "anatprep-run", "version": 1}, "state, recipe, recipe_sha256"),
        ({"format": "anatprep-run", "version": 1, "state": "done", "recipe": {"name": "x"}}, "recipe.steps"),
        ({"format": "anatprep-run", "version": 1, "state": "done", "recipe": "x"}, "damaged: recipe"),
        ({"format": "else", "version": 1}, "does not describe a run"),
        ([], "does not describe a run"),
    ],
)
def test_a_run_that_lacks_what_it_should_say_is_refused(content: object, named: str, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps(content))
    with pytest.raises(IntegrityError, match=named):
        write_report(tmp_path, tmp_path / "r.html")


def test_a_damaged_evaluation_is_refused(tmp_path: Path) -> None:
    folder = written_run(tmp_path / "run", dice=0.5)
    (folder / "evaluation.json").write_text('{"tasks": []}')
    with pytest.raises(IntegrityError, match=r"evaluation\.json is damaged"):
        write_report(folder, tmp_path / "r.html")


def test_a_run_of_another_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"format": "anatprep-run", "version": 99}))
    with pytest.raises(WrongVersion, match="version 99"):
        write_report(tmp_path, tmp_path / "r.html")


def test_what_is_none_of_the_four_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with pytest.raises(IntegrityError, match="no catalogue, store, run or experiment"):
        write_report(tmp_path / "other", tmp_path / "r.html")
    with pytest.raises(WrongUse, match="does not exist"):
        write_report(tmp_path / "nowhere", tmp_path / "r.html")
    with pytest.raises(WrongUse, match="nothing to report"):
        write_report([], tmp_path / "r.html")


def test_a_half_written_store_is_refused(store: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "half.zarr"
    shutil.copytree(store, copy)
    marker = json.loads((copy / "zarr.json").read_text())
    marker["attributes"]["anatprep"]["complete"] = False
    (copy / "zarr.json").write_text(json.dumps(marker))
    with pytest.raises(HalfWritten):
        write_report(copy, tmp_path / "r.html")
