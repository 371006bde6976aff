"""TensorRT engines kept from run to run, because building one takes from seconds to minutes.

An engine is code that the GPU's driver runs, so only files are read that this user alone can
have written. The name of a file says what a reader wants to know; everything that the engine
depends on is written inside, and a file that differs in anything is never run.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from depth_motion_ros.engines.interface import EngineError
from depth_motion_ros.engines.private_files import make_private, read_sealed, write_sealed

if TYPE_CHECKING:
    import onnx

_LOG = logging.getLogger(__name__)
_HEADER_END = b"\n"


@dataclass(frozen=True)
class PlanKey:
    """All that an engine depends on.

    graph: ``graph_digest`` of the ONNX graph, without the weights where they can be exchanged.
    tensorrt: name and full version. capability: the GPU's, such as ``8.7``.
    size: ``WIDTHxHEIGHT``. flags: those of the build.
    """

    architecture: str
    size: str
    precision: str
    graph: str
    tensorrt: str
    gpu: str
    capability: str
    driver: str
    flags: str

    @property
    def file_name(self) -> str:
        parts = (self.architecture, self.size, self.precision, self.flags, self.tensorrt, self.gpu)
        return "-".join(map(_slug, parts)) + ".engine"

    @property
    def timings_name(self) -> str:
        """Of the timing cache, or of the compiled kernels of TensorRT for RTX, which has no timing
        cache: either is shared by all engines of one TensorRT and GPU."""
        return f"{_slug(self.tensorrt)}-{_slug(self.gpu)}.timings"


def graph_digest(model: onnx.ModelProto) -> str:
    """SHA-256 of what a graph computes, not of the exporter's remarks on it."""
    import onnx

    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    del bare.metadata_props[:]
    bare.doc_string = ""
    for part in (*bare.graph.node, *bare.graph.input, *bare.graph.output):
        del part.metadata_props[:]
        part.doc_string = ""
    del bare.graph.value_info[:]
    return hashlib.sha256(bare.SerializeToString(deterministic=True)).hexdigest()


def read_plan(key: PlanKey, folder: Path) -> bytes | None:
    """The engine of exactly this key; None, with one line in the log, where there is none."""
    path = folder / key.file_name
    if not path.exists():
        return None
    try:
        make_private(folder)
        head, _, plan = read_sealed(path).partition(_HEADER_END)
        _check_header(path, head, key)
    except (OSError, EngineError) as error:
        _LOG.warning("building the TensorRT engine anew: %s", error)
        return None
    return plan


def write_plan(key: PlanKey, plan: bytes, folder: Path) -> None:
    """Keep an engine. What prevents it costs the next start a build, and one line in the log."""
    head = json.dumps(dataclasses.asdict(key)).encode()
    _write(folder, key.file_name, head + _HEADER_END + plan)


def read_timings(key: PlanKey, folder: Path) -> bytes:
    """What earlier builds measured or starts compiled; empty where there is nothing of use."""
    path = folder / key.timings_name
    try:
        make_private(folder)
        return read_sealed(path) if path.exists() else b""
    except (OSError, EngineError) as error:
        _LOG.warning("the timing cache of TensorRT is not used: %s", error)
        return b""


def write_timings(key: PlanKey, timings: bytes, folder: Path) -> None:
    _write(folder, key.timings_name, timings)


def _write(folder: Path, name: str, body: bytes) -> None:
    try:
        make_private(folder)
        write_sealed(folder / name, body)
    except (OSError, EngineError) as error:
        _LOG.warning("%s is not kept for the next start: %s", name, error)


def _check_header(path: Path, head: bytes, key: PlanKey) -> None:
    try:
        found = json.loads(head)
    except ValueError as error:
        raise EngineError(f"{path} is no engine of this package") from error
    for name, value in dataclasses.asdict(key).items():
        has = found.get(name) if isinstance(found, dict) else None
        if has != value:
            raise EngineError(f"{path} is for {name} {has!r}, needed is {value!r}")


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.]+", "_", text)
