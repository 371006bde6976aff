"""Memory, threads and open files of a process, read from /proc."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Vitals:
    """memory: resident, in bytes. files: open file descriptors, sockets included."""

    memory: int
    threads: int
    files: int


def read_vitals(pid: int, root: Path = Path("/proc")) -> Vitals | None:
    """None for a process that has ended or belongs to another user."""
    folder = root / str(pid)
    try:
        lines = (folder / "status").read_text(encoding="utf-8", errors="replace").splitlines()
        files = len(os.listdir(folder / "fd"))
    except OSError:
        return None
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    if "VmRSS" not in fields:  # a zombie has no memory
        return None
    return Vitals(int(fields["VmRSS"].split()[0]) * 1024, int(fields["Threads"]), files)


def processor_seconds(pid: int, root: Path = Path("/proc")) -> float | None:
    """Processor time of a process since its start, all threads; None for one that has ended."""
    try:
        text = (root / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The name, in parentheses, may hold spaces; user and system time are fields 14 and 15.
    fields = text.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
