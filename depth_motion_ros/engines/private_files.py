"""Files that only this user can have written: what is read back decides what a process does.

Every file bears the SHA-256 of its content, so that damage is noticed, and appears whole or not
at all.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from pathlib import Path

from depth_motion_ros.engines.interface import EngineError

_DIGEST_BYTES = hashlib.sha256().digest_size


def default_folder() -> Path:
    """``$XDG_CACHE_HOME/depth_motion_ros``, or ``~/.cache/depth_motion_ros``."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "depth_motion_ros"


def make_private(folder: Path) -> None:
    """Create the folder for this user alone. Raises EngineError where others can write to it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _check_owner(folder, folder.stat(), "700")


def read_sealed(path: Path) -> bytes:
    """The content of a file that ``write_sealed`` wrote.

    Raises OSError, and EngineError where it is damaged or others can have written it.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        _check_owner(path, os.fstat(file.fileno()), "600")
        digest = file.read(_DIGEST_BYTES)
        body = file.read()
    if hashlib.sha256(body).digest() != digest:
        raise EngineError(f"{path} is damaged")
    return body


def write_sealed(path: Path, body: bytes) -> None:
    """Raises OSError."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(hashlib.sha256(body).digest())
            file.write(body)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _check_owner(path: Path, found: os.stat_result, mode: str) -> None:
    if found.st_uid != os.getuid():
        raise EngineError(f"{path} belongs to another user (uid {found.st_uid}); remove it")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise EngineError(f"others can write to {path}; run: chmod {mode} {path}")
