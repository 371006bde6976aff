"""The weights files that come with the package, by their names."""

from __future__ import annotations

import os
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "weights"
DEFAULT, FREE = "default", "free"
_FILES = {DEFAULT: "lite.safetensors", FREE: "lite_free.safetensors"}


def weights_path(name: str | os.PathLike[str]) -> Path:
    """Where the weights of this name lie.

    ``default`` and ``free`` are those of the package, the second learned from freely licensed video
    and rendered scenes alone; anything else is a path.
    """
    if str(name) in _FILES:
        return FOLDER / _FILES[str(name)]
    return Path(name).expanduser()
