"""``depth_motion bench int8``: what int8 on the CPU would save, and what it would do to depth.

The networks are quantised with frames to calibrate on, and judged on other, real ones against
PyTorch. Costs are processor time of one thread, which other programs do not lengthen much.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.cli.demo.statistics import machine
from depth_motion_ros.cli.image_size import image_size

if TYPE_CHECKING:
    import onnx

    from depth_motion_ros.engines.onnx.quantise import Feed

HELP = "int8 on the CPU: what it saves, and whether it keeps depth within 2 % on real frames"

LIMIT = 0.02
CALIBRATION = ("sim:drive", "sim:yard", "sim:indoor", "sim:handheld")
OUTPUTS = ("depth", "rotation", "translation", "residual", "K")
Run = Callable[["Feed"], list[NDArray[np.float32]]]


@dataclass(frozen=True)
class Row:
    """cpu_ms: median of one step. depth: the median over frames of each frame's median relative
    deviation from PyTorch; worst: of the worst frame. translation: the same over its length."""

    runtime: str
    precision: str
    cpu_ms: float
    depth: float = 0.0
    worst: float = 0.0
    translation: float = 0.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--weights", type=Path, required=True, help="weights file")
    parser.add_argument(
        "--frames", nargs="+", required=True, metavar="SPEC", help="real frames to judge by"
    )
    parser.add_argument(
        "--calibration", nargs="+", default=list(CALIBRATION), metavar="SPEC",
        help="frames to take the ranges from; none of those to judge by",
    )  # fmt: skip
    parser.add_argument("--pairs", type=int, default=5, help="pairs of images of each source")
    parser.add_argument("--size", type=image_size, help="of the networks; the weights' without it")
    parser.add_argument("--steps", type=int, default=30, help="timed steps of each")
    parser.add_argument("--json", type=Path, help="write the figures to this file")


def run(args: argparse.Namespace) -> int:
    """0 where a variant keeps depth within the limit."""
    import torch

    from depth_motion_ros.engines.inputs import engine_config
    from depth_motion_ros.engines.interface import EngineError
    from depth_motion_ros.engines.onnx import cache as onnx_cache
    from depth_motion_ros.engines.onnx import graph as onnx_graph
    from depth_motion_ros.engines.onnx.quantise import VARIANTS, quantised
    from depth_motion_ros.engines.torch_engine import TorchEngine
    from depth_motion_ros.models.weights import Weights

    if args.pairs < 1 or args.steps < 1:
        raise EngineError(f"--pairs {args.pairs} --steps {args.steps}: at least 1")
    torch.set_num_threads(1)
    weights = Weights.from_file(args.weights)
    config = engine_config(weights, args.size)
    size = (config.input_width, config.input_height)
    oracle = TorchEngine(weights, device="cpu", input_size=size, threads=1)

    def feeds(specs: list[str]) -> list[Feed]:
        pairs = [pair for spec in specs for pair in _pairs(spec, args.pairs, size)]
        return [
            {
                "previous_image": previous,
                "previous_depth": oracle.step(None, None, previous).depth,
                "image": image,
            }
            for previous, image in pairs
        ]

    calibration, judged = feeds(args.calibration), feeds(args.frames)
    model = onnx_graph.filled(onnx_cache.template(config), weights)
    models = {"fp32": model}
    for variant in VARIANTS:
        models[f"int8 {variant}"] = quantised(model, calibration, variant)
    runs: dict[tuple[str, str], Run] = {
        ("torch", "fp32"): lambda feed: _answer(oracle, feed),
    }
    for precision, graph in models.items():
        runs["onnxruntime", precision] = _on_onnxruntime(graph)
        on_openvino = _on_openvino(graph)
        if on_openvino is not None:
            runs["openvino", precision] = on_openvino
    expected = [_answer(oracle, feed) for feed in judged]
    costs = _costs(runs, judged[0], args.steps)
    rows = [_row(key, costs[key], run_, judged, expected) for key, run_ in runs.items()]
    print(f"{config.architecture} {size[0]}x{size[1]}, weights {weights.version}: ", end="")
    print(f"{len(judged)} pairs of real frames, calibrated on {len(calibration)}")
    print(table(rows))
    for variant, meaning in VARIANTS.items():
        print(f"int8 {variant}: {meaning}")
    if args.json is not None:
        content = {
            "machine": machine(),
            "load_average": os.getloadavg()[0],
            "architecture": config.architecture,
            "size": list(size),
            "weights": weights.version,
            "pairs": len(judged),
            "calibration_pairs": len(calibration),
            "rows": [asdict(row) for row in rows],
        }
        args.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return int(not any(is_within(row) for row in rows if row.precision != "fp32"))


def _pairs(
    spec: str, count: int, size: tuple[int, int]
) -> list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Pairs of consecutive images, spread over a source. Raises SourceError for one too short."""
    from depth_motion_ros.sources.frame import SourceError
    from depth_motion_ros.sources.open import open_source

    pairs: list[tuple[NDArray[np.uint8], NDArray[np.uint8]]] = []
    options: dict[str, Any] = {"frames": 10 * count} if spec.startswith("sim:") else {}
    with open_source(spec, **options) as source:
        step = max(2, (source.length or 10 * count) // count)
        older: NDArray[np.uint8] | None = None
        for index, frame in enumerate(source):
            if index % step == 1 and older is not None:
                pairs.append((older, _fit(frame.image, size)))
                if len(pairs) == count:
                    break
            older = _fit(frame.image, size) if index % step == 0 else None
    if not pairs:
        raise SourceError(f"{spec}: two images are needed, there are fewer")
    return pairs


def _fit(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    resized = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(resized, dtype=np.uint8)


def _answer(oracle: Any, feed: Feed) -> list[NDArray[np.float32]]:
    prediction = oracle.step(feed["previous_image"], feed["previous_depth"], feed["image"])
    motion = prediction.motion
    return [prediction.depth, motion.rotation, motion.translation, motion.residual, motion.K]


def _on_onnxruntime(model: onnx.ModelProto) -> Run:
    from depth_motion_ros.engines.onnx.onnxruntime_engine import import_onnxruntime, session_options

    runtime = import_onnxruntime()
    session = runtime.InferenceSession(
        model.SerializeToString(), session_options(runtime, 1), providers=["CPUExecutionProvider"]
    )
    return lambda feed: list(session.run(list(OUTPUTS), feed))


def _on_openvino(model: onnx.ModelProto) -> Run | None:
    """None where OpenVINO is not installed."""
    from depth_motion_ros.engines.interface import EngineError
    from depth_motion_ros.engines.onnx.openvino_engine import process_core

    try:
        core = process_core()
    except EngineError:
        return None
    settings = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(core.read_model(model.SerializeToString()), "CPU", settings)
    request = compiled.create_infer_request()

    def answer(feed: Feed) -> list[NDArray[np.float32]]:
        outputs = request.infer(feed)
        return [np.array(outputs[compiled.output(name)]) for name in OUTPUTS]

    return answer


def _costs(
    runs: dict[tuple[str, str], Run], feed: Feed, steps: int
) -> dict[tuple[str, str], float]:
    """Median ms of processor time, one step of each in turn, after a few to warm up."""
    samples: dict[tuple[str, str], list[float]] = {key: [] for key in runs}
    for index in range(steps + 3):
        for key, step in runs.items():
            begin = time.process_time()
            step(feed)
            if index >= 3:
                samples[key].append(time.process_time() - begin)
    return {key: 1e3 * float(np.median(taken)) for key, taken in samples.items()}


def _row(
    key: tuple[str, str],
    cost: float,
    step: Run,
    judged: list[Feed],
    expected: list[list[NDArray[np.float32]]],
) -> Row:
    depths, translations = [], []
    for feed, right in zip(judged, expected, strict=True):
        got = step(feed)
        depths.append(float(np.median(np.abs(got[0] - right[0]) / right[0])))
        # A camera that stands still counts as moving by a hundredth of the depth.
        scale = max(float(np.linalg.norm(right[2])), 0.01 * float(np.median(right[0])))
        translations.append(float(np.linalg.norm(got[2] - right[2])) / scale)
    return Row(*key, cost, float(np.median(depths)), max(depths), float(np.median(translations)))


def is_within(row: Row) -> bool:
    return row.worst <= LIMIT


def table(rows: list[Row]) -> str:
    """For the terminal. The last column: whether no frame's depth deviates by more than 2 %."""
    eager = next(row.cpu_ms for row in rows if row.runtime == "torch")
    lines = [
        f"{'runtime':<13}{'precision':<12}{'CPU ms':>8}{'x torch':>9}"
        f"{'depth':>9}{'worst':>9}{'transl.':>9}  within {LIMIT:.0%}"
    ]
    lines += [
        f"{row.runtime:<13}{row.precision:<12}{row.cpu_ms:>8.2f}{eager / row.cpu_ms:>9.2f}"
        f"{row.depth:>9.2%}{row.worst:>9.2%}{row.translation:>9.2%}"
        f"  {'yes' if is_within(row) else 'NO'}"
        for row in rows
    ]
    return "\n".join(lines)
