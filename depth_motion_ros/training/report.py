"""The report of a run: one HTML file with curves, results and example predictions."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from depth_motion_ros.training.data.datamodule import PairData
from depth_motion_ros.training.data.pairs import Pairs, collate
from depth_motion_ros.training.module import DepthMotionModule
from depth_motion_ros.training.panels import ROWS, panel
from depth_motion_ros.training.predictions import images_of, predict

EXAMPLES = 4
_COLUMNS = 3

Curves = dict[str, tuple[NDArray[np.int64], NDArray[np.float64]]]


def write_report(
    path: Path,
    module: DepthMotionModule,
    loaders: PairData,
    curves: Path,
    results: Mapping[str, Mapping[str, float]],
) -> None:
    """Write the report of a finished run to ``path``. curves: its folder of TensorBoard events."""
    scalars = read_curves(curves)
    sections = [
        f"<h1>{html.escape(path.parent.resolve().name)}</h1>",
        "<h2>Results</h2>" + _table(results) if results else "",
        "<h2>Curves</h2>" + _picture(_plot(scalars)) if scalars else "",
    ]
    examples = _examples(loaders)
    if examples is not None:
        rows = ", ".join(ROWS)
        sections += [f"<h2>Examples</h2><p>From above: {rows}.</p>"]
        sections += [_picture(_predicted(module, examples))]
    sections += [f"<h2>Recipe</h2><pre>{html.escape(module.recipe.to_yaml())}</pre>"]
    style = "body{font-family:sans-serif;margin:2em}img{max-width:100%}td,th{padding:.2em .8em}"
    head = f"<!doctype html><meta charset='utf-8'><title>Training</title><style>{style}</style>"
    path.write_text(head + "\n".join(sections), encoding="utf-8")


def read_curves(folder: Path) -> Curves:
    """(steps, values) of every scalar in a folder of TensorBoard events, by name.

    Where a run was killed behind its last checkpoint and resumed, steps come twice: the later
    one is what the run went on with.
    """
    if not folder.is_dir():
        return {}
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}, purge_orphaned_data=False)
    events.Reload()
    curves = {}
    for name in events.Tags()["scalars"]:
        if name != "epoch":
            points = {event.step: event.value for event in events.Scalars(name)}
            steps = np.array(sorted(points))
            curves[name] = (steps, np.array([points[step] for step in steps]))
    return curves


def _examples(loaders: PairData) -> Pairs | None:
    """Pairs spread over the validation data, or over the first training pairs without any."""
    if len(loaders.validation):
        count = min(EXAMPLES, len(loaders.validation))
        picked = np.linspace(0, len(loaders.validation) - 1, count).astype(int)
        items = [loaders.validation[int(i)].pairs for i in picked]
        return collate([pairs.mapped(lambda tensor: tensor[0]) for pairs in items])
    if loaders.pairs is not None:
        return collate([loaders.pairs[(loaders.last_step, slot)] for slot in range(EXAMPLES)])
    return None


@torch.no_grad()
def _predicted(module: DepthMotionModule, pairs: Pairs) -> NDArray[np.uint8]:
    device = next(module.result.parameters()).device
    network = module.result.eval()
    image_1, image_2 = images_of(pairs.mapped(lambda tensor: tensor.to(device)))
    prediction = predict(network, image_1, image_2)
    return panel(image_1, image_2, prediction, prediction.K, EXAMPLES)


def _plot(curves: Curves) -> NDArray[np.uint8]:
    """Small multiples of all curves."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = -(-len(curves) // _COLUMNS)
    width, height = 13.0, 1.9 * rows  # inches
    figure = Figure(figsize=(width, height))
    # Fixed margins, in inches: to measure every label for a tight layout takes longer than to draw.
    figure.subplots_adjust(
        left=0.6 / width, right=1 - 0.1 / width, bottom=0.25 / height, top=1 - 0.25 / height,
        wspace=0.2, hspace=0.45,
    )  # fmt: skip
    canvas = FigureCanvasAgg(figure)
    for axes, (name, (steps, values)) in zip(
        np.ravel(figure.subplots(rows, _COLUMNS, squeeze=False)), sorted(curves.items()),
        strict=False,
    ):  # fmt: skip
        axes.plot(steps, values, linewidth=0.8)
        axes.set_title(name, fontsize=8)
        axes.tick_params(labelsize=6)
        axes.locator_params(nbins=4)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba(), dtype=np.uint8)[:, :, :3]


def _picture(image: NDArray[np.uint8]) -> str:
    encoded, data = cv2.imencode(".png", np.ascontiguousarray(image[:, :, ::-1]))
    assert encoded
    return f"<img src='data:image/png;base64,{base64.b64encode(data.tobytes()).decode()}'>"


def _table(results: Mapping[str, Mapping[str, float]]) -> str:
    metrics = sorted({metric for values in results.values() for metric in values})
    head = "".join(f"<th>{html.escape(metric)}</th>" for metric in metrics)
    body = ""
    for name, values in sorted(results.items()):
        cells = "".join(
            f"<td>{values[m]:.4g}</td>" if m in values else "<td></td>" for m in metrics
        )
        body += f"<tr><td>{html.escape(name)}</td>{cells}</tr>"
    return f"<table><tr><th></th>{head}</tr>{body}</table>"
