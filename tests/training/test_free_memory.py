from __future__ import annotations

from pathlib import Path

import pytest

from training.free_memory import could_have, free_on_host

GIB = 1 << 30
TABLE = """MemTotal:       25165824 kB
MemFree:          102400 kB
MemAvailable:   {available_kib} kB
Buffers:          135012 kB
"""


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """The tables of a machine with 20 GiB to spare, most of them in its page cache; no control group."""
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "meminfo").write_text(TABLE.format(available_kib=20 * GIB // 1024))
    return tmp_path / "proc"


def group(folder: Path, names: tuple[str, str, str], limit: str, used: int, idle: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in zip(names, (limit, used), strict=False):
        (folder / name).write_text(f"{content}\n")
    (folder / "memory.stat").write_text(f"anon {used - idle}\n{names[2]} {idle}\n")


SECOND = ("memory.max", "memory.current", "inactive_file")
FIRST = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def test_what_torch_keeps_without_using_it_counts_as_free() -> None:
    # Of 80: 10 in use by tensors, 30 kept by torch after a run before, 40 free to everyone.
    assert could_have(free_bytes=40, reserved_bytes=40, allocated_bytes=10) == 70


def test_the_page_cache_counts_as_free(proc: Path, tmp_path: Path) -> None:
    assert free_on_host(proc, tmp_path / "none") == 20 * GIB


def test_a_group_of_the_second_version_limits_all_groups_below(proc: Path, tmp_path: Path) -> None:
    groups = tmp_path / "groups"
    (proc / "self" / "cgroup").write_text("0::/batch/job_7/step_0\n")
    group(groups / "batch" / "job_7" / "step_0", SECOND, "max", 3 * GIB, 0)
    group(groups / "batch" / "job_7", SECOND, str(8 * GIB), 4 * GIB, 1 * GIB)
    group(groups / "batch" / "job_8", SECOND, str(1 * GIB), 0, 0)  # of another job
    assert free_on_host(proc, groups) == 5 * GIB  # 8 allowed, 4 in use, of which 1 can go at once


def test_a_group_of_the_first_version_is_read_at_the_root_of_a_container(proc: Path, tmp_path: Path) -> None:
    groups = tmp_path / "groups"
    (proc / "self" / "cgroup").write_text("5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n0::/\n")
    group(groups / "memory", FIRST, str(4 * GIB), 1 * GIB, 0)
    assert free_on_host(proc, groups) == 3 * GIB
    group(groups / "memory", FIRST, str(2**63 - 4096), 1 * GIB, 0)  # that version's word for no limit
    assert free_on_host(proc, groups) == 20 * GIB


def test_a_group_beyond_its_limit_has_nothing_left(proc: Path, tmp_path: Path) -> None:
    (proc / "self" / "cgroup").write_text("0::/\n")
    group(tmp_path / "groups", SECOND, str(1 * GIB), 2 * GIB, 0)
    assert free_on_host(proc, tmp_path / "groups") == 0


def test_a_system_without_such_tables_gives_its_whole_memory(tmp_path: Path) -> None:
    assert free_on_host(tmp_path, tmp_path) > 0


def test_this_machine_has_some() -> None:
    assert free_on_host() > 0
