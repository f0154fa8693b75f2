"""What the section of an experiment shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from dicomgeom.errors import IntegrityError, WrongUse
from reporting.experiment_section import experiment_section
from reporting.report import write_report
from training.checkpoint import write_json
from training.experiments.tables import TABLES_FILE, Entry, Ran, Table, WrittenTables

SCRATCH = Entry(0.6, 0.01, (0.5, 0.7), 2, 2, 8)
BETTER = Entry(0.7, 0.01, (0.6, 0.8), 2, 2, 8, 0.1, (0.05, 0.15), 2)
ANOTHER = (
    "Where a mean or a difference rests on one subset, its interval tells how test patients differ, "
    "not how other training subjects would."
)
BEGUN = Entry(0.5, None, (0.4, 0.6), 1, 2, 8, -0.1, (-0.2, 0.1), 1)


def written_experiment(
    folder: Path,
    rows: dict[str, dict[int, Entry]],
    *,
    reference: str = "scratch",
    measures: tuple[str, ...] = ("dice mean", "dice RV cavity"),
    shared: bool = False,
    ran: dict[str, dict[int, Ran]] | None = None,
) -> Path:
    """An experiment that has run as far as its entries say, two subsets being wanted of what is absent."""
    folder.mkdir()
    write_json(folder / "experiment.json", {"grid": {"name": "the next one"}, "size": "paper"})
    columns = tuple(dict.fromkeys(n for row in rows.values() for n in row))
    ran = ran or {
        arm: {n: Ran(row[n].subsets, row[n].wanted_subsets) if n in row else Ran(0, 2) for n in columns}
        for arm, row in rows.items()
    }
    tables = tuple(Table("Short axis", measure, reference, columns, rows, ran) for measure in measures)
    about = "Trained on /export/of/somebody since 2019-03-17."
    write_json(folder / TABLES_FILE, WrittenTables("mine", about, "small", shared, tables).as_json())
    return folder


def test_arms_are_drawn_as_differences_from_the_reference_and_told_in_numbers(tmp_path: Path) -> None:
    rows = {"scratch": {1: SCRATCH, 4: SCRATCH}, "b": {1: BETTER, 4: BETTER}, "a": {1: BETTER, 4: BETTER}}
    section = experiment_section(written_experiment(tmp_path / "e", rows), "here")
    (chart,) = section.intervals
    assert chart.title == "Short axis, dice mean: difference from scratch"
    assert [name.text for name in chart.names] == ["b", "a"]
    assert [panel.title for panel in chart.panels] == ["1 subject", "4 subjects"]
    assert chart.panels[0].marks[0].title == "b: +0.100 [+0.050, +0.150], 2 of 2 subsets"
    assert [(table.caption, table.folded) for table in section.tables] == [
        ("Short axis: dice mean", False),
        ("Short axis: dice RV cavity", True),
    ]
    assert section.tables[0].rows[1][0:2] == ("b", "0.700 [0.600, 0.800]; +0.100 [+0.050, +0.150]")
    assert {(fact.value, fact.name) for fact in section.facts} >= {
        ("3", "arms"), ("8", "test patients"), ("2 of 2", "subsets of 4 subjects, in every arm"),
    }  # fmt: skip
    assert section.notes == ()


def test_what_has_not_run_is_said(tmp_path: Path) -> None:
    rows = {"scratch": {1: SCRATCH}, "a": {1: BEGUN}, "b": {}}
    section = experiment_section(written_experiment(tmp_path / "e", rows), "here")
    assert section.notes[0].startswith("When these tables were made not all subsets had run")
    assert section.notes[1:] == (ANOTHER,)
    assert ("0 of 2", "subsets of 1 subject, in every arm") in {(f.value, f.name) for f in section.facts}
    (chart,) = section.intervals
    assert [mark.sure for mark in chart.panels[0].marks] == [False]
    assert len(chart.panels) == 1


def test_a_difference_over_one_shared_subset_is_told_as_such_and_not_drawn_as_sure(tmp_path: Path) -> None:
    ahead = Entry(0.7, 0.01, (0.6, 0.8), 3, 3, 8, 0.1, (0.05, 0.15), 1)
    behind = Entry(0.6, None, None, 1, 3, 8)
    section = experiment_section(
        written_experiment(tmp_path / "e", {"scratch": {1: behind}, "a": {1: ahead}}), "here"
    )
    (chart,) = section.intervals
    (mark,) = chart.panels[0].marks
    assert (mark.title, mark.sure) == ("a: +0.100 [+0.050, +0.150], 1 of 3 subsets", False)
    assert "rests on one of several subsets" in chart.note
    assert section.tables[0].rows[1][1] == (
        "0.700 [0.600, 0.800]; +0.100 [+0.050, +0.150] over 1 shared subset"
    )
    assert section.notes[0].startswith("When these tables were made not all subsets had run")
    assert section.notes[1:] == (ANOTHER,)


def test_a_difference_over_the_only_subset_that_is_wanted_may_be_sure(tmp_path: Path) -> None:
    whole = Entry(0.7, None, (0.6, 0.8), 1, 1, 8, 0.1, (0.05, 0.15), 1)
    rows = {"scratch": {0: Entry(0.6, None, (0.5, 0.7), 1, 1, 8)}, "a": {0: whole}}
    section = experiment_section(written_experiment(tmp_path / "e", rows), "here")
    assert [mark.sure for mark in section.intervals[0].panels[0].marks] == [True]
    assert section.notes == (ANOTHER,)


def test_where_all_has_run_and_a_measure_is_missing_no_command_is_said_to_go_on(tmp_path: Path) -> None:
    ran = {"scratch": {1: Ran(2, 2)}, "a": {1: Ran(2, 2)}}
    folder = written_experiment(tmp_path / "e", {"scratch": {1: SCRATCH}, "a": {}}, ran=ran)
    section = experiment_section(folder, "here")
    assert section.tables[0].rows[1] == ("a", "no such measure")
    assert ("2 of 2", "subsets of 1 subject, in every arm") in {(f.value, f.name) for f in section.facts}
    (note,) = section.notes
    assert note.startswith("Some arms have run and have no such measure")
    assert "goes on" not in note


def test_without_a_reference_means_are_drawn_and_one_subset_alone_is_told(tmp_path: Path) -> None:
    alone = Entry(0.9, None, (0.8, 1.0), 1, 1, 8)
    folder = written_experiment(tmp_path / "e", {"a": {1: alone, 0: alone}}, reference="", shared=True)
    section = experiment_section(folder, "here")
    (chart,) = section.intervals
    assert (chart.title, chart.note) == ("Short axis, dice mean", "mean and 95 % interval")
    assert [(panel.title, panel.zero) for panel in chart.panels] == [
        ("1 subject", None), ("all subjects", None),
    ]  # fmt: skip
    assert chart.panels[0].marks[0].title == "a: 0.900 [0.800, 1.000], 1 of 1 subset"
    assert section.notes == (
        ANOTHER,
        "One pretraining serves all subsets: no interval says how another one would have come out.",
    )


def test_numbers_without_an_interval_and_errors_say_so(tmp_path: Path) -> None:
    first, second = Entry(9.0, 0.1, None, 3, 3, 1), Entry(7.0, 0.1, None, 3, 3, 1, -2.0, None, 3)
    rows = {"scratch": {1: first}, "b": {1: second}}
    section = experiment_section(written_experiment(tmp_path / "e", rows, measures=("assd (mm)",)), "here")
    (chart,) = section.intervals
    assert chart.note == "one number a subset for all patients: no interval; less is better"
    assert [mark.sure for mark in chart.panels[0].marks] == [False]


def test_many_numbers_of_subjects_take_several_charts(tmp_path: Path) -> None:
    numbers = range(1, 9)
    rows = {"scratch": dict.fromkeys(numbers, SCRATCH), "b": dict.fromkeys(numbers, BETTER)}
    section = experiment_section(written_experiment(tmp_path / "e", rows), "here")
    assert [len(chart.panels) for chart in section.intervals] == [6, 2]


def test_a_report_shows_an_experiment_and_no_path_or_date_of_its_description(tmp_path: Path) -> None:
    folder = written_experiment(tmp_path / "e", {"scratch": {1: SCRATCH}, "b": {1: BETTER}})
    page = write_report(folder, tmp_path / "r.html").read_text()
    assert "Experiment mine (small)" in page
    assert 'class="interval"' in page
    assert "data-layer=" not in page.split("<main")[0]
    assert "+0.100 [+0.050, +0.150]" in page
    assert "somebody" not in page
    assert "2019-03-17" not in page


def test_an_experiment_without_tables_and_a_damaged_one_are_told(tmp_path: Path) -> None:
    folder = written_experiment(tmp_path / "e", {"scratch": {1: SCRATCH}})
    (folder / TABLES_FILE).unlink()
    with pytest.raises(WrongUse, match="no tables yet"):
        experiment_section(folder, "here")
    (folder / TABLES_FILE).write_text("[{")
    with pytest.raises(IntegrityError, match="make the tables again"):
        experiment_section(folder, "here")
