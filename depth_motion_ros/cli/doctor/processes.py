"""Processes of this user that talk through Fast DDS, as /proc shows them."""

from __future__ import annotations

import fcntl
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

# Fast DDS 2 calls its segments fastrtps_, Fast DDS 3 fastdds_; those of ports carry no data.
_SEGMENT = re.compile(r"/dev/shm/fast(?:dds|rtps)_[0-9a-f]{16}$")
_INTERPRETERS = re.compile(r"python[\d.]*$")


@dataclass(frozen=True)
class Process:
    """environment: with which it was started. segment_bytes: its largest Fast DDS segment."""

    pid: int
    name: str
    environment: Mapping[str, str]
    segment_bytes: int


def dds_processes(root: Path = Path("/proc"), skip: frozenset[int] = frozenset()) -> list[Process]:
    """Those that may be looked at: the processes of others stay hidden."""
    found = []
    for folder in sorted(root.glob("[0-9]*"), key=lambda path: int(path.name)):
        pid = int(folder.name)
        if pid in skip:
            continue
        try:
            maps = (folder / "maps").read_text(encoding="utf-8", errors="replace")
            segments = list(segments_in(maps))
            if segments:
                words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
                environment = _environment((folder / "environ").read_bytes())
                found.append(Process(pid, _name(words), environment, max(segments)))
        except (OSError, ValueError):
            continue
    return found


def abandoned_segments(folder: Path) -> list[Path]:
    """Segments whose processes were killed: as long as one lives it holds a lock on the file
    beside its segment, also in another container.

    folder: /dev/shm. What cannot be looked at counts as in use.
    """
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if _SEGMENT.search(f"/dev/shm/{path.name}")]
    return [path for path in sorted(found) if _can_be_locked(path.with_name(f"{path.name}_el"))]


def _can_be_locked(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def segments_in(maps: str) -> Iterator[int]:
    """Sizes in bytes of the Fast DDS segments in the text of a /proc/PID/maps."""
    for line in maps.splitlines():
        fields = line.split(maxsplit=5)
        if len(fields) == 6 and _SEGMENT.search(fields[5]):
            first, last = (int(part, 16) for part in fields[0].split("-"))
            yield last - first


def _environment(content: bytes) -> dict[str, str]:
    pairs = (entry.partition("=") for entry in content.decode(errors="replace").split("\0"))
    return {name: value for name, found, value in pairs if found}


def _name(words: list[str]) -> str:
    """What a person would call it: the script or module, not the interpreter."""
    rest = [word for word in words if word]
    if rest and _INTERPRETERS.search(rest[0]):
        rest = [word for word in rest[1:] if not word.startswith("-")] or rest
    return rest[0].rpartition("/")[2] if rest else "unknown"
