"""Every engine that is here, in one run, side by side: latency, memory, build and swap, parity."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.bound import MachineRates, StepWork, measure_machine, work_of
from benchmarks.process import resident_bytes
from benchmarks.report import computer, computer_text, table, write
from depth_motion_ros.cli.demo.statistics import percentiles
from depth_motion_ros.cli.image_size import image_size
from depth_motion_ros.cli.main import run_command
from depth_motion_ros.engines.inputs import engine_config
from depth_motion_ros.engines.interface import Engine, EngineError
from depth_motion_ros.engines.onnx.onnxruntime_engine import OnnxRuntimeEngine
from depth_motion_ros.engines.onnx.openvino_engine import OpenVinoEngine
from depth_motion_ros.engines.parity import Pair, compare, textured_pair
from depth_motion_ros.engines.tensorrt.engine import TensorRTEngine
from depth_motion_ros.engines.torch_engine import TorchEngine
from depth_motion_ros.models.config import NetworkConfig
from depth_motion_ros.models.network import DepthMotionNet
from depth_motion_ros.models.weights import Weights, weights_of

_NOTE = (
    "bound: the larger of FLOPs over the matrix product measured here and bytes over the copy "
    "measured here;\nof bound: how much of it a step reaches. memory: growth of the process "
    "(cpu) or of the GPU's use."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--weights", help="weights file; without it untrained networks")
    parser.add_argument("--architecture", default="lite", help="of untrained networks")
    parser.add_argument("--size", type=image_size, metavar="WxH", help="input size in pixels")
    parser.add_argument("--steps", type=int, default=50, help="measured steps of each engine")
    parser.add_argument("--warmup", type=int, default=5, help="steps before the measured ones")
    parser.add_argument("--threads", type=int, help="CPU threads; without it the cores, at most 4")
    parser.add_argument("--json", type=Path, help="write all samples to this file")


def run(args: argparse.Namespace) -> int:
    if args.steps < 1 or args.warmup < 0:
        raise EngineError(f"--steps {args.steps} --warmup {args.warmup}: at least 1 and 0")
    threads = args.threads or min(len(os.sched_getaffinity(0)), 4)
    torch.set_num_threads(threads)
    weights = _weights(args)
    config = engine_config(weights, args.size)
    size = (config.input_width, config.input_height)
    pair = textured_pair(size)
    present: dict[str, Engine] = {}
    rows: dict[str, dict[str, Any]] = {}
    absent: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="depth_motion_bench_") as folder:
        for name, create in _candidates(size, threads, Path(folder)).items():
            print(f"preparing {name}", file=sys.stderr)
            try:
                present[name], rows[name] = _prepare(create, weights, pair)
            except EngineError as error:
                absent[name] = str(error)
        _measure(present, rows, pair, args.steps, args.warmup)
        # After the steps: a swap leaves another engine's caches and clocks behind.
        for name, engine in present.items():
            rows[name]["swap_s"] = _seconds(partial(engine.load, weights))
            engine.close()
    work = work_of(config)
    for row in rows.values():
        _add_bound(row, work)
    result = {
        "architecture": config.architecture,
        "size": list(size),
        "weights": weights.version,
        "work": asdict(work),
        "engines": rows,
        "absent": absent,
    }
    device = "cuda" if torch.cuda.is_available() else "cpu"
    print(computer_text(computer(device)))
    print(text(result))
    write(args.json, result, device)
    return 0


def _candidates(
    size: tuple[int, int], threads: int, folder: Path
) -> dict[str, Callable[[Weights], Engine]]:
    def on_cuda(precision: str) -> Callable[[Weights], Engine]:
        return lambda weights: TorchEngine(
            weights, precision=precision, device="cuda", input_size=size
        )

    def tensorrt(precision: str) -> Callable[[Weights], Engine]:
        return lambda weights: TensorRTEngine(
            weights, precision=precision, input_size=size, cache_folder=folder
        )

    return {
        "torch cpu": lambda weights: TorchEngine(
            weights, device="cpu", input_size=size, threads=threads
        ),
        "onnxruntime": lambda weights: OnnxRuntimeEngine(
            weights, input_size=size, threads=threads, cache_folder=folder
        ),
        "openvino": lambda weights: OpenVinoEngine(
            weights, input_size=size, threads=threads, cache_folder=folder
        ),
        "torch cuda fp32": on_cuda("fp32"),
        "torch cuda fp16": on_cuda("fp16"),
        "tensorrt (experimental) fp32": tensorrt("fp32"),
        "tensorrt (experimental) fp16": tensorrt("fp16"),
    }


def _prepare(
    create: Callable[[Weights], Engine], weights: Weights, pair: Pair
) -> tuple[Engine, dict[str, Any]]:
    """First creation with nothing kept, second with what it kept, and the second's answer."""
    first: list[Engine] = []
    build_s = _seconds(lambda: first.append(create(weights)))
    first.pop().close()
    # What the first one leaves in PyTorch's cache would pass for the second's.
    torch.cuda.empty_cache()
    before = _memory()
    start_s = _seconds(lambda: first.append(create(weights)))
    engine = first.pop()
    previous, image = pair
    oracle = TorchEngine(weights, device="cpu", input_size=engine.input_size)
    depth = oracle.step(None, None, previous).depth
    got = engine.step(previous, depth, image)
    after = _memory()
    reference = oracle.step(previous, depth, image)
    parity = compare(reference, got)
    told = engine.describe()
    on_gpu = told.device != "cpu" and not told.device.startswith("cpu,")
    return engine, {
        **asdict(told),
        "on_gpu": on_gpu,
        "build_s": build_s,
        "start_s": start_s,
        "memory_bytes": after[on_gpu] - before[on_gpu],
        "depth_difference": float(np.median(np.abs(got.depth - reference.depth) / reference.depth)),
        "parity": parity.errors,
        "mask_flips": parity.mask_flips,
    }


