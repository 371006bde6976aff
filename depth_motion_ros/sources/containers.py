"""How many bytes a video file must have, by its own structure.

Durations do not tell a whole file from one that was cut off: a last picture that is shown for
long, an edit list that hides pictures and a recording that begins late all have fewer pictures
than the duration suggests.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

_BOXES = (
    *(b"ftyp", b"moov", b"mdat", b"moof", b"free", b"skip", b"wide", b"uuid", b"sidx", b"ssix"),
    *(b"styp", b"mfra", b"pdin", b"prft", b"emsg", b"pnot", b"udta", b"meta"),
)
_PICTURES = (b"moov", b"mdat", b"moof")
_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_ASF_BROADCAST = 1
# Some writers of AVI count their own header, or not.
_AVI_SLACK = 16


def announced_size(path: Path) -> int | None:
    """Bytes that the file's last known part says the file has; None where nothing says so.

    Known are MP4 and MOV, Matroska and WebM, AVI, FLV, ASF. Data behind the end does not count.
    Raises OSError where the file cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(16)
        for is_it, measure in _KINDS:
            if is_it(head):
                return measure(file)
    return None


def _mp4(file: BinaryIO) -> int:
    """Boxes one behind the other: 4 bytes of size, 4 of type (ISO 14496-12, 4.2)."""
    end, actual = 0, _size(file)
    while end < actual:
        file.seek(end)
        header = file.read(16)
        if header[4:8] not in _BOXES:
            break
        size = int.from_bytes(header[:4], "big")
        if size == 1:
            size = int.from_bytes(header[8:16], "big")
        if size < 8:  # 0: up to the end of the file
            return actual
        if end + size > actual and header[4:8] not in _PICTURES:
            break
        end += size
    return end


def _matroska(file: BinaryIO) -> int | None:
    """The EBML header, then one Segment with its size (RFC 8794, 4)."""
    at = 0
    for name in (_EBML, _SEGMENT):
        file.seek(at)
        header = file.read(12)
        if header[:4] != name or len(header) < 12 or header[4] == 0:
            return None
        length = 9 - header[4].bit_length()
        size = int.from_bytes(header[4 : 4 + length], "big") & ((1 << 7 * length) - 1)
        if size == (1 << 7 * length) - 1:  # unknown: a live recording
            return None
        at += 4 + length + size
    return at


def _avi(file: BinaryIO) -> int | None:
    """RIFF chunks: one, or many where the file is large."""
    end, actual = 0, _size(file)
    while end < actual:
        file.seek(end)
        header = file.read(8)
        size = int.from_bytes(header[4:8], "little")
        if header[:4] != b"RIFF" or size in (0, 0xFFFFFFFF):  # 0: never finished
            break
        end += 8 + size + size % 2
    return max(end - _AVI_SLACK, 0) or None


def _flv(file: BinaryIO) -> int:
    """Tags: 11 bytes of header with the size in bytes 1 to 3, data, 4 bytes of size."""
    end, actual = 9 + 4, _size(file)
    while end < actual:
        file.seek(end)
        header = file.read(4)
        if header[0] & 0x1F not in (8, 9, 18):  # audio, video, data
            break
        end += 11 + int.from_bytes(header[1:4], "big") + 4
    return end


def _asf(file: BinaryIO) -> int | None:
    """The File Properties Object names the size, unless it is a broadcast."""
    file.seek(0)
    head = file.read(1 << 16)
    at = head.find(_ASF_PROPERTIES)
    if at < 0 or len(head) < at + 92 or head[at + 88] & _ASF_BROADCAST:
        return None
    return int.from_bytes(head[at + 40 : at + 48], "little") or None


def _size(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size


_KINDS: tuple[tuple[Callable[[bytes], bool], Callable[[BinaryIO], int | None]], ...] = (
    (lambda head: head[4:8] in _BOXES, _mp4),
    (lambda head: head.startswith(_EBML), _matroska),
    (lambda head: head[:4] == b"RIFF" and head[8:12] == b"AVI ", _avi),
    (lambda head: head.startswith(b"FLV\x01"), _flv),
    (lambda head: head.startswith(_ASF), _asf),
)
