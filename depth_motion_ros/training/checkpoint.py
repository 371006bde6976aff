"""Training checkpoints as safetensors: everything Lightning keeps, and nothing to unpickle."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import safetensors
import torch
from lightning.fabric.plugins.io import CheckpointIO
from safetensors.torch import save_file
from torch import Tensor

SUFFIX = ".checkpoint"
_FORMAT = "depth_motion_ros training checkpoint 1"


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be written or read; the message names the file and the reason."""


class SafetensorsCheckpointIO(CheckpointIO):
    """Stores Lightning's checkpoint mapping as one safetensors file.

    Tensors are stored as tensors, the rest (counters, hyper-parameters, states of callbacks) as
    JSON in the header. A file appears whole or not at all, also when the process is killed.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write ``checkpoint``. Raises CheckpointError for a value that JSON cannot hold."""
        path = Path(path)
        tensors: dict[str, Tensor] = {}
        tree = _encode(checkpoint, tensors, "checkpoint")
        header = {"format": _FORMAT, "tree": json.dumps(tree)}
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
        try:
            save_file(tensors, temporary, header)
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint onto the CPU; Lightning moves what belongs elsewhere.

        Raises CheckpointError where the file is missing, damaged or of another kind.
        """
        try:
            with safetensors.safe_open(path, framework="pt") as file:
                header = file.metadata() or {}
                if header.get("format") != _FORMAT:
                    raise CheckpointError(
                        f"{path} is no training checkpoint (format {header.get('format')!r}); "
                        "weights files go to --weights"
                    )
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, safetensors.SafetensorError) as error:
            raise CheckpointError(f"{path} cannot be read: {error}") from error
        return _decode(json.loads(header["tree"]), tensors)

    def remove_checkpoint(self, path: Any) -> None:
        """Delete a checkpoint that is no longer kept."""
        Path(path).unlink(missing_ok=True)


def newest_checkpoint(folder: Path) -> Path | None:
    """The checkpoint of a run's folder with the most steps, None where there is none."""
    return max(folder.glob(f"*{SUFFIX}"), default=None, key=lambda path: path.stem)


def _encode(value: Any, tensors: dict[str, Tensor], where: str) -> Any:
    """``value`` as JSON; tensors go into ``tensors`` and leave their name behind."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Tensor):
        # A clone, as safetensors stores no two tensors that share memory; numbered, as a name
        # made of keys could be ambiguous.
        name = f"{len(tensors):06d}"
        tensors[name] = value.detach().cpu().clone(memory_format=torch.contiguous_format)
        return {"tensor": name}
    if isinstance(value, (list, tuple)):
        items = [_encode(item, tensors, f"{where}.{i}") for i, item in enumerate(value)]
        return {"tuple" if isinstance(value, tuple) else "list": items}
    if isinstance(value, dict):
        # Pairs, because the optimiser's state is keyed by integers, which JSON would make text.
        return {"dict": [[k, _encode(v, tensors, f"{where}.{k}")] for k, v in value.items()]}
    raise CheckpointError(
        f"{where} is of type {type(value).__name__}, which a checkpoint cannot hold: "
        "use tensors, numbers, text, lists or mappings"
    )


def _decode(node: Any, tensors: dict[str, Tensor]) -> Any:
    if not isinstance(node, dict):
        return node
    ((kind, content),) = node.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {key: _decode(item, tensors) for key, item in content}
    items = [_decode(item, tensors) for item in content]
    return tuple(items) if kind == "tuple" else items
