"""How many frames a second the simulator renders, one by one and in batches."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.report import computer, computer_text, table, write
from depth_motion_ros.cli.demo.statistics import percentiles
from depth_motion_ros.cli.main import run_command
from depth_motion_ros.simulator import PairSampler
from depth_motion_ros.sources.simulated import SCENES, open_simulator

GOALS = {"cpu": ("one frame at a time", 20.0), "cuda": ("in batches", 2000.0)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, help="CPU threads; without it PyTorch's choice")
    parser.add_argument("--width", type=int, default=416)
    parser.add_argument("--height", type=int, default=128)
    parser.add_argument("--pairs", type=int, help="pairs in a batch (default: 8, on a GPU 128)")
    parser.add_argument("--seconds", type=float, default=4.0, help="for each measurement")
    parser.add_argument("--json", type=Path, help="write the figures to this file")


def run(args: argparse.Namespace) -> int:
    if args.threads:
        torch.set_num_threads(args.threads)
    device = torch.device(args.device)
    scenes, batches = _scenes(args, device), _batches(args, device)
    kind, goal = GOALS[device.type]
    reached = batches["frames_per_second"]
    if device.type == "cpu":
        reached = min(row["frames_per_second"] for row in scenes.values())
    print(f"{computer_text(computer(device))}, {args.width}x{args.height}")
    rows = {f"sim:{name}": row for name, row in scenes.items()}
    rows[f"batches of {batches['pairs']:.0f} pairs"] = batches
    cells = [
        (name, *(f"{row[key]:.2f}" for key in ("frames_per_second", "p50", "p95")))
        for name, row in rows.items()
    ]
    print(table(("scene", "frames/s", "median ms", "p95 ms"), cells))
    print(f"goal, {kind}: {goal:.0f} frames/s, reached {reached:.1f}")
    content = {
        "size": [args.width, args.height],
        "one_by_one": scenes,
        "batches": batches,
        "goal": {"what": kind, "frames_per_second": goal, "reached": reached},
    }
    write(args.json, content, device)
    return 0


def _statistics(samples: list[float], frames: int) -> dict[str, float]:
    """Of seconds per repetition that drew ``frames`` frames each; ms of a frame."""
    per_frame = np.array(samples) / frames
    return {
        "frames_per_second": float(1 / np.median(per_frame)),
        **percentiles((1e3 * per_frame).tolist(), digits=4),
        "samples": len(samples),
    }


def _repeated(seconds: float, draw: Callable[[int], object], device: torch.device) -> list[float]:
    """Seconds of each repetition, at least three of them; the first two are not counted."""
    samples: list[float] = []
    for index in range(2):
        draw(index)
    end = time.monotonic() + seconds
    while time.monotonic() < end or len(samples) < 3:
        _synchronize(device)
        start = time.perf_counter()
        draw(2 + len(samples))
        _synchronize(device)
        samples.append(time.perf_counter() - start)
    return samples


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _scenes(args: argparse.Namespace, device: torch.device) -> dict[str, dict[str, float]]:
    """Every named scene: finished frames with truth, one at a time, as camera_node asks."""
    results = {}
    for name in SCENES:
        source = open_simulator(f"sim:{name}", width=args.width, height=args.height, device=device)
        frames = source.scene.frames
        stride = max(1, frames // 40)

        def draw(index: int, source: Any = source, frames: int = frames, by: int = stride) -> None:
            source.frame(index * by % frames)

        results[name] = _statistics(_repeated(args.seconds / len(SCENES), draw, device), 1)
    return results


def _batches(args: argparse.Namespace, device: torch.device) -> dict[str, float]:
    """Training pairs; a pair counts as two frames."""
    pairs = args.pairs or (128 if device.type == "cuda" else 8)
    sampler = PairSampler(args.width, args.height, device=device)
    samples = _repeated(args.seconds, lambda index: sampler.batch(pairs, index), device)
    return {"pairs": float(pairs), **_statistics(samples, 2 * pairs)}


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Returns the exit status."""
    return run_command("python -m benchmarks.simulate", __doc__, add_arguments, run, argv)


if __name__ == "__main__":
    sys.exit(main())
