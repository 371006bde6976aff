"""``depth_motion bench int8``: what is quantised, how it is judged, and a small one for real."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.engine_helpers import fresh_weights, graph_cache

from depth_motion_ros.cli.bench_int8 import Row, is_within, table
from depth_motion_ros.cli.main import main
from depth_motion_ros.engines.onnx import cache as onnx_cache
from depth_motion_ros.engines.onnx import graph as onnx_graph
from depth_motion_ros.engines.onnx import quantise

pytest.importorskip("onnx", reason="needs onnx: pip install onnx onnxscript")
pytest.importorskip("onnxruntime.quantization", reason="needs onnxruntime's quantiser")


def test_the_worst_frame_decides() -> None:
    good = Row("onnxruntime", "int8 depth", 5.0, depth=0.009, worst=0.0199)
    assert is_within(good)
    assert not is_within(Row("onnxruntime", "int8 all", 5.0, depth=0.009, worst=0.021))
    assert not is_within(Row("onnxruntime", "int8 all", 5.0, depth=0.009, worst=float("nan")))
    lines = table([Row("torch", "fp32", 10.0), good]).splitlines()
    assert "2.00" in lines[2]  # half of PyTorch's time
    assert lines[2].endswith("yes")


@pytest.mark.parametrize("variant", quantise.VARIANTS)
def test_a_variant_leaves_exact_what_it_says(variant: str) -> None:
    weights = fresh_weights()
    model = onnx_graph.filled(onnx_cache.template(weights.config, graph_cache()), weights)
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    width, height = weights.config.input_width, weights.config.input_height
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    feed: quantise.Feed = {
        "previous_image": noise,
        "previous_depth": np.ones((height, width), np.float32),
        "image": np.roll(noise, 2, axis=1),
    }
    made = quantise.quantised(model, [feed], variant)
    weights_in_int8 = {
        tensor.name.removesuffix("_quantized")
        for tensor in made.graph.initializer
        if tensor.data_type == 3 and tensor.name.endswith("_quantized")  # INT8
    }
    of_depth = {name for name in weights_in_int8 if name.startswith("depth_net.")}
    of_motion = {name for name in weights_in_int8 if name.startswith("motion_net.")}
    all_of_depth = sum(
        any(name.startswith("depth_net.") for name in node.input) for node in convolutions
    )
    assert len(of_depth) == all_of_depth - (0 if variant == quantise.ALL else 3)
    assert bool(of_motion) == (variant != quantise.DEPTH)
    assert weights_in_int8 == of_depth | of_motion


def test_figures_for_real(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = tmp_path / "net.safetensors"
    fresh_weights().to_file(weights)
    for name in ("real", "other"):
        (tmp_path / name).mkdir()
        coarse = np.random.default_rng(len(name)).integers(0, 256, (9, 12, 3), np.uint8)
        pixels = cv2.resize(coarse, (96, 72), interpolation=cv2.INTER_CUBIC)
        for index in range(6):
            picture = np.roll(pixels, 2 * index, axis=1)
            cv2.imwrite(str(tmp_path / name / f"{index}.png"), picture)
    out = tmp_path / "int8.json"
    status = main(
        ["bench", "int8", "--weights", str(weights), "--frames", str(tmp_path / "real"),
         "--calibration", str(tmp_path / "other"), "--pairs", "2", "--steps", "2",
         "--json", str(out)]
    )  # fmt: skip
    found = json.loads(out.read_text())
    assert (found["pairs"], found["calibration_pairs"]) == (2, 2)
    rows = {(row["runtime"], row["precision"]): row for row in found["rows"]}
    assert rows["torch", "fp32"]["worst"] == 0
    assert rows["onnxruntime", "fp32"]["worst"] < 1e-4
    int8 = [row for row in found["rows"] if row["precision"] != "fp32"]
    assert len(int8) >= 3
    assert all(row["depth"] > 0 for row in int8)
    assert status == int(not any(row["worst"] <= 0.02 for row in int8))
    assert "2 pairs of real frames, calibrated on 2" in capsys.readouterr().out
