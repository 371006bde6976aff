"""``depth_motion bench train``: image pairs per second of a full training step, and its parts."""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path
from typing import Any

HELP = "time a full training step, its parts, and the loader"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("--recipe", default="default", help="default, li2020, or a YAML file")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="change one value of the recipe; may be given several times",
    )
    parser.add_argument("--steps", type=int, default=20, help="measured steps")
    parser.add_argument("--warmup", type=int, default=3, help="steps before the measured ones")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument(
        "--precision", default="auto", choices=("auto", "32-true", "bf16-mixed"),
        help="auto: bf16-mixed on a GPU",
    )  # fmt: skip
    parser.add_argument("--compile", action="store_true", help="networks through torch.compile")
    parser.add_argument("--threads", type=int, help="of PyTorch on the CPU")
    parser.add_argument(
        "--data", nargs="+", default=[], metavar="SPEC", help="also time the loader on these"
    )
    parser.add_argument("--workers", type=int, default=2, help="loader processes")
    parser.add_argument("--json", type=Path, help="write all samples to this file")


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    import torch

    from depth_motion_ros.training.benchmark import TrainingStep, random_pairs
    from depth_motion_ros.training.recipe import load_recipe

    if args.threads is not None:
        torch.set_num_threads(args.threads)
    recipe = load_recipe(args.recipe).overridden(args.set)
    name = args.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    half = args.precision == "bf16-mixed" or (args.precision == "auto" and device.type == "cuda")
    step = TrainingStep(recipe, device, half, args.compile)
    times = step.measure(random_pairs(recipe), args.steps, args.warmup, _memory_of(device))
    batch = recipe.data.batch_size
    result: dict[str, Any] = {
        "machine": _machine(device),
        "architecture": recipe.network.architecture,
        "size": list(recipe.size_at(recipe.schedule.steps)),
        "batch_size": batch,
        "precision": "bf16-mixed" if half else "32-true",
        "compiled": args.compile,
        **times.summary(batch),
    }
    if args.data:
        result["loader_pairs_per_second"] = _loader_rate(args, recipe)
    _print(result)
    if args.json is not None:
        args.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


def _memory_of(device: Any) -> Any:
    import torch

    if device.type == "cuda":
        return lambda: int(torch.cuda.memory_allocated(device))
    return _resident


def _resident() -> int:
    """Resident bytes of this process, 0 where /proc does not say."""
    try:
        text = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return 0
    lines = [line for line in text.splitlines() if line.startswith("VmRSS:")]
    return int(lines[0].split()[1]) * 1024 if lines else 0


def _machine(device: Any) -> dict[str, Any]:
    import torch

    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {
        "processor": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "gpu": gpu,
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def _loader_rate(args: argparse.Namespace, recipe: Any) -> float:
    """Pairs per second the loader delivers when nothing else waits."""
    from depth_motion_ros.cli.training_data import open_frames
    from depth_motion_ros.training.data.pairs import (
        PairDataset,
        ResumableLoader,
        StepSampler,
        collate,
    )

    batch = recipe.data.batch_size
    groups = [(open_frames(spec), None) for spec in args.data]
    loader = ResumableLoader(
        PairDataset(groups, recipe, batch),
        batch_sampler=StepSampler(0, args.warmup + args.steps, range(batch)),
        collate_fn=collate,
        num_workers=args.workers,
    )
    start = time.perf_counter()
    for index, _ in enumerate(loader):
        if index + 1 == args.warmup:
            start = time.perf_counter()
    return args.steps * batch / (time.perf_counter() - start)


def _print(result: dict[str, Any]) -> None:
    width, height = result["size"]
    machine = result["machine"]
    print(
        f"{result['architecture']} {width}x{height}, batch {result['batch_size']}, "
        f"{result['precision']}{', compiled' if result['compiled'] else ''}, "
        f"{machine['gpu'] or machine['processor']}, {machine['threads']} threads"
    )
    step = result["step_s"]
    print(
        f"{result['pairs_per_second']:.1f} pairs/s; a step takes {1e3 * step['median']:.0f} ms "
        f"(p95 {1e3 * step['p95']:.0f} ms)"
    )
    total = sum(stage["median"] for stage in result["stage_s"].values())
    for name, stage in result["stage_s"].items():
        share = 100 * stage["median"] / total
        print(f"  {name:<18}{1e3 * stage['median']:8.1f} ms {share:5.1f} %")
    memory = result["memory_bytes"]
    print(
        f"memory {memory['first_step'] / 2**20:.0f} MiB after the first measured step, "
        f"{memory['last_step'] / 2**20:.0f} MiB after the last"
    )
    if "loader_pairs_per_second" in result:
        print(f"loader {result['loader_pairs_per_second']:.1f} pairs/s")
