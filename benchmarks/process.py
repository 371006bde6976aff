"""Memory, threads, open files and processor time of a process."""

from __future__ import annotations

from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class ProcessStatistics:
    """memory: resident, in bytes. files: open file descriptors, sockets included."""

    memory: int
    threads: int
    files: int


def statistics_of(pid: int) -> ProcessStatistics | None:
    """None for a process that has ended or belongs to another user."""
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            if process.status() == psutil.STATUS_ZOMBIE:
                return None
            return ProcessStatistics(
                process.memory_info().rss, process.num_threads(), process.num_fds()
            )
    except psutil.Error:
        return None


def processor_seconds(pid: int) -> float | None:
    """Processor time of a process since its start, all threads; None for one that has ended."""
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return None
    return float(times.user + times.system)


def resident_bytes() -> int:
    """Memory of this process."""
    return int(psutil.Process().memory_info().rss)
