"""Graphs without weights, kept from run to run, because tracing one takes seconds.

One file per architecture and size in a folder that only the user can write. Its name holds a
digest of everything else the graph depends on, so an update of PyTorch, of the exporter or of
this package makes a new file and never reads an old one.
"""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from depth_motion_ros.engines import step
from depth_motion_ros.engines.interface import EngineError
from depth_motion_ros.engines.onnx import graph as onnx_graph
from depth_motion_ros.engines.private_files import (
    default_folder,
    make_private,
    read_sealed,
    write_sealed,
)
from depth_motion_ros.models import config as config_module
from depth_motion_ros.models import depth_net, motion_net, network, norm
from depth_motion_ros.models.config import NetworkConfig

if TYPE_CHECKING:
    import onnx

_LOG = logging.getLogger(__name__)
_SOURCES = (onnx_graph, step, config_module, depth_net, motion_net, network, norm)


def template(config: NetworkConfig, folder: Path | None = None) -> onnx.ModelProto:
    """The graph of this architecture and size without weights, from the cache where possible.

    A cache that cannot be read or written costs time and one line in the log, nothing else.

    Raises EngineError where there is no cached graph and none can be traced.
    """
    folder = folder or default_folder()
    path = folder / _file_name(config)
    try:
        make_private(folder)
        if path.exists():
            return _read(path, config)
    except (OSError, EngineError) as error:
        _LOG.warning("building the ONNX graph anew: %s", error)
    _LOG.info(
        "tracing the ONNX graph of %s at %dx%d, which takes some seconds: this is done once",
        config.architecture,
        config.input_width,
        config.input_height,
    )
    model = onnx_graph.trace_template(config)
    try:
        make_private(folder)
        write_sealed(path, model.SerializeToString())
    except (OSError, EngineError) as error:
        _LOG.warning("the ONNX graph is not kept for the next start: %s", error)
    return model


def _file_name(config: NetworkConfig) -> str:
    digest = hashlib.sha256(str(onnx_graph.OPSET).encode())
    # The exporter may be missing where a cached graph is still of use: it is not part of the key.
    digest.update(torch.__version__.encode())
    for module in _SOURCES:
        digest.update(Path(str(module.__file__)).read_bytes())
    size = f"{config.input_width}x{config.input_height}"
    return f"{config.architecture}-{size}-{digest.hexdigest()[:16]}.graph"


def _read(path: Path, config: NetworkConfig) -> onnx.ModelProto:
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError as error:
        raise EngineError(f"reading ONNX needs {error.name!r}: {onnx_graph.INSTALL}") from error
    try:
        model: onnx.ModelProto = onnx.load_model_from_string(read_sealed(path))
    except DecodeError as error:
        raise EngineError(f"{path} is damaged: {error}") from error
    onnx_graph.check_template(model, config)
    return model
