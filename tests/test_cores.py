"""How many cores there are: quotas of control groups at every place, and what is hidden."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from darknet_py import cores
from darknet_py.threads import physical_cores


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of eight cores with two threads each, without a quota."""
    for cpu in range(16):
        topology = tmp_path / "cpu" / f"cpu{cpu}" / "topology"
        topology.mkdir(parents=True)
        (topology / "thread_siblings_list").write_text(f"{cpu % 8},{cpu % 8 + 8}\n")
    (tmp_path / "cgroup").mkdir()
    (tmp_path / "self").mkdir()
    monkeypatch.setattr(cores, "_CPUS", tmp_path / "cpu")
    monkeypatch.setattr(cores, "_CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(cores, "_PROCESS", tmp_path / "self")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)), raising=False)
    return tmp_path


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def version_1(folder: Path, time: int, period: int = 100_000) -> None:
    write(folder / "cpu.cfs_quota_us", f"{time}\n")
    write(folder / "cpu.cfs_period_us", f"{period}\n")


def test_no_quota(system: Path) -> None:
    assert physical_cores() == 8
    write(system / "cgroup" / "cpu.max", "max 100000\n")
    version_1(system / "cgroup" / "cpu", -1)
    assert physical_cores() == 8


@pytest.mark.parametrize(
    ("text", "expected"),
    [("200000 100000\n", 2), ("150000 100000\n", 1), ("1000 100000\n", 1), ("10000000 100000\n", 8),
     ("", 8), ("2\n", 8), ("a b\n", 8), ("100000 0\n", 8)],
)  # fmt: skip
def test_version_2_at_the_root(system: Path, text: str, expected: int) -> None:
    write(system / "cgroup" / "cpu.max", text)
    assert physical_cores() == expected


@pytest.mark.parametrize("group", ["system.slice/app.service", "system.slice", ""])
def test_version_2_anywhere_above(system: Path, group: str) -> None:
    """A service, or the slice that it is in."""
    write(system / "self" / "cgroup", "0::/system.slice/app.service\n")
    write(system / "cgroup" / "system.slice" / "app.service" / "cpu.max", "max 100000\n")
    write(system / "cgroup" / group / "cpu.max", "300000 100000\n")
    assert physical_cores() == 3


def test_the_least_quota_counts(system: Path) -> None:
    write(system / "self" / "cgroup", "0::/a/b\n")
    for group, quota in (("a/b", 600_000), ("a", 200_000), ("", 400_000)):
        write(system / "cgroup" / group / "cpu.max", f"{quota} 100000\n")
    assert physical_cores() == 2


@pytest.mark.parametrize("mount", ["cpu", "cpu,cpuacct"])
def test_version_1(system: Path, mount: str) -> None:
    write(system / "self" / "cgroup", "4:cpu,cpuacct:/docker/1234\n3:memory:/docker/1234\n")
    version_1(system / "cgroup" / mount, 200_000)  # a container sees its own group at the root
    assert physical_cores() == 2
    version_1(system / "cgroup" / mount / "docker" / "1234", 100_000)
    assert physical_cores() == 1


def test_both_versions_at_once(system: Path) -> None:
    write(system / "self" / "cgroup", "4:cpu:/a\n0::/b\n")
    write(system / "cgroup" / "unified" / "b" / "cpu.max", "300000 100000\n")
    assert physical_cores() == 3


def test_a_mount_elsewhere(system: Path) -> None:
    """As mountinfo says, which also says what part of the hierarchy is to be seen there."""
    elsewhere = system / "else where"
    line = f"30 23 0:26 /pods/7 {str(elsewhere).replace(' ', chr(92) + '040')} ro,nosuid - cgroup2 cgroup rw\n"
    write(system / "self" / "mountinfo", "22 1 0:5 / / rw - ext4 /dev/vda rw\nodd line\n" + line)
    write(system / "self" / "cgroup", "0::/pods/7/app\n")
    write(elsewhere / "app" / "cpu.max", "500000 100000\n")
    assert physical_cores() == 5


@pytest.mark.parametrize("path", ["/../../other", "relative", "", "/not/there"])
def test_paths_that_lead_nowhere(system: Path, path: str) -> None:
    write(system / "self" / "cgroup", f"0::{path}\nno colons\n")
    write(system / "other" / "cpu.max", "100000 100000\n")
    write(system / "cgroup" / "cpu.max", "400000 100000\n")
    assert physical_cores() == 4


def test_hidden_cores_do_not_hide_the_quota(system: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "_CPUS", system / "nowhere")
    assert physical_cores() == 16
    write(system / "cgroup" / "cpu.max", "100000 100000\n")
    assert physical_cores() == 1


def test_a_system_that_does_not_say_which_cores(system: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(pid: int) -> set[int]:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_getaffinity", refused)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert physical_cores() == 1
