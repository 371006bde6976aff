"""``depth_motion train``: learn depth and motion from plain video, simulated scenes, or both."""

from __future__ import annotations

import argparse
import logging
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

_log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument(
        "sources",
        nargs="+",
        metavar="SOURCE[=WEIGHT]",
        help="prepared sets, sequence folders, other small sources, or sim:NAME; with a relative "
        "weight in the mixture",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for everything written")
    parser.add_argument("--recipe", default="default", help="default, li2020, or a YAML file")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="change one value of the recipe; may be given several times",
    )
    parser.add_argument("--steps", type=int, help="length of the run, in place of the recipe's")
    parser.add_argument(
        "--validation", nargs="+", default=[], metavar="SOURCE", help="to validate on"
    )
    parser.add_argument(
        "--validation-frames", type=int, default=50, help="frames looked at of each of them"
    )
    parser.add_argument("--weights", type=Path, help="weights file to start from")
    parser.add_argument(
        "--motion-weights", type=Path, help="weights file to start MotionNet from, if another"
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on from the newest checkpoint in --out"
    )
    parser.add_argument("--licence", default="as the training data's", help="of the weights")
    parser.add_argument("--devices", type=int, default=1, help="processes on each machine")
    parser.add_argument("--nodes", type=int, default=1, help="machines; start each with torchrun")
    parser.add_argument("--accelerator", default="auto", help="auto, cpu or gpu")
    parser.add_argument(
        "--precision", default="auto", help="auto (bf16-mixed on a GPU), 32-true or bf16-mixed"
    )
    parser.add_argument("--workers", type=int, default=2, help="loader processes of each device")
    parser.add_argument(
        "--frames",
        default="auto",
        choices=("auto", "loader", "device"),
        help="recorded frames: read by the loader processes, or kept on the training device; auto: "
        "on a GPU where they fit a quarter of its memory",
    )
    parser.add_argument(
        "--deterministic", action="store_true", help="deterministic kernels only, slower on a GPU"
    )
    parser.add_argument(
        "--fast-dev-run", action="store_true", help="one step of everything, to see that it works"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def run(args: argparse.Namespace) -> int:
    """Train, and say where the results lie."""
    try:
        from depth_motion_ros.training.run import RunOptions, train
    except ModuleNotFoundError as error:
        raise ImportError(
            f"training needs {error.name}, which is not installed: "
            "pip install 'depth_motion_ros[train]'"
        ) from error
    from depth_motion_ros.cli.training_data import training_data
    from depth_motion_ros.models.weights import Weights
    from depth_motion_ros.training.recipe import load_recipe
    from depth_motion_ros.training.run_folder import RunFolder

    _calm_lightning()
    try:
        recipe = load_recipe(args.recipe).overridden(args.set)
        if args.steps is not None:
            recipe = recipe.with_steps(args.steps)
        data = training_data(args.sources, recipe, args.validation, args.validation_frames)
    except KeyboardInterrupt:
        # From here on the run itself listens, and says it.
        _log.info("interrupted before the first step: nothing was kept")
        raise
    options = RunOptions(
        out=args.out,
        resume=args.resume,
        devices=args.devices,
        nodes=args.nodes,
        accelerator=args.accelerator,
        precision=args.precision,
        workers=args.workers,
        frames=args.frames,
        fast_dev_run=args.fast_dev_run,
        deterministic=args.deterministic,
        progress=not args.quiet,
        parent=args.weights and Weights.from_file(args.weights),
        motion_parent=args.motion_weights and Weights.from_file(args.motion_weights),
        licence=args.licence,
    )
    validator = _depth_validator(args.validation, args.validation_frames)
    weights = train(recipe, data, options, validator)
    if int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0"))) == 0:
        print(f"{weights}\n{RunFolder(weights.parent).report}")
    return 0


def _depth_validator(specs: list[str], frames: int) -> Callable[[Any], dict[str, float]] | None:
    """The evaluation's depth metrics on the validation sources that know their depth."""
    from depth_motion_ros.evaluation.validator import depth_validator
    from depth_motion_ros.sources.sequence.reader import is_sequence

    known = [s for s in specs if is_sequence(Path(s)) and (Path(s) / "depth").is_dir()]
    return depth_validator(known, limit=frames) if known else None


def _calm_lightning() -> None:
    """Silence what Lightning says about things that are as they should be here."""
    for message in (
        ".*in eval mode at the start of training",  # the averaged network
        ".*LeafSpec.* is deprecated",  # between Lightning and PyTorch
        ".*does not have many workers",
    ):
        warnings.filterwarnings("ignore", message)
