"""The curves of what the learner gained and withstood."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

_SMOOTHED = 5


def write_plot(path: Path, results: Mapping[str, Mapping[str, Any]]) -> None:
    """One panel for each experiment, as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.0 * len(results), 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    panels = np.atleast_1d(figure.subplots(1, len(results), squeeze=True))
    for axes, (name, found) in zip(panels, results.items(), strict=True):
        axes.set_title(name)
        if "curve_seconds" in found:
            for key, label in (("curve_first", "as at the start"), ("curve_running", "adapting")):
                axes.plot(found["curve_seconds"], _smooth(found[key]), label=label)
            axes.set_xlabel("seconds of video")
        else:
            minutes = [row[0] for row in found["releases"]] + [found["minutes"]]
            for column, label in ((1, "usual video"), (2, "original domain")):
                values = [row[column] for row in found["releases"]]
                axes.step(minutes, [*values, values[-1]], where="post", label=label)
            axes.axvline(0, color="gray", linewidth=0.8)
            axes.set_xlabel("minutes of hostile video")
        axes.set_ylabel("AbsRel")
        axes.set_ylim(bottom=0)
        axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def _smooth(values: list[float]) -> np.ndarray:
    """Mean over five neighbours, fewer at the ends."""
    kernel = np.ones(min(_SMOOTHED, len(values)))
    return np.convolve(values, kernel, "same") / np.convolve(np.ones(len(values)), kernel, "same")
