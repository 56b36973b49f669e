"""How many cores this process may use: those that the system shows, and the quota of a container or a service."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

__all__ = ["physical_cores", "quota"]

_CPUS = Path("/sys/devices/system/cpu")
_CGROUPS = Path("/sys/fs/cgroup")
_PROCESS = Path("/proc/self")

#: Where the controller of CPU time is mounted below `_CGROUPS`: version 2 at once, or beside others; version 1.
_MOUNTS = ("", "unified", "cpu", "cpu,cpuacct", "cpuacct,cpu")


def physical_cores() -> int:
    """Physical cores this process may use: hyper-threads share the multipliers, so they add nothing here."""
    usable = _usable_cpus()
    siblings = set()
    try:
        for cpu in usable:
            siblings.add((_CPUS / f"cpu{cpu}" / "topology" / "thread_siblings_list").read_text())
    except OSError:  # hidden, or not Linux
        return max(1, min(len(usable), quota()))
    return max(1, min(len(siblings), quota()))


def _usable_cpus() -> list[int]:
    with suppress(AttributeError, OSError):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def quota() -> int:
    """Whole cores' worth of time that the control groups of this process leave it; many if none has a limit."""
    limits = [limit for folder in _folders() if (limit := _limit(folder)) is not None]
    return max(1, int(min(limits, default=1 << 20)))


def _limit(folder: Path) -> float | None:
    """Cores that a control group may use; None if it has no limit, or is none."""
    with suppress(OSError, ValueError, ZeroDivisionError):
        quota, period = (folder / "cpu.max").read_text().split()
        return int(quota) / int(period)  # "max" is no number
    with suppress(OSError, ValueError, ZeroDivisionError):
        time = int((folder / "cpu.cfs_quota_us").read_text())
        return time / int((folder / "cpu.cfs_period_us").read_text()) if time > 0 else None
    return None


def _folders() -> Iterator[Path]:
    """Of every group that this process is in, and of those around it: the least of their limits counts.

    A container may see its own group as the root, or the path that the host gives it, which is not there.
    """
    inside = [PurePosixPath(path) for path in _groups()]
    for mount, root in _mounts():
        yield mount
        for path in inside:
            with suppress(ValueError):  # it need not be below what is mounted here
                path = PurePosixPath("/") / path.relative_to(root)
            if ".." not in path.parts:
                yield from (mount / group.relative_to("/") for group in (path, *path.parents))


def _groups() -> Iterator[str]:
    """Paths of the groups of this process that may limit its time, within their hierarchies."""
    for line in _lines(_PROCESS / "cgroup"):
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if path.startswith("/") and (not controllers or "cpu" in controllers.split(",")):
            yield path


def _mounts() -> Iterable[tuple[Path, str]]:
    """Where control groups are to be seen, and which of them is the root there."""
    found = {_CGROUPS / name: "/" for name in _MOUNTS}
    for line in _lines(_PROCESS / "mountinfo"):
        before, _, after = line.partition(" - ")
        fields = before.split()
        if len(fields) > 4 and after.startswith("cgroup"):
            found[Path(fields[4].replace("\\040", " "))] = fields[3]
    return found.items()


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(errors="replace").splitlines()
    except OSError:
        return []
