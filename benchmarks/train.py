"""Image pairs per second of a full training step, its parts, and the loader."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.process import resident_bytes
from benchmarks.report import computer, computer_text, table, write
from benchmarks.training_step import TrainingStep, random_pairs
from depth_motion_ros.cli.main import run_command
from depth_motion_ros.cli.training_data import open_frames
from depth_motion_ros.training.data.pairs import PairDataset, ResumableLoader, StepSampler, collate
from depth_motion_ros.training.recipe import Recipe, load_recipe


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
        "sources", nargs="*", metavar="SOURCE", help="also time the loader on these"
    )
    parser.add_argument("--workers", type=int, default=2, help="loader processes")
    parser.add_argument("--json", type=Path, help="write all samples to this file")


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
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
        "architecture": recipe.network.architecture,
        "size": list(recipe.size_at(recipe.schedule.steps)),
        "batch_size": batch,
        "precision": "bf16-mixed" if half else "32-true",
        "compiled": args.compile,
        **times.summary(batch),
    }
    if args.sources:
        result["loader_pairs_per_second"] = _loader_rate(args, recipe)
    print(computer_text(computer(device)))
    print(text(result))
    write(args.json, result, device)
    return 0


def _memory_of(device: torch.device) -> Callable[[], int]:
    if device.type == "cuda":
        return lambda: int(torch.cuda.memory_allocated(device))
    return resident_bytes


def _loader_rate(args: argparse.Namespace, recipe: Recipe) -> float:
    """Pairs per second the loader delivers when nothing else waits."""
    batch = recipe.data.batch_size
    groups = [(open_frames(spec), None) for spec in args.sources]
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


def text(result: dict[str, Any]) -> str:
    """The whole step and its parts."""
    width, height = result["size"]
    total = sum(stage["p50"] for stage in result["stage_ms"].values())
    rows = [("whole step", result["step_ms"]["p50"], result["step_ms"]["p95"], "")]
    for name, stage in result["stage_ms"].items():
        rows.append((name, stage["p50"], stage["p95"], f"{stage['p50'] / total:.1%}"))
    memory = result["memory_bytes"]
    lines = [
        f"{result['architecture']} {width}x{height}, batch {result['batch_size']}, "
        f"{result['precision']}{', compiled' if result['compiled'] else ''}: "
        f"{result['pairs_per_second']:.1f} pairs/s",
        table(("ms", "median", "p95", "of the parts"), rows),
        f"memory {memory['first_step'] / 2**20:.0f} MiB after the first measured step, "
        f"{memory['last_step'] / 2**20:.0f} MiB after the last",
    ]
    if "loader_pairs_per_second" in result:
        lines.append(f"loader {result['loader_pairs_per_second']:.1f} pairs/s")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Returns the exit status."""
    return run_command("python -m benchmarks.train", __doc__, add_arguments, run, argv)


if __name__ == "__main__":
    sys.exit(main())
