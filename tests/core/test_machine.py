"""Cores and memory of containers, from made-up files of the kernel."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from vslm.core import machine

_V2 = "31 23 0:28 / /sys/fs/cgroup rw,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
_V1 = "32 31 0:29 {begin} /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, str]], None]:
    """A machine with 32 cores to see, and these files."""

    def made(files: dict[str, str]) -> None:
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text, encoding="utf-8")

    monkeypatch.setattr(machine, "_ROOT", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(32)), raising=False)
    return made


# The files, and the cores that may be used of 32.
QUOTAS = {
    "nothing to read": ({}, 32),
    "a container of its own": ({"sys/fs/cgroup/cpu.max": "200000 100000\n"}, 2),
    "no limit": ({"sys/fs/cgroup/cpu.max": "max 100000\n"}, 32),
    "less than a core": ({"sys/fs/cgroup/cpu.max": "50000 100000\n"}, 1),
    "nearly three": ({"sys/fs/cgroup/cpu.max": "295000 100000\n"}, 3),
    "a half is no core": ({"sys/fs/cgroup/cpu.max": "250000 100000\n"}, 2),
    "another period": ({"sys/fs/cgroup/cpu.max": "35000 5000\n"}, 7),
    "more than there is": ({"sys/fs/cgroup/cpu.max": "6400000 100000\n"}, 32),
    "a torn file": ({"sys/fs/cgroup/cpu.max": "200000"}, 32),
    "a group of the process": (
        {
            "proc/self/mountinfo": _V2,
            "proc/self/cgroup": "0::/user.slice/job-7.scope\n",
            "sys/fs/cgroup/user.slice/job-7.scope/cpu.max": "300000 100000\n",
        },
        3,
    ),
    "the least of all around it": (
        {
            "proc/self/mountinfo": _V2,
            "proc/self/cgroup": "0::/user.slice/job-7.scope\n",
            "sys/fs/cgroup/user.slice/cpu.max": "500000 100000\n",
            "sys/fs/cgroup/user.slice/job-7.scope/cpu.max": "1100000 100000\n",
            "sys/fs/cgroup/other.slice/cpu.max": "100000 100000\n",
        },
        5,
    ),
    "version 1": (
        {
            "proc/self/mountinfo": _V1.format(begin="/"),
            "proc/self/cgroup": "4:memory:/m\n3:cpu,cpuacct:/batch/job\n",
            "sys/fs/cgroup/cpu,cpuacct/batch/job/cpu.cfs_quota_us": "400000\n",
            "sys/fs/cgroup/cpu,cpuacct/batch/job/cpu.cfs_period_us": "100000\n",
        },
        4,
    ),
    "version 1, whose mount shows the container's part": (
        {
            "proc/self/mountinfo": _V1.format(begin="/docker/1f"),
            "proc/self/cgroup": "3:cpu,cpuacct:/docker/1f\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "150000\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "50000\n",
        },
        3,
    ),
    "version 1 without a limit": (
        {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"},
        32,
    ),
    "a path out of what is to be seen": (
        {
            "proc/self/mountinfo": _V2,
            "proc/self/cgroup": "0::/../../other\n",
            "sys/fs/cgroup/cpu.max": "200000 100000\n",
        },
        2,
    ),
}


@pytest.mark.parametrize(("files", "cores"), QUOTAS.values(), ids=QUOTAS)
def test_cores_of_a_quota(system: Callable[[dict[str, str]], None], files: dict[str, str], cores: int) -> None:
    """Two CPUs' time on a machine of 32 is two cores."""
    system(files)
    assert machine.available_cores() == cores


def test_affinity_below_the_quota(system: Callable[[dict[str, str]], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is pinned to three cores uses three, whatever the quota."""
    system({"sys/fs/cgroup/cpu.max": "700000 100000\n"})
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 5, 9}, raising=False)
    assert machine.available_cores() == 3


def test_memory_of_a_container(system: Callable[[dict[str, str]], None]) -> None:
    """The least limit counts, and the number that stands for none is none."""
    assert machine.memory_limit() is None
    system({"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"})
    assert machine.memory_limit() is None
    system({"sys/fs/cgroup/memory.max": "3000000000\n"})
    assert machine.memory_limit() == 3_000_000_000
