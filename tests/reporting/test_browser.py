"""The page in a real browser: filters, large pictures, planes in space; skips where there is no Chromium."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dicomgeom.catalogue import open_catalogue
from dicomgeom.index import index
from pretext_targets.build import build, plan_build
from pretext_targets.protocol import load_protocol
from reporting.report import write_report
from reporting.sections import short_key
from reporting.space import Look, projected, towards_eye
from reporting.space_pieces import Node, painted_order
from tests.helpers.exams import write_heart_exam
from tests.reporting.browser import Browser, browser_path
from tests.reporting.written_runs import write_evaluation, written_run


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report on a catalogue, its store, and two runs that were measured on its patient."""
    folder = tmp_path_factory.mktemp("browser")
    export = write_heart_exam(folder / "export", phases=2)
    (export / "letter.txt").write_text("no image")
    index([export], folder / "catalogue")
    catalogue = open_catalogue(folder / "catalogue")
    protocol = load_protocol("cardiac-sax").with_changes(rows=48, columns=48, spacing_mm=5.0)
    build(plan_build(catalogue, protocol), folder / "sax.zarr")
    runs = [written_run(folder / name, dice=dice) for name, dice in (("one", 0.5), ("two", 0.75))]
    patient = catalogue.images["patient_key"][0]
    for run in runs:
        write_evaluation(run, {patient: {"dice LV cavity": 0.5}, "cd" * 16: {"dice LV cavity": 0.25}})
    return write_report([folder / "catalogue", folder / "sax.zarr", *runs], folder / "r.html")


@pytest.fixture(scope="module")
def started() -> Iterator[Browser]:
    program = browser_path()
    if program is None:
        pytest.skip("no Chromium on this machine: the report's scripts are not tried")
    browser = Browser(program)
    try:
        browser.__enter__()
    except OSError as error:
        pytest.skip(f"Chromium does not start on this machine: {error}")
    yield browser
    browser.__exit__()


@pytest.fixture
def browser(started: Browser, page: Path) -> Iterator[Browser]:
    """The page freshly opened; afterwards nothing may have been complained of or asked for."""
    started.complaints.clear()
    started.requests.clear()
    started.open(page)
    yield started
    assert started.complaints == []
    assert started.requests == [page.resolve().as_uri()]


def shown(browser: Browser, selector: str) -> int:
    """How many elements can be seen."""
    wanted = json.dumps(selector)
    return int(
        browser.run(f"[...document.querySelectorAll({wanted})].filter(e => e.getClientRects().length).length")
    )


def choose(browser: Browser, section: str, facet: str, value: str) -> None:
    """Set one field of a section's filter as a user does."""
    browser.run(
        f"(() => {{ const field = document.querySelector('{section} [data-facet={facet}]');"
        f"field.value = {json.dumps(value)};"
        "field.dispatchEvent(new Event('input', {bubbles: true})); })()"
    )


def text_of(browser: Browser, selector: str) -> str:
    return str(browser.run(f"document.querySelector({json.dumps(selector)}).textContent"))


def test_a_filter_by_view_leaves_its_stacks_and_says_how_many(browser: Browser) -> None:
    assert shown(browser, "#source-1 figure.item") == 3
    choose(browser, "#source-1", "view", "4CH")
    assert shown(browser, "#source-1 figure.item") == 1
    assert shown(browser, "#source-1 tr.item") == 1
    assert text_of(browser, "#source-1 .count") == "2 of 7 rows and pictures"
    assert "4CH" in text_of(browser, "#source-1 figure.item:not([hidden])")
    browser.run("document.querySelector('#source-1 form button[type=reset]').click()")
    browser.run("new Promise(done => setTimeout(done, 20))")
    assert shown(browser, "#source-1 figure.item") == 3
    assert text_of(browser, "#source-1 .count") == ""


def test_a_filter_by_reason_leaves_what_was_left_out_for_it(browser: Browser) -> None:
    choose(browser, "#source-1", "reason", "not-dicom")
    assert shown(browser, "#source-1 .item") == 1
    assert shown(browser, "#source-1 .exam") == 0
    assert "neither a DICM mark" in text_of(browser, "#source-1 .item:not([hidden])")


