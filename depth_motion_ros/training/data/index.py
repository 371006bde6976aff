"""Keeps the index of a prepared data set true to its folders, whatever moment a run ends at.

The sequence folders alone say what was prepared: each holds a note of its source, and a
folder has its name only when it is whole. The index is gathered from them anew at every start.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from depth_motion_ros.sources.files import natural_key, write_atomically
from depth_motion_ros.sources.frame import SourceError
from depth_motion_ros.sources.sequence.prepared import INDEX, INDEX_VERSION, is_prepared, read_index
from depth_motion_ros.sources.sequence.reader import is_sequence

NOTE = "prepared.json"
"""In each sequence folder: its entry of the index, ``last``, the number of the last frame of the
source that it has dealt with, and how many up to there were ``duplicates`` or ``alone``."""
_REMOVED = ".{}.removed"


@dataclass
class SourceState:
    """What is known of a source: see ``sources`` in sources/sequence/prepared.py."""

    spec: str
    status: str = "running"
    error: str | None = None
    read: int = 0
    kept: int = 0
    duplicates: int = 0
    alone: int = 0
    damaged: int = 0
    limit: int | None = None
    identity: dict[str, Any] | None = None


class DatasetIndex:
    """The index of the data set at ``path``, which is made where it does not exist.

    settings: how frames are made; a data set holds frames of one kind only.

    Raises SourceError where the folder holds other things, or was made with other settings.
    """

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        self.path, self.settings = path, settings
        self.sources: dict[str, SourceState] = {}
        if is_prepared(path):
            index = read_index(path)
            different = [
                f"{key} {index['settings'].get(key)!r}, now {value!r}"
                for key, value in settings.items()
                if index["settings"].get(key) != value
            ]
            if different:
                raise SourceError(
                    f"{path} was prepared with other settings ({'; '.join(different)}): use "
                    "those, or another folder"
                )
            self.sources = {name: SourceState(**state) for name, state in index["sources"].items()}
        elif path.is_dir() and any(not entry.name.startswith(".") for entry in path.iterdir()):
            raise SourceError(
                f"{path}: not empty and not a prepared data set; choose another folder"
            )
        path.mkdir(parents=True, exist_ok=True)
        for removed in path.glob(_REMOVED.format("*")):
            shutil.rmtree(removed, ignore_errors=True)
        self._notes = _gather(path)
        self.write()

    def name_of(self, spec: str, label: str) -> str:
        """The name of a source, made from ``label`` where the source is new."""
        for name, state in self.sources.items():
            if state.spec == spec:
                return name
        base = re.sub(r"[^A-Za-z0-9_-]+", "_", label).strip("_") or "source"
        name, number = base, 1
        while name in self.sources:
            number += 1
            name = f"{base}_{number}"
        self.sources[name] = SourceState(spec)
        return name

    def notes(self, source: str) -> list[dict[str, Any]]:
        """The notes of the whole sequences of a source, in the order of its frames."""
        return [note for note in self._notes.values() if note["source"] == source]

    def add(self, note: dict[str, Any]) -> None:
        """Take in a sequence that has just become whole, and write the index."""
        self._notes[note["name"]] = note
        self.write()

    def forget(self, source: str) -> None:
        """Remove all sequences of a source, to make them anew."""
        for note in self.notes(source):
            folder = self.path / note["name"]
            removed = folder.with_name(_REMOVED.format(folder.name))
            # A name that readers see always stands for a whole sequence.
            folder.rename(removed)
            shutil.rmtree(removed, ignore_errors=True)
            del self._notes[note["name"]]
        self.write()

    def write(self) -> None:
        """Write index.json from the notes and the states of the sources."""
        entries = [
            {key: value for key, value in note.items() if key not in _NOT_IN_INDEX}
            for _, note in sorted(self._notes.items(), key=lambda item: natural_key(item[0]))
        ]
        index = {
            "version": INDEX_VERSION,
            "settings": self.settings,
            "sources": {name: asdict(state) for name, state in self.sources.items()},
            "sequences": entries,
        }
        write_atomically(self.path / INDEX, json.dumps(index).encode())


def _gather(path: Path) -> dict[str, dict[str, Any]]:
    """The notes of all whole sequences by their folder's name, in natural order.

    Raises SourceError for a note that is none: it is written whole, so somebody has changed it.
    """
    notes = {}
    for folder in sorted(path.iterdir(), key=lambda entry: natural_key(entry.name)):
        note = folder / NOTE
        if not folder.name.startswith(".") and is_sequence(folder) and note.is_file():
            notes[folder.name] = _read_note(note)
    return notes


_NOT_IN_INDEX = ("last", "duplicates", "alone")
_NOTE_TYPES = {"name": str, "source": str, "frames": int, "last": int}


def _read_note(path: Path) -> dict[str, Any]:
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _damaged(path, str(error)) from error
    if not isinstance(note, dict):
        raise _damaged(path, f"{type(note).__name__} in place of an object")
    for key, kind in _NOTE_TYPES.items():
        if not isinstance(note.get(key), kind):
            raise _damaged(path, f"{key!r} is {note.get(key)!r}, expected {kind.__name__}")
    if note["name"] != path.parent.name:
        raise _damaged(path, f"it is the note of {note['name']!r}")
    return note


def _damaged(path: Path, how: str) -> SourceError:
    return SourceError(
        f"{path}: damaged ({how}). Restore the file, or remove the folder {path.parent} to go on "
        "without its frames"
    )


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a data set for one process. SourceError where another one prepares it right now."""
    path.mkdir(parents=True, exist_ok=True)
    handle = os.open(path / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SourceError(f"{path}: another depth_motion prepare writes here") from error
        yield
    finally:
        os.close(handle)