def _measure(
    engines: dict[str, Engine],
    rows: dict[str, dict[str, Any]],
    pair: Pair,
    steps: int,
    warmup: int,
) -> None:
    """One step of each engine in turn, so that whatever else the machine does hits all alike."""
    previous, image = pair
    depth = {name: e.step(None, None, previous).depth for name, e in engines.items()}
    samples: dict[str, list[float]] = {name: [] for name in engines}
    for index in range(warmup + steps):
        for name, engine in engines.items():
            seconds = _seconds(partial(engine.step, previous, depth[name], image))
            if index >= warmup:
                samples[name].append(seconds)
    for name, taken in samples.items():
        rows[name].update(
            step_ms=percentiles([1e3 * sample for sample in taken], digits=4),
            steps_per_s=len(taken) / sum(taken),
            samples_ms=[round(1e3 * sample, 4) for sample in taken],
        )


def _add_bound(row: dict[str, Any], work: StepWork) -> None:
    half = row["precision"] == "fp16"
    machine = _machine("cuda" if row["on_gpu"] else "cpu", half)
    bound = machine.bound_s(work, torch.finfo(torch.float16 if half else torch.float32).bits // 8)
    row.update(
        peak_flops_per_s=machine.flops_per_s,
        peak_bytes_per_s=machine.bytes_per_s,
        bound_ms=bound * 1e3,
        share_of_bound=bound * 1e3 / row["step_ms"]["p50"],
    )


@cache
def _machine(device: str, half: bool) -> MachineRates:
    """Measured once a run."""
    return measure_machine(torch.device(device), torch.float16 if half else torch.float32)


def _memory() -> tuple[int, int]:
    """Bytes in use by this process, and on the current GPU (0 without one)."""
    used = 0
    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        used = total - free
    return resident_bytes(), used


def _seconds(action: Callable[[], object]) -> float:
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


def _weights(args: argparse.Namespace) -> Weights:
    if args.weights:
        return Weights.from_file(args.weights)
    torch.manual_seed(0)
    return weights_of(DepthMotionNet(NetworkConfig(args.architecture)), version="untrained")


def text(result: dict[str, Any]) -> str:
    """The table, what a step does, and the engines that are not here with the reason."""
    work, (width, height) = result["work"], result["size"]
    rows = [
        (
            name,
            row["runtime_version"],
            f"{row['step_ms']['p50']:.2f}",
            f"{row['step_ms']['p95']:.2f}",
            f"{row['steps_per_s']:.1f}",
            f"{row['memory_bytes'] / 1e6:.0f}",
            f"{row['build_s']:.2f}",
            f"{row['start_s']:.2f}",
            f"{row['swap_s']:.2f}",
            f"{row['depth_difference']:.1e}",
            f"{row['bound_ms']:.2f}",
            f"{row['share_of_bound']:.0%}",
        )
        for name, row in result["engines"].items()
    ]
    headings = (
        "engine", "version", "median ms", "p95 ms", "steps/s", "memory MB", "build s", "start s",
        "swap s", "depth err", "bound ms", "of bound",
    )  # fmt: skip
    return "\n".join(
        (
            f"{result['architecture']} {width}x{height}, weights {result['weights']}: "
            f"{work['flops'] / 1e9:.2f} GFLOP, {work['values'] / 1e6:.1f} M values a step",
            table(headings, rows),
            *(f"{name}: {reason}" for name, reason in result["absent"].items()),
            _NOTE,
        )
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Returns the exit status."""
    return run_command("python -m benchmarks.engine", __doc__, add_arguments, run, argv)


if __name__ == "__main__":
    sys.exit(main())
