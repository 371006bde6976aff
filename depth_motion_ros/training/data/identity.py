"""Whether a source is still the recording that a data set was made from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# Another recording differs nearly everywhere: a few pieces tell, however long the files are.
_PIECES = 64
_PIECE_BYTES = 4096


def identity_of(path: Path, options: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What a source was when it was read, as JSON holds it.

    options: how it is read. size (bytes), files, modified (ns, of the newest file) and a digest of
    some pieces are those of a file, or of all files of a folder; what is no file has options alone.
    """
    known: dict[str, Any] = {"options": dict(options or {})}
    files = _files(path)
    if not files:
        return known
    stats = [file.stat() for file in files]
    digest = hashlib.sha256()
    for file, stat in zip(files, stats, strict=True):
        digest.update(f"{file.relative_to(path.parent)} {stat.st_size}\n".encode(errors="replace"))
    for file in files[:: -(-len(files) // _PIECES)]:
        _sample(file, max(1, _PIECES // len(files)), digest)
    return {
        **known,
        "size": sum(stat.st_size for stat in stats),
        "files": len(files),
        "modified": max(stat.st_mtime_ns for stat in stats),
        "pieces": digest.hexdigest(),
    }


def change_between(before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> str | None:
    """How the source is another one than before, in words; None where it is the same.

    before: None where a former version did not remember. A file that was only touched or copied is
    the same.
    """
    if before is None:
        return None
    options, given = before.get("options", {}), now.get("options", {})
    for name in sorted({*options, *given}):
        if options.get(name) != given.get(name):
            return f"it was read with {name} {options.get(name)}, now {given.get(name)}"
    if before.get("size") != now.get("size"):
        return f"it was {_megabytes(before)}, now {_megabytes(now)}"
    if before.get("files") != now.get("files"):
        return f"it had {before.get('files')} files, now {now.get('files')}"
    if before.get("modified") != now.get("modified") and before.get("pieces") != now.get("pieces"):
        return "its content is another"
    return None


def _files(path: Path) -> list[Path]:
    if path.is_file():
        # What a recorder of SQLite bags has not yet moved into the file itself.
        log = path.with_name(f"{path.name}-wal")
        return [path, *([log] if log.is_file() else [])]
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.is_file())
    return []


def _sample(path: Path, pieces: int, digest: Any) -> None:
    size = path.stat().st_size
    with path.open("rb") as file:
        for number in range(pieces):
            file.seek(max(0, size - _PIECE_BYTES) * number // max(1, pieces - 1))
            digest.update(file.read(_PIECE_BYTES))


def _megabytes(identity: Mapping[str, Any]) -> str:
    size = identity.get("size")
    return "gone" if size is None else f"{size / 1e6:.3f} MB"
