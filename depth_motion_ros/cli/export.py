"""``depth_motion export``: a weights file becomes an ONNX model, or this GPU's TensorRT engine."""

from __future__ import annotations

import argparse
import sys

import cv2
import numpy as np

from depth_motion_ros.cli.image_size import image_size
from depth_motion_ros.engines.inputs import engine_config
from depth_motion_ros.engines.interface import EngineError
from depth_motion_ros.engines.onnx.export import TOLERANCE, export_onnx
from depth_motion_ros.engines.parity import Pair
from depth_motion_ros.models.weights import Weights


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--weights", default="default", help="file, or default or free: those of the package"
    )
    parser.add_argument("--out", help="ONNX file to write")
    parser.add_argument(
        "--engine",
        action="store_true",
        help="build this GPU's TensorRT engine (experimental) where the node looks for it",
    )
    parser.add_argument(
        "--size",
        type=image_size,
        metavar="WxH",
        help="input size in pixels, multiples of 32; without it the weights' own",
    )
    parser.add_argument(
        "--tolerance",
        type=float,
        default=TOLERANCE,
        help="largest relative difference to PyTorch that is accepted of the ONNX model",
    )
    parser.add_argument("--precision", default="auto", help="of the engine: auto, fp16 or fp32")
    parser.add_argument("--device", default="auto", help="of the engine: auto, cuda or cuda:N")
    parser.add_argument(
        "--images",
        nargs=2,
        metavar=("OLDER", "NEWER"),
        help="two frames of your camera on which the engine is compared with PyTorch",
    )


def run(args: argparse.Namespace) -> int:
    if not (args.out or args.engine):
        raise EngineError("nothing to do: give --out FILE.onnx, --engine, or both")
    weights = Weights.from_file(args.weights)
    if args.out:
        _export(weights, args)
    if args.engine:
        _build(weights, args)
    return 0


def _export(weights: Weights, args: argparse.Namespace) -> None:
    report = export_onnx(weights, args.out, input_size=args.size, tolerance=args.tolerance)
    print(f"{report.path}: opset {report.opset}, {report.tensors} weights by name")
    print("largest difference between ONNX Runtime and PyTorch, relative to the largest value:")
    for name, error in report.parity.errors.items():
        print(f"  {name:<12}{error:.1e}")
    print(
        f"  pixels on the threshold of the motion mask that flipped: {report.parity.mask_flips:.2%}"
    )


def _build(weights: Weights, args: argparse.Namespace) -> None:
    from depth_motion_ros.engines.tensorrt.engine import TensorRTEngine

    config = engine_config(weights, args.size)
    size = (config.input_width, config.input_height)
    engine = TensorRTEngine(
        weights,
        precision=args.precision,
        device=args.device,
        input_size=size,
        pair=_pair(args.images, size) if args.images else None,
        progress=_show,
    )
    description = engine.describe()
    print(
        f"{engine.plan_path}: {description.runtime} {description.runtime_version}, "
        f"{description.precision}, {description.device}; against PyTorch: {engine.figures}"
    )
    engine.close()


def _show(done: float) -> None:
    print(f"\rbuilding {done:4.0%}", end="\n" if done >= 1 else "", file=sys.stderr, flush=True)


def _pair(paths: list[str], size: tuple[int, int]) -> Pair:
    older, newer = (_image(path, size) for path in paths)
    return older, newer


def _image(path: str, size: tuple[int, int]) -> np.ndarray:
    image = cv2.imread(path, cv2.IMREAD_COLOR)
    if image is None:
        raise EngineError(f"{path} is no image that can be read")
    image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
