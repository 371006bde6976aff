"""A size in pixels as it is written on the command line."""

from __future__ import annotations

import argparse


def image_size(text: str) -> tuple[int, int]:
    """``416x128`` → (416, 128). Raises argparse's error, which names the argument."""
    width, x, height = text.partition("x")
    if not (x and width.isdigit() and height.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is no size such as 416x128")
    return int(width), int(height)
