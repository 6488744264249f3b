"""What this process may use of the machine: cores and memory, by affinity and by the limits of its container.

A container that may use 2 CPUs often sees all 32 of its host: the scheduler hands out time, not cores. As many runs as
there are cores to see would each get a sixteenth of one.

Not for: what is free at this moment. A limit stays, so the same command chooses the same.
"""

import math
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

_ROOT = Path("/")  # a test puts a made-up one in its place
_NO_LIMIT = 2**60  # bytes; version 1 of control groups writes a number above it for "no limit"
_NEARLY = 0.1  # of a core: a quota of 1.9 is two cores, one of 1.8 is one


def available_cores() -> int:
    """Cores that this process may use: those it may run on, or fewer where a quota of CPU time allows no more."""
    seen = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota()
    return seen if quota is None else max(1, min(seen, math.floor(quota + _NEARLY)))


def cpu_quota() -> float | None:
    """CPU seconds per second that this process may have, the least of all groups around it; None: no quota.

    From `cpu.max` (control groups, version 2), or `cpu.cfs_quota_us` and `cpu.cfs_period_us` (version 1).
    """
    quotas = []
    for folder in _folders("cpu"):
        words = _read(folder / "cpu.max").split()
        if len(words) != 2:
            words = [_read(folder / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period")]
        # "max" and -1 mean that there is none.
        if all(word.isdigit() and int(word) > 0 for word in words):
            quotas.append(int(words[0]) / int(words[1]))
    return min(quotas, default=None)


def memory_limit() -> int | None:
    """Bytes that this process and its children may have, the least of all groups around it; None: no limit."""
    limits = []
    for folder in _folders("memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            word = _read(folder / name).strip()
            if word.isdigit() and 0 < int(word) < _NO_LIMIT:
                limits.append(int(word))
    return min(limits, default=None)


def peak_memory() -> int | None:
    """Bytes that this process has held at most; None where the system does not say."""
    if resource is None:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def cpu_name() -> str:
    """What the processor calls itself."""
    names = [
        line.partition(":")[2] for line in _read(_ROOT / "proc/cpuinfo").splitlines() if line.startswith("model name")
    ]
    return names[0].strip() if names else platform.processor() or platform.machine()


def _folders(controller: str) -> Iterator[Path]:
    """The folders of the control groups that this process is in: its own, and every one around it that is to be seen.

    Its own path stands in `/proc/self/cgroup`; in a container that path is often the host's, of which the mount shows
    a part, so it is read from where the mount begins.
    """
    mounts = [*_mounts(controller)]
    # Where these are found on nearly every system, should the table of mounts not be readable.
    mounts += [(f"/sys/fs/cgroup{folder}", "/", version) for folder, version in (("", 2), (f"/{controller}", 1))]
    for point, begin, version in dict.fromkeys(mounts):
        top = _ROOT / point.lstrip("/")
        yield top
        own = _own_path(controller, version)
        parts = [part for part in own.removeprefix(begin.rstrip("/")).split("/") if part]
        if not own.startswith(begin) or ".." in parts:
            continue
        for part in parts:
            top = top / part
            yield top


def _mounts(controller: str) -> Iterator[tuple[str, str, int]]:
    """Where control groups with this controller are mounted: the place, the path that it shows, the version."""
    for line in _read(_ROOT / "proc/self/mountinfo").splitlines():
        head, _, tail = line.partition(" - ")
        fields, kind = head.split(), tail.split()
        if len(fields) < 5 or not kind or not kind[0].startswith("cgroup"):
            continue
        begin, point = (field.replace(r"\040", " ") for field in fields[3:5])
        if kind[0] == "cgroup2":
            yield point, begin, 2
        elif controller in kind[-1].split(","):
            yield point, begin, 1


def _own_path(controller: str, version: int) -> str:
    for line in _read(_ROOT / "proc/self/cgroup").splitlines():
        number, controllers, path = [*line.split(":", 2), "", ""][:3]
        if (version == 2 and number == "0") or (version == 1 and controller in controllers.split(",")):
            return path
    return "/"


def _read(path: Path) -> str:
    """The text of a file, or nothing where it cannot be read: most systems have few of these."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
