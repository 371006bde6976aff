"""Real builds, with whichever TensorRT is here: TensorRT for RTX needs no GPU for them."""

from __future__ import annotations

import pytest
from support.engine_helpers import SIZE, graph_cache, trained_like_weights

from depth_motion_ros.engines.cuda_device import driver_version
from depth_motion_ros.engines.interface import EngineError
from depth_motion_ros.engines.onnx import cache as onnx_cache
from depth_motion_ros.engines.onnx import graph as onnx_graph
from depth_motion_ros.engines.onnx.precision import to_fp16
from depth_motion_ros.engines.tensorrt.build import (
    PhaseShares,
    build_plan,
    check_ports,
    tensor_types,
)
from depth_motion_ros.engines.tensorrt.runtime import find_tensorrt

pytest.importorskip("onnx", reason="needs onnx: pip install onnx onnxscript")


@pytest.fixture(scope="module")
def tensorrt():
    try:
        found = find_tensorrt()
        if not found.builds_without_gpu:
            driver_version()
    except EngineError as error:
        pytest.skip(str(error))
    return found


@pytest.fixture
def build(tensorrt):
    capability = "8.6" if tensorrt.builds_without_gpu else None

    def run(model, precision, **options):
        return build_plan(
            tensorrt,
            model,
            trained_like_weights().config,
            precision,
            **{"refit": False, "capability": capability, **options},
        )

    return run


def _model(architecture="lite", precision="fp32"):
    weights = trained_like_weights(architecture)
    model = onnx_graph.filled(onnx_cache.template(weights.config, graph_cache()), weights)
    return (to_fp16(model) if precision == "fp16" else model).SerializeToString()


@pytest.mark.parametrize("architecture", ["lite", "resnet18"])
def test_both_networks_build_in_both_precisions(build, architecture):
    sizes = {}
    for precision in ("fp32", "fp16"):
        shares = []
        built = build(_model(architecture, precision), precision, progress=shares.append)
        sizes[precision] = len(built.plan)
        assert shares == sorted(shares)
        assert shares[0] < 0.1
        assert shares[-1] == 1.0
    # The file is little but weights, and nearly all of them have half the size in fp16.
    weights = trained_like_weights(architecture).tensors.values()
    saved = 2 * sum(tensor.numel() for tensor in weights)
    assert sizes["fp32"] > 2 * saved
    if architecture == "resnet18":
        assert sizes["fp32"] - sizes["fp16"] == pytest.approx(saved, rel=0.1)


@pytest.mark.parametrize(("asked", "got"), [("fp16", "fp32"), ("fp32", "fp16")])
def test_a_network_of_another_precision_is_refused(build, asked, got):
    with pytest.raises(EngineError, match=f"asked for {asked}.*convolutions compute in"):
        build(_model(precision=got), asked)


def test_what_is_no_network_is_refused(build):
    with pytest.raises(EngineError):
        build(b"no ONNX", "fp32")


def test_a_graph_that_tensorrt_does_not_take_is_told_in_its_words(build):
    import onnx

    model = onnx.ModelProto.FromString(_model())
    # Uint8 may only be cast: this was the graph before the cast came first.
    cast = next(node for node in model.graph.node if node.op_type == "Cast")
    cast.attribute[0].i = onnx.TensorProto.UINT8
    with pytest.raises(EngineError, match=r"does not take the graph: .*[Cc]ast|UInt8"):
        build(model.SerializeToString(), "fp32")


def test_an_interrupt_ends_the_build(build):
    def interrupt(done):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(_model(), "fp32", progress=interrupt)


def test_a_gpu_that_tensorrt_for_rtx_does_not_know(tensorrt, build):
    if not tensorrt.builds_without_gpu:
        pytest.skip(f"{tensorrt.name} builds for the GPU that is here")
    with pytest.raises(EngineError, match=r"capability 5\.2 \(it knows SM75.*pip install tensorrt"):
        build(_model(), "fp32", capability="5.2")


def test_inputs_and_outputs_are_those_of_the_step():
    config = trained_like_weights().config
    types = tensor_types(config)
    width, height = SIZE
    assert types["image"] == ("UINT8", (height, width, 3))
    assert types["residual"] == ("FLOAT", (height, width, 3))
    check_ports(types, config)


@pytest.mark.parametrize(
    "change",
    [{"depth": ("HALF", (64, 96))}, {"image": ("UINT8", (64, 128, 3))}, {"more": ("FLOAT", (1,))}],
)
def test_an_engine_with_other_inputs_or_outputs_is_refused(change):
    config = trained_like_weights().config
    (name,) = change
    with pytest.raises(EngineError, match=f"where '{name}' should be"):
        check_ports({**tensor_types(config), **change}, config)


def test_an_output_that_is_missing_is_refused():
    config = trained_like_weights().config
    types = tensor_types(config)
    del types["K"]
    with pytest.raises(EngineError, match="has None where 'K' should be"):
        check_ports(types, config)


def test_nested_phases_add_up():
    shares = PhaseShares()
    shares.start("build", None, 2)
    shares.start("tactics", "build", 4)
    assert [shares.step("tactics", step) for step in range(4)] == [0.125, 0.25, 0.375, 0.5]
    shares.finish("tactics")
    assert shares.step("build", 0) is None  # known already
    assert shares.step("build", 1) == 1.0
    assert shares.step("never begun", 0) is None
