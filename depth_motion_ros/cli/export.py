"""``depth_motion export``: a weights file becomes one ONNX model."""

from __future__ import annotations

import argparse

from depth_motion_ros.engines.export import TOLERANCE, export_onnx
from depth_motion_ros.models.weights import Weights

HELP = "write the networks as an ONNX model, checked against PyTorch"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--weights", required=True, help="weights file (.safetensors)")
    parser.add_argument("--out", required=True, help="ONNX file to write")
    parser.add_argument(
        "--size",
        type=_size,
        metavar="WxH",
        help="input size in pixels, multiples of 32; without it the weights' own",
    )
    parser.add_argument(
        "--tolerance",
        type=float,
        default=TOLERANCE,
        help="largest relative difference to PyTorch that is accepted",
    )


def run(args: argparse.Namespace) -> int:
    weights = Weights.from_file(args.weights)
    report = export_onnx(weights, args.out, input_size=args.size, tolerance=args.tolerance)
    print(f"{report.path}: opset {report.opset}, {report.tensors} weights by name")
    print("largest difference between ONNX Runtime and PyTorch, relative to the largest value:")
    for name, error in report.parity.errors.items():
        print(f"  {name:<12}{error:.1e}")
    print(
        f"  pixels on the threshold of the motion mask that flipped: {report.parity.mask_flips:.2%}"
    )
    return 0


def _size(text: str) -> tuple[int, int]:
    width, x, height = text.partition("x")
    if not (x and width.isdigit() and height.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is no size such as 416x128")
    return int(width), int(height)