def test_a_filter_by_confidence_leaves_the_sure_ones(browser: Browser) -> None:
    sure = browser.run(
        "[...document.querySelectorAll('#source-1 tr.item')].map(r => Number(r.dataset.confidence))"
    )
    limit = 0.95
    choose(browser, "#source-1", "confidence", str(limit))
    assert shown(browser, "#source-1 tr.item") == sum(one is not None and one >= limit for one in sure)


def test_a_text_is_searched_in_headings_captions_and_drawn_labels(browser: Browser) -> None:
    choose(browser, "#source-2", "text", "SAX 0.67")
    assert shown(browser, "#source-2 figure.item") == 1
    choose(browser, "#source-2", "text", "no such word")
    assert shown(browser, "#source-2 .item") == 0


def test_the_store_is_filtered_by_label_and_split(browser: Browser) -> None:
    choices = browser.run(
        "[...document.querySelectorAll('#source-2 [data-facet=label] option')].map(o => o.value)"
    )
    assert choices == ["", "boxes", "line of 2CH", "line of 4CH", "location"]
    choose(browser, "#source-2", "label", "boxes")
    assert shown(browser, "#source-2 figure.item") == 4


def test_a_patients_key_filters_every_part_that_knows_the_patient(browser: Browser) -> None:
    browser.run("document.querySelector('#source-1 [data-patient-key]').click()")
    key = browser.run("document.querySelector('#source-1 [data-patient-key]').dataset.patientKey")
    for run in ("#source-3", "#source-4"):
        assert shown(browser, f"{run} tr.item") == 1
        assert browser.run(f"document.querySelector('{run} tr.item:not([hidden])').dataset.patient") == key
    browser.run("document.querySelector('#source-1 [data-patient-key]').click()")
    assert shown(browser, "#source-3 tr.item") == 2
    assert len(key) == len(short_key("ab" * 16)) == 10


def test_a_thumbnail_opens_large_and_keys_lead_on_and_back(browser: Browser) -> None:
    browser.run("document.querySelectorAll('#source-2 button.open')[1].focus()")
    browser.press("Enter")
    assert browser.run("document.getElementById('large').open")
    assert "slice 2 of 4" in text_of(browser, "#large p")
    assert "line of 4CH" in text_of(browser, "#large .legend")
    assert browser.run("document.querySelector('#large svg').getBoundingClientRect().width") > 400
    browser.press("ArrowRight")
    assert "slice 3 of 4" in text_of(browser, "#large p")
    browser.press("Escape")
    assert browser.wait_for("!document.getElementById('large').open")
    assert browser.wait_for("document.activeElement.getAttribute('aria-label').startsWith('slice 3 of 4')")


def test_labels_can_be_taken_off_the_pictures(browser: Browser) -> None:
    assert shown(browser, "#source-2 .layer-lines") > 0
    browser.run("document.querySelector('[data-layer=lines]').click()")
    assert shown(browser, "#source-2 .layer-lines") == 0
    assert shown(browser, "#source-2 .layer-boxes") > 0


def polygons(browser: Browser) -> dict[str, list[float]]:
    """Told name of each rectangle -> its points on the screen."""
    return {
        told: [float(value) for value in points.replace(",", " ").split()]
        for told, points in browser.run(
            "[...document.querySelectorAll('#source-1 .sheet')]"
            ".map(s => [s.dataset.told, s.getAttribute('points')])"
        )
    }


def test_the_planes_turn_with_the_mouse_and_the_keys_and_come_back(browser: Browser) -> None:
    first = polygons(browser)
    assert len(first) == 6
    browser.drag("#source-1 .scene", 60, 20)
    turned = polygons(browser)
    assert all(max(abs(np.subtract(turned[told], first[told]))) > 1 for told in first)
    browser.run("document.querySelector('#source-1 .scene').focus()")
    browser.press("ArrowLeft")
    assert polygons(browser) != turned
    browser.run("document.querySelector('#source-1 [data-look]').click()")
    for told, points in polygons(browser).items():
        assert points == pytest.approx(first[told], abs=0.02)  # script and Python draw the same


