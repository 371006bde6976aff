"""``depth_motion bench simulate``: how fast the simulator draws."""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np

HELP = "frames a second that the simulator renders, one by one and in batches"

GOALS = {"cpu": ("one frame at a time", 20.0), "cuda": ("in batches", 2000.0)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, help="CPU threads; without it PyTorch's choice")
    parser.add_argument("--width", type=int, default=416)
    parser.add_argument("--height", type=int, default=128)
    parser.add_argument("--pairs", type=int, help="pairs in a batch (default: 8, on a GPU 128)")
    parser.add_argument("--seconds", type=float, default=4.0, help="for each measurement")
    parser.add_argument("--out", help="JSON file for the results")


def run(args: argparse.Namespace) -> int:
    import torch

    if args.threads:
        torch.set_num_threads(args.threads)
    device = torch.device(args.device)
    results: dict[str, Any] = {
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
            "threads": torch.get_num_threads(),
            "python": platform.python_version(),
            "torch": torch.__version__,
        },
        "size": [args.width, args.height],
        "one_by_one": _scenes(args, device),
        "batches": _batches(args, device),
    }
    kind, goal = GOALS[device.type]
    reached = results["batches"]["frames_per_second"]
    if device.type == "cpu":
        reached = min(r["frames_per_second"] for r in results["one_by_one"].values())
    results["goal"] = {"what": kind, "frames_per_second": goal, "reached": reached}
    _print(results)
    if args.out:
        Path(args.out).write_text(json.dumps(results, indent=1) + "\n")
    return 0


def _statistics(samples: list[float], frames: int) -> dict[str, float]:
    """Of seconds per repetition that drew ``frames`` frames each."""
    per_frame = np.array(samples) / frames
    return {
        "frames_per_second": float(1 / np.median(per_frame)),
        "median_ms": float(np.median(per_frame) * 1e3),
        "p95_ms": float(np.quantile(per_frame, 0.95) * 1e3),
        "samples": len(samples),
    }


def _scenes(args: argparse.Namespace, device: Any) -> dict[str, dict[str, float]]:
    """Every named scene: finished frames with truth, one at a time, as camera_node asks."""
    from depth_motion_ros.sources.simulated import SCENES, open_simulator

    results = {}
    for name in SCENES:
        source = open_simulator(f"sim:{name}", width=args.width, height=args.height, device=device)
        samples: list[float] = []
        frames, index = source.scene.frames, 0
        for _ in range(2):
            source.frame(0)
        end = time.monotonic() + args.seconds / len(SCENES)
        while time.monotonic() < end or len(samples) < 3:
            start = time.perf_counter()
            source.frame(index % frames)
            samples.append(time.perf_counter() - start)
            index += max(1, frames // 40)
        results[name] = _statistics(samples, 1)
    return results


def _batches(args: argparse.Namespace, device: Any) -> dict[str, float]:
    """Training pairs; a pair counts as two frames."""
    import torch

    from depth_motion_ros.simulator import PairSampler

    pairs = args.pairs or (128 if device.type == "cuda" else 8)
    sampler = PairSampler(args.width, args.height, device=device)
    for index in range(2):
        sampler.batch(pairs, index)
    samples: list[float] = []
    end = time.monotonic() + args.seconds
    while time.monotonic() < end or len(samples) < 3:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        start = time.perf_counter()
        sampler.batch(pairs, 2 + len(samples))
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        samples.append(time.perf_counter() - start)
    return {"pairs": float(pairs), **_statistics(samples, 2 * pairs)}


def _print(results: dict[str, Any]) -> None:
    machine, size, goal = results["machine"], results["size"], results["goal"]
    print(
        f"{machine['gpu'] or machine['processor']}, {machine['threads']} threads, "
        f"PyTorch {machine['torch']}, {size[0]}x{size[1]}"
    )
    rows = {f"sim:{name}": row for name, row in results["one_by_one"].items()}
    rows[f"batches of {results['batches']['pairs']:.0f} pairs"] = results["batches"]
    for name, row in rows.items():
        print(
            f"  {name:<22}{row['frames_per_second']:8.1f} frames/s   median "
            f"{row['median_ms']:.2f} ms, p95 {row['p95_ms']:.2f} ms a frame"
        )
    print(
        f"goal, {goal['what']}: {goal['frames_per_second']:.0f} frames/s, "
        f"reached {goal['reached']:.1f}"
    )
