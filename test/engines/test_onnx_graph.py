from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from support.engine_helpers import SIZE, fresh_weights, graph_cache, images, trained_like_weights

from depth_motion_ros.cli.main import main
from depth_motion_ros.engines.interface import EngineError
from depth_motion_ros.engines.onnx import cache as onnx_cache
from depth_motion_ros.engines.onnx import graph as onnx_graph
from depth_motion_ros.engines.onnx.export import export_onnx
from depth_motion_ros.engines.torch_engine import TorchEngine

onnx = pytest.importorskip("onnx", reason="needs onnx: pip install onnx onnxscript")
runtime = pytest.importorskip("onnxruntime", reason="needs onnxruntime")


@pytest.mark.parametrize("make", [fresh_weights, trained_like_weights])
@pytest.mark.parametrize("architecture", ["lite", "resnet18"])
def test_every_tensor_of_the_weights_is_in_the_graph_by_name(architecture, make):
    # In a fresh network 44 of 155 names were lost: the exporter merges tensors of equal value.
    weights = make(architecture)
    template = onnx_cache.template(weights.config, graph_cache())
    model = onnx_graph.filled(template, weights)
    stored = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    for name, tensor in weights.tensors.items():
        np.testing.assert_array_equal(stored[name], tensor.numpy(), err_msg=name)


def test_the_graph_takes_camera_images_and_has_static_shapes():
    model = onnx_cache.template(fresh_weights().config, graph_cache())
    width, height = SIZE

    def shapes(values):
        return {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in values}

    assert shapes(model.graph.input) == {
        "previous_image": [height, width, 3],
        "previous_depth": [height, width],
        "image": [height, width, 3],
    }
    assert shapes(model.graph.output) == {
        "depth": [height, width],
        "rotation": [3],
        "translation": [3],
        "residual": [height, width, 3],
        "K": [3, 3],
    }
    assert model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert next(entry.version for entry in model.opset_import if not entry.domain) >= 18


def test_the_command_writes_a_checked_model_and_says_how_close_it_is(tmp_path, capsys):
    weights = trained_like_weights()
    weights.to_file(tmp_path / "w.safetensors")
    out = tmp_path / "model.onnx"
    assert main(["export", "--weights", str(tmp_path / "w.safetensors"), "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "155 weights by name" in said
    assert "depth" in said
    assert "residual" in said
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.onnx", "w.safetensors"]

    previous, image = images()
    engine = TorchEngine(weights, device="cpu")
    expected = engine.step(previous, engine.step(None, None, previous).depth, image)
    session = runtime.InferenceSession(str(out), providers=["CPUExecutionProvider"])
    depth = engine.step(None, None, previous).depth
    got = session.run(
        ["depth", "rotation"], {"previous_image": previous, "previous_depth": depth, "image": image}
    )
    np.testing.assert_allclose(got[0], expected.depth, rtol=1e-3)
    np.testing.assert_allclose(got[1], expected.motion.rotation, rtol=1e-3)
    properties = {p.key: p.value for p in onnx.load(out).metadata_props}
    assert properties["version"] == "trained-0"


def test_a_model_that_computes_something_else_is_not_written(tmp_path):
    # No float32 runtime reproduces another to the last bit of every output.
    with pytest.raises(EngineError, match=r"differ by more than 1e-12.*nothing was written"):
        export_onnx(trained_like_weights(), tmp_path / "model.onnx", tolerance=1e-12)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_named_before_anything_is_computed(tmp_path):
    with pytest.raises(EngineError, match=r"no folder .*absent"):
        export_onnx(fresh_weights(), tmp_path / "absent" / "model.onnx")


def test_a_size_that_is_no_size_is_a_usage_error(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["export", "--weights", "w", "--out", str(tmp_path / "m"), "--size", "416"])
    assert stop.value.code == 2
    assert "'416' is no size such as 416x128" in capsys.readouterr().err


def test_without_onnxscript_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(EngineError, match=r"'onnxscript': pip install onnx onnxscript"):
        onnx_graph.trace_template(fresh_weights().config)


def test_importing_the_engines_needs_no_optional_package():
    blocked = "import sys; sys.modules.update(onnx=None, onnxscript=None, onnxruntime=None);"
    code = blocked + "import depth_motion_ros.engines.select, depth_motion_ros.engines.onnx.export"
    subprocess.run([sys.executable, "-c", code], check=True)