def test_the_look_from_the_feet_is_the_one_that_python_computes(browser: Browser) -> None:
    browser.run("document.querySelector('#source-1 [data-look=\"0 -90\"]').click()")
    corners = browser.run(
        "[...document.querySelectorAll('#source-1 .sheet')].map(s => [s.dataset.told, s.dataset.corners])"
    )
    now = polygons(browser)
    for told, text in corners:
        points = projected(np.array([float(value) for value in text.split()]).reshape(4, 3), Look(0, -90))
        assert now[told] == pytest.approx(points[:, :2].ravel().tolist(), abs=0.02)


@pytest.mark.parametrize("look", [Look(0, 0), Look(90, 0), Look(0, -90)])
def test_the_script_paints_the_pieces_in_the_order_that_python_tells(browser: Browser, look: Look) -> None:
    browser.run(f"document.querySelector('#source-1 [data-look=\"{look.turn} {look.elevation}\"]').click()")
    painted = browser.run(
        "[...document.querySelectorAll('#source-1 .patch')].map(p => Number(p.dataset.number))"
    )
    tree = json.loads(browser.run("document.querySelector('#source-1 .patches').dataset.tree"))
    assert painted == list(painted_order(node_of(tree), towards_eye(look)))
    assert len(painted) > 3


def node_of(lists: list[Any] | None) -> Node | None:
    """The tree that the page holds, as Python has it."""
    if lists is None:
        return None
    normal, pieces, front, back = lists
    return Node(np.array(normal), tuple(pieces), node_of(front), node_of(back))


def test_pointing_at_a_plane_tells_its_stack(browser: Browser) -> None:
    browser.run("document.querySelector('#source-1 [data-look=\"0 0\"]').click()")
    browser.point_at("#source-1 .scene")
    told = text_of(browser, "#source-1 .hover")
    assert told.startswith("stack ") or " crosses " in told
    browser.run("document.querySelector('#source-1 .stacks-of button').focus()")
    assert text_of(browser, "#source-1 .hover") == "stack 1: SAX, cine"
    assert browser.run("document.querySelector('#source-1 tr[data-stack=\"1\"]').className") == "item pointed"


def test_a_stack_can_be_taken_out_of_the_drawing(browser: Browser) -> None:
    assert shown(browser, "#source-1 .sheet") == 6
    browser.run("document.querySelector('#source-1 .stacks-of button').click()")
    assert shown(browser, "#source-1 .sheet") == 2
    assert shown(browser, "#source-1 .crossings line") == 1


def test_light_and_dark_follow_the_system(browser: Browser, page: Path) -> None:
    colours = []
    for scheme in ("light", "dark"):
        browser.requests.clear()
        browser.open(page, prefers_color_scheme=scheme)
        colours.append(browser.run("getComputedStyle(document.body).backgroundColor"))
    assert colours == ["rgb(250, 250, 248)", "rgb(18, 21, 23)"]


def test_the_page_is_no_wider_than_a_telephone(browser: Browser) -> None:
    browser.send(
        "Emulation.setDeviceMetricsOverride", width=390, height=800, deviceScaleFactor=1, mobile=True
    )
    try:
        assert browser.run("document.documentElement.scrollWidth") <= 390
    finally:
        browser.send("Emulation.clearDeviceMetricsOverride")


def test_without_scripts_everything_is_there_but_the_controls(browser: Browser, page: Path) -> None:
    browser.send("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.requests.clear()
        browser.open(page)
        document = browser.send("DOM.getDocument", depth=-1)["root"]["nodeId"]

        def displayed(selector: str) -> str:
            node = browser.send("DOM.querySelector", nodeId=document, selector=selector)["nodeId"]
            browser.send("DOM.enable")
            browser.send("CSS.enable")
            style = browser.send("CSS.getComputedStyleForNode", nodeId=node)["computedStyle"]
            return next(str(one["value"]) for one in style if one["name"] == "display")

        assert displayed("form.filter") == "none"
        assert displayed("#source-1 figure.item") != "none"
        assert displayed("#source-1 .sheet") != "none"
        assert displayed("#source-1 .patch use") != "none"
    finally:
        browser.send("Emulation.setScriptExecutionDisabled", value=False)
