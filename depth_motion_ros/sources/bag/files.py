"""The files of a recording, opened together: messages of chosen topics in order of recording.

Only message types that this project knows are ever decoded, with their standard definitions: what
else a recording holds, however odd, never stands in the way of its images.
"""

from __future__ import annotations

import heapq
import sqlite3
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from depth_motion_ros.sources.frame import SourceError

BAG_SUFFIXES = (".bag", ".db3", ".mcap")
STORAGE_SUFFIXES = (".db3", ".mcap")

Stored = tuple[int, int, bytes]
"""(id of the channel in its file, ns of recording, serialised message)."""


class MessageError(Exception):
    """One message cannot be decoded; the next may be whole."""


@dataclass(frozen=True, eq=False)
class Channel:
    """One topic with one message type in one file. count: how many messages it has."""

    topic: str
    kind: str
    count: int
    number: int
    file: _File


class _File(Protocol):
    """A file of the recording, or a folder of files that rosbag2 reads as one."""

    def channels(self) -> list[Channel]: ...

    def messages(self, channels: Collection[Channel]) -> Iterator[Stored]: ...

    def close(self) -> None: ...


class BagFiles:
    """A recording, open for reading; a context manager.

    path: a rosbag2 folder, one .db3 or .mcap file, or a ROS 1 .bag. A folder is read file by file
        where metadata.yaml is missing or does not list them all (the recorder was killed), or a
        write-ahead log is left.
    notes: hears what is odd about the recording.

    Raises SourceError for what is missing or cannot be read, and nothing else: whatever the caller
    does between two messages is not mistaken for a damaged file.
    """

    def __init__(self, path: Path, notes: Callable[[str], None] = lambda note: None) -> None:
        self.path = path
        self.channels: list[Channel] = []
        self._notes = notes
        self._stack = ExitStack()
        self._is_ros1 = path.suffix == ".bag"
        self._types: Any = None

    def __enter__(self) -> BagFiles:
        self._types = _typestore(self._is_ros1)
        parts = _parts(self.path, self._notes)
        try:
            self._open(parts)
        except SourceError:
            raise
        # On damaged files rosbags raises its own errors as well as those of sqlite, struct, zstd
        # and plain assertions: all mean that the file cannot be read.
        except Exception as error:
            files = _storage_files(self.path) if self.path.is_dir() else []
            if parts == files or not files or "missing" in str(error):
                raise self._unreadable(error) from error
            # Of a topic that nobody asks for, metadata.yaml may say what rosbags refuses.
            try:
                self._open(files)
            except Exception:
                raise self._unreadable(error) from error
            self._notes(
                f"{self.path / 'metadata.yaml'}: not used ({error}): the files are read one by one"
            )
        return self

    def _open(self, parts: list[Path]) -> None:
        channels = []
        try:
            for path in parts:
                file = self._stack.enter_context(closing(_opened(path, self._notes)))
                channels += file.channels()
        except BaseException:
            self._stack.close()
            raise
        self.channels = channels

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def messages(self, channels: Collection[Channel]) -> Iterator[tuple[Channel, int, bytes]]:
        """(channel, ns of recording, serialised message) of these channels, in that order."""
        by_file: dict[int, list[Channel]] = {}
        for channel in channels:
            by_file.setdefault(id(channel.file), []).append(channel)
        streams = [_of_file(group) for group in by_file.values()]
        merged = heapq.merge(*streams, key=lambda message: message[1])
        while True:
            try:
                message = next(merged, None)
            except Exception as error:  # as above: everything in here is reading
                raise self._unreadable(error) from error
            if message is None:
                return
            yield message

    def decode(self, channel: Channel, raw: bytes) -> Any:
        """The message. Raises MessageError where it is damaged."""
        decode = self._types.deserialize_ros1 if self._is_ros1 else self._types.deserialize_cdr
        try:
            return decode(raw, channel.kind)
        except Exception as error:  # rosbags raises whatever the bytes lead it to
            raise MessageError(
                f"{len(raw)} bytes are no whole {channel.kind} ({type(error).__name__})"
            ) from error

    def header_stamp(self, raw: bytes) -> int | None:
        """Nanoseconds in the header of a serialised message; None where it is too short."""
        # ROS 1 writes a sequence number first, CDR four bytes of which the second tells the order.
        order = "big" if not self._is_ros1 and raw[1:2] == b"\x00" else "little"
        if len(raw) < 12:
            return None
        seconds, nanoseconds = (
            int.from_bytes(raw[at : at + 4], order, signed=is_signed)  # type: ignore[arg-type]
            for at, is_signed in ((4, not self._is_ros1), (8, False))
        )
        return seconds * 1_000_000_000 + nanoseconds

    def _unreadable(self, error: Exception) -> SourceError:
        if isinstance(error, UnicodeEncodeError):  # sqlite3
            return SourceError(
                f"{self.path}: the name of this bag is not UTF-8, which a .db3 file needs: rename "
                "the file and its folders, or make a link with another name to it (ln -s)"
            )
        return SourceError(
            f"{self.path}: cannot read this bag: {type(error).__name__}: {error}. "
            "A recording that was cut off can often be repaired (ros2 bag reindex, "
            "mcap recover, rosbag reindex)"
        )


