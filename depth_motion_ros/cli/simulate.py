"""``depth_motion simulate``: a simulated scene becomes a sequence folder with exact truth."""

from __future__ import annotations

import argparse
import time

import numpy as np

PREVIEW, SHEET, SHOWN = "preview.mp4", "contact_sheet.png", 8
# Steps per metre of the stored depth: 16 bits reach 65 m in millimetres, or 256 m.
FINE, COARSE = 1000.0, 256.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("scene", metavar="SCENE", help="yard, drive, indoor, handheld or crowd")
    parser.add_argument("--out", required=True, help="folder to write; must not exist")
    parser.add_argument("--width", type=int, help="px; without it the scene's own")
    parser.add_argument("--height", type=int, help="px; without it the scene's own")
    parser.add_argument("--frames", type=int, help="number of frames; without it the scene's own")
    parser.add_argument("--seed", type=int, help="another scene of the same family")
    parser.add_argument("--rate", type=float, help="frames per second; without it the scene's own")
    parser.add_argument("--clean", action="store_true", help="no noise and no vignetting")
    parser.add_argument("--device", default="cpu", help="where to render: cpu or cuda")
    parser.add_argument("--image-format", choices=("jpg", "png"), default="jpg")


def run(args: argparse.Namespace) -> int:
    from depth_motion_ros.cli.simulate_pictures import Preview, contact_sheet, panels
    from depth_motion_ros.sources.sequence.writer import SequenceWriter
    from depth_motion_ros.sources.simulated import open_simulator

    source = open_simulator(
        f"sim:{args.scene.removeprefix('sim:')}",
        width=args.width,
        height=args.height,
        frames=args.frames,
        seed=args.seed,
        rate=args.rate,
        clean=args.clean,
        device=args.device,
    )
    count = source.scene.frames
    shown = set(np.linspace(0, count - 1, min(SHOWN, count)).astype(int).tolist())
    first = source.frame(0).truth
    if first is None or first.depth is None:
        raise ValueError("the simulator gave no truth")
    near, far = (float(x) for x in np.nanquantile(first.depth, (0.02, 0.98)))
    writer = SequenceWriter(
        args.out,
        depth_scale=FINE if source.scene.family == "indoor" else COARSE,
        rate=source.rate,
        image_format=args.image_format,
    )
    preview, sheet = Preview(source.scene.rate), []
    began = time.monotonic()
    try:
        for index, frame in enumerate(source):
            writer.write(frame)
            parts = panels(frame, near, far, fastest=2.0 / source.scene.rate)
            preview.add(parts)
            if index in shown:
                sheet.append(parts)
    except BaseException:
        writer.abandon()
        raise
    writer.close({PREVIEW: preview.finish(), SHEET: contact_sheet(sheet)})
    seconds = time.monotonic() - began
    print(f"{args.out}: {count} frames of {source.name} in {seconds:.1f} s; see {PREVIEW}, {SHEET}")
    return 0
