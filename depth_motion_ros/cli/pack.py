"""``depth_motion pack``: weights as they are shipped: half precision, with release metadata."""

from __future__ import annotations

import argparse
from pathlib import Path

from depth_motion_ros.models.weights import Weights

_TEXTS = {
    "version": "name of the release",
    "trained-on": "everything that they and their parents were trained on",
    "licence": "terms of use",
    "unit": "metres per unit of length, if trained on exact ground truth",
    "depth-relative-std": "measured relative standard deviation of the depth error",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--weights", required=True, help="weights file of a training run")
    parser.add_argument("--out", type=Path, required=True, help="weights file to write")
    for name, text in _TEXTS.items():
        parser.add_argument(f"--{name}", help=f"{text}; without it as in the weights")


def run(args: argparse.Namespace) -> int:
    """Write the file, whole or not at all, and print what it says of itself."""
    weights = Weights.from_file(args.weights)
    keys = [name.replace("-", "_") for name in _TEXTS]
    given = {key: value for key in keys if (value := getattr(args, key)) is not None}
    packed = Weights(weights.tensors, {**weights.metadata, **given}).half()
    packed.to_file(args.out)
    for key, value in packed.metadata.items():
        print(f"{key}: {value.strip().splitlines()[0] if key == 'recipe' else value}")
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.1f} MB")
    return 0