def is_bag_folder(path: Path) -> bool:
    """Whether a folder is a rosbag2 recording, finished or not."""
    return path.is_dir() and bool(_storage_files(path))


def _storage_files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.suffix in STORAGE_SUFFIXES)


def _parts(path: Path, notes: Callable[[str], None]) -> list[Path]:
    if not path.exists():
        raise SourceError(f"{path}: no such file or folder")
    if not path.is_dir():
        return [path]
    files, metadata = _storage_files(path), path / "metadata.yaml"
    if metadata.is_file():
        listed = metadata.read_text(errors="replace")
        unlisted = [file.name for file in files if file.name not in listed]
        if unlisted:
            notes(f"{metadata}: does not list {', '.join(unlisted)}: all files are read")
        elif not any(_has_log(file) for file in files):
            return [path]
    if not files:
        raise SourceError(f"{path}: no metadata.yaml, .db3 or .mcap file in this folder")
    return files


def _of_file(channels: list[Channel]) -> Iterator[tuple[Channel, int, bytes]]:
    by_number = {channel.number: channel for channel in channels}
    for number, recorded, raw in channels[0].file.messages(channels):
        yield by_number[number], recorded, raw


def _opened(path: Path, notes: Callable[[str], None]) -> _File:
    if path.suffix == ".db3":
        if _has_log(path):
            log = _beside(path, "-wal").name
            notes(f"{path}: its recorder was killed; {log} beside it is read as well")
            return _LoggedDatabase(path)
        journal = _beside(path, "-journal")
        if journal.is_file():
            notes(
                f"{path}: its recorder was killed ({journal.name} lies beside it): the last "
                "messages are missing"
            )
    return _RosbagsFile(path)


class _RosbagsFile:
    """What rosbags reads: any kind of recording, of one file or in a folder with metadata.yaml."""

    def __init__(self, path: Path) -> None:
        bag, rosbag2 = _import_readers()
        self._reader = bag(path) if path.suffix == ".bag" else rosbag2(path)
        self._reader.open()
        # metadata.yaml may list the parts by name, part 10 before part 2; they are read as listed.
        storages = getattr(getattr(self._reader, "storage", None), "storages", None)
        if storages:
            storages.sort(key=lambda storage: storage.metadata.start_time)

    def channels(self) -> list[Channel]:
        return [
            Channel(connection.topic, connection.msgtype, connection.msgcount, connection.id, self)
            for connection in self._reader.connections
        ]

    def messages(self, channels: Collection[Channel]) -> Iterator[Stored]:
        wanted = {channel.number for channel in channels}
        connections = [c for c in self._reader.connections if c.id in wanted]
        for connection, recorded, raw in self._reader.messages(connections=connections):
            yield connection.id, recorded, bytes(raw)

    def close(self) -> None:
        self._reader.close()


class _LoggedDatabase:
    """A .db3 with a write-ahead log beside it, whose recorder was killed.

    rosbags reads the database file alone, without the messages that lie in the log still.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
            self._topics = self._database.execute(
                "SELECT topics.id, name, type, count(messages.id) FROM topics "
                "LEFT JOIN messages ON topics.id = messages.topic_id GROUP BY topics.id"
            ).fetchall()
        except sqlite3.Error as error:
            raise SourceError(
                f"{path}: its recorder was killed, and part of the messages lie in "
                f"{_beside(path, '-wal').name} beside it, which cannot be read here ({error}). "
                f'Copy both to a folder that you may write to, then: python3 -c "import sqlite3; '
                f"sqlite3.connect('{path.name}').execute('PRAGMA wal_checkpoint(TRUNCATE)')\""
            ) from error

    def channels(self) -> list[Channel]:
        return [Channel(name, kind, count, i, self) for i, name, kind, count in self._topics]

    def messages(self, channels: Collection[Channel]) -> Iterator[Stored]:
        marks = ",".join("?" for _ in channels)
        yield from self._database.execute(
            f"SELECT topic_id, timestamp, data FROM messages WHERE topic_id IN ({marks}) "
            "ORDER BY timestamp",
            [channel.number for channel in channels],
        )

    def close(self) -> None:
        self._database.close()


def _has_log(path: Path) -> bool:
    log = _beside(path, "-wal")
    return path.suffix == ".db3" and log.is_file() and log.stat().st_size > 0


def _beside(path: Path, end: str) -> Path:
    return path.with_name(path.name + end)


_MISSING = "reading bags needs the rosbags library: pip install rosbags"


def _import_readers() -> tuple[Any, Any]:
    try:
        from rosbags.rosbag1 import Reader as Reader1
        from rosbags.rosbag2 import Reader as Reader2
    except ImportError as error:
        raise SourceError(_MISSING) from error
    return Reader1, Reader2


def _typestore(is_ros1: bool) -> Any:
    try:
        from rosbags.typesys import Stores, get_typestore
    except ImportError as error:
        raise SourceError(_MISSING) from error
    # The few types that are read here are the same in all distributions of one generation.
    return get_typestore(Stores.ROS1_NOETIC if is_ros1 else Stores.ROS2_HUMBLE)
