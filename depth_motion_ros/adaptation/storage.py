"""Files that survive a power cut: sealed with a checksum, and either whole or the old ones."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from depth_motion_ros.adaptation.errors import AdaptationStateError

_DIGEST_BYTES = hashlib.sha256().digest_size
_ABOUT = "about"


def write_tensors(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, object]) -> None:
    """Tensors and what is known about them (JSON), as safetensors behind its SHA-256.

    The file appears whole or not at all, and is on the disk when this returns. Raises OSError.
    """
    body = safetensors.torch.save(
        {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()},
        {_ABOUT: json.dumps(about)},
    )
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(hashlib.sha256(body).digest())
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, object]]:
    """What ``write_tensors`` wrote. Raises AdaptationStateError where it is missing or damaged."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise AdaptationStateError(f"{path}: cannot be read: {error.strerror}") from error
    body = data[_DIGEST_BYTES:]
    if hashlib.sha256(body).digest() != data[:_DIGEST_BYTES]:
        raise AdaptationStateError(f"{path} is damaged; remove it and adaptation starts again")
    try:
        header = json.loads(body[8 : 8 + int.from_bytes(body[:8], "little")])
        about = json.loads(header["__metadata__"][_ABOUT])
        return safetensors.torch.load(body), about
    except (SafetensorError, KeyError, ValueError) as error:
        raise AdaptationStateError(
            f"{path} is no state of this version ({error}); remove it and adaptation starts again"
        ) from error


def sync_folder(folder: Path) -> None:
    """Names of files are on the disk only when their folder is."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
