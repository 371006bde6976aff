"""The step of both networks as an ONNX graph whose tensors bear the names of a weights file.

The graph has inputs ``previous_image`` (H, W, 3) uint8 RGB, ``previous_depth`` (H, W) float32
and ``image`` (H, W, 3) uint8 RGB, and the outputs of ``StepOutput``. Shapes are static.
Initialiser N of the graph is tensor N of the weights file, for every N in the file, so weights
are exchanged by name alone.

The exporter merges initialisers of equal value (in an untrained network every bias is zero), and
what it merges can no longer be exchanged one by one. So the graph is made from a network in
which no two tensors are equal, and its real weights are put in afterwards.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from depth_motion_ros.engines.interface import EngineError
from depth_motion_ros.engines.step import INPUTS, Step, StepOutput
from depth_motion_ros.models.config import NetworkConfig
from depth_motion_ros.models.network import DepthMotionNet
from depth_motion_ros.models.weights import Weights

if TYPE_CHECKING:
    import onnx

OPSET = 18
INSTALL = "pip install onnx onnxscript onnxruntime"


def trace_template(config: NetworkConfig) -> onnx.ModelProto:
    """The graph for one architecture and input size, all weights present by name but empty.

    Raises EngineError where onnx or onnxscript are missing or the exporter fails.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401 - the exporter needs it and reports its absence less well
    except ImportError as error:
        raise EngineError(f"exporting to ONNX needs {error.name!r}: {INSTALL}") from error
    network = _distinct_network(config)
    image = torch.zeros(config.input_height, config.input_width, 3, dtype=torch.uint8)
    depth = torch.ones(config.input_height, config.input_width)
    try:
        with torch.no_grad(), _quiet():
            program = torch.onnx.export(
                Step(network).eval(),
                (image, depth, image.clone()),
                dynamo=True,
                opset_version=OPSET,
                input_names=INPUTS,
                output_names=StepOutput._fields,
                verbose=False,
            )
    # The exporter wraps whatever went wrong in classes of its own that are not public.
    except Exception as error:
        raise EngineError(f"PyTorch {torch.__version__} cannot export: {error}") from error
    if program is None:
        raise EngineError(f"PyTorch {torch.__version__} is too old to export: {INSTALL} -U torch")
    model: onnx.ModelProto = program.model_proto
    _check_names(model, {name: tuple(t.shape) for name, t in network.state_dict().items()})
    for tensor in weight_tensors(model, network.state_dict()):
        tensor.ClearField("raw_data")
    onnx.helper.set_model_props(
        model,
        {
            "architecture": config.architecture,
            "input_width": str(config.input_width),
            "input_height": str(config.input_height),
        },
    )
    model.doc_string = "Initialisers bear the names of the tensors in the weights file."
    return model


def weight_tensors(
    model: onnx.ModelProto, names: dict[str, torch.Tensor]
) -> Iterator[onnx.TensorProto]:
    """The initialisers of a graph that are weights; the others are constants of the graph."""
    return (tensor for tensor in model.graph.initializer if tensor.name in names)


def filled(template: onnx.ModelProto, weights: Weights) -> onnx.ModelProto:
    """The template with weights in it: a complete model that any ONNX runtime reads."""
    import onnx

    model = onnx.ModelProto()
    model.CopyFrom(template)
    for tensor in weight_tensors(model, weights.tensors):
        tensor.raw_data = as_array(weights, tensor.name).tobytes()
    properties = {entry.key: entry.value for entry in template.metadata_props}
    onnx.helper.set_model_props(model, {**weights.metadata, **properties})
    return model


def as_array(weights: Weights, name: str) -> NDArray[np.float32]:
    """A copy of one tensor in little-endian float32, the form in which ONNX stores it."""
    tensor = weights.tensors[name].detach().to("cpu", torch.float32).contiguous()
    return tensor.numpy().astype("<f4", copy=True)


def check_template(model: onnx.ModelProto, config: NetworkConfig) -> None:
    """Raises EngineError unless the graph has every weight of this configuration by name."""
    with torch.device("meta"):
        expected = DepthMotionNet(config).state_dict()
    _check_names(model, {name: tuple(tensor.shape) for name, tensor in expected.items()})


def _check_names(model: onnx.ModelProto, expected: dict[str, tuple[int, ...]]) -> None:
    found = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    used = {name for node in model.graph.node for name in node.input}
    for name, shape in expected.items():
        if found.get(name) != shape or name not in used:
            raise EngineError(
                f"the exported graph has {found.get(name)} in place of {name!r} {shape}: this "
                f"onnxscript renames, merges or folds weights; install another version"
            )


def _distinct_network(config: NetworkConfig) -> DepthMotionNet:
    network = DepthMotionNet(config)
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1, generator=generator)
    return network


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's talk about packages that play no part here out of our users' logs."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
