"""Pictures of results: error panels, the trajectory from above, curves over frames.

Figures are made without pyplot: nothing is shown and no global state is touched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.evaluation.depth import MAX_DEPTH, MIN_DEPTH, ImageScore
from depth_motion_ros.evaluation.errors import EvaluationError
from depth_motion_ros.evaluation.evaluate import SequenceResult
from depth_motion_ros.evaluation.trajectory import TrajectoryResult
from depth_motion_ros.sources.frame import Frame

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_RELATIVE_ERROR_SHOWN = 0.5


def file_stem(name: str) -> str:
    """A sequence name as part of a file name: 'sim:street' becomes 'sim_street'."""
    return "".join(c if c.isalnum() or c in "-." else "_" for c in name)


class PanelWriter:
    """An observer of ``evaluate`` that writes NAME_depth_INDEX.png for a few frames.

    folder: made if missing. indices: for each, the first scored frame from there on is drawn.
    """

    def __init__(self, folder: Path, name: str, indices: Sequence[int]) -> None:
        self._folder = _made(folder)
        self._name = file_stem(name)
        self._pending = sorted(indices)

    def __call__(
        self, index: int, frame: Frame, depth: NDArray[np.float32], score: ImageScore
    ) -> None:
        due = [wanted for wanted in self._pending if wanted <= index]
        if due and frame.truth is not None and frame.truth.depth is not None:
            self._pending = self._pending[len(due) :]
            figure = depth_panels(frame.image, frame.truth.depth, depth, score)
            figure.savefig(self._folder / f"{self._name}_depth_{index:06d}.png")


def spread(length: int | None, count: int) -> list[int]:
    """``count`` indices spread evenly over ``length`` frames; the first ones if it is unknown."""
    if length is None or length <= count:
        return list(range(count if length is None else length))
    return [int(i) for i in (np.arange(count) + 0.5) * length / count]


def depth_panels(
    image: NDArray[np.uint8],
    truth: NDArray[np.float32],
    prediction: NDArray[np.float32],
    score: ImageScore,
) -> Figure:
    """Image, true depth, median-scaled prediction and relative error, one above the other.

    Depths share one logarithmic colour scale; unknown truth stays white.
    """
    from matplotlib.colors import LogNorm
    from matplotlib.ticker import LogLocator, ScalarFormatter

    scaled = np.clip(prediction * score.ratio, MIN_DEPTH, MAX_DEPTH)
    low, high = np.nanpercentile(truth, (1, 99))
    norm = LogNorm(max(float(low), MIN_DEPTH), max(float(high), 2 * MIN_DEPTH))
    height, width = truth.shape
    figure = _figure(8.0, 4 * (7.0 * height / width + 0.4))
    axes = figure.subplots(4, 1)
    axes[0].imshow(image)
    axes[0].set_title("image")
    for axis, depth, title in (
        (axes[1], truth, "true depth, m"),
        (axes[2], scaled, f"predicted × {score.ratio:.3g} (per-image median), m"),
    ):
        drawn = axis.imshow(depth, norm=norm, cmap="turbo_r", interpolation="nearest")
        axis.set_title(title)
        bar = figure.colorbar(drawn, ax=axis, ticks=LogLocator(subs=(1, 2, 3, 5)))
        bar.ax.yaxis.set_major_formatter(ScalarFormatter())
        bar.ax.minorticks_off()
    error = np.abs(scaled - truth) / truth
    drawn = axes[3].imshow(
        error, vmin=0, vmax=_RELATIVE_ERROR_SHOWN, cmap="magma", interpolation="nearest"
    )
    axes[3].set_title(
        f"relative error: AbsRel {score.scaled.abs_rel:.3f}, d1 {score.scaled.d1:.3f}"
    )
    figure.colorbar(drawn, ax=axes[3], extend="max")
    for axis in axes:
        axis.set_axis_off()
    return figure


def trajectory_plot(result: TrajectoryResult, title: str) -> Figure:
    """True and aligned estimated positions in the plane in which the true path extends most."""
    truth, aligned = result.truth[:, :3, 3], result.aligned[:, :3, 3]
    # Camera or world axes are not known to be level: the two principal axes of the path are.
    _, _, axes = np.linalg.svd(truth - truth.mean(axis=0), full_matrices=False)
    figure = _figure(6.0, 6.0)
    axis = figure.subplots()
    for points, label, style in ((truth, "true", "k-"), (aligned, "estimated, Sim(3)", "C1-")):
        plane = (points - truth.mean(axis=0)) @ axes[:2].T
        axis.plot(plane[:, 0], plane[:, 1], style, label=label)
        axis.plot(plane[0, 0], plane[0, 1], "o", color=style[:-1])
    ate = result.metrics["ate"]
    axis.set(title=f"{title}: ATE {ate:.3g} m", xlabel="m", ylabel="m")
    axis.set_aspect("equal", adjustable="datalim")
    axis.legend()
    return figure


def curves_plot(curves: Mapping[str, Sequence[float]], title: str) -> Figure:
    """One small plot for each quantity, over the scored frames or pairs."""
    if not curves:
        raise EvaluationError(f"{title}: no curves to draw")
    figure = _figure(8.0, 1.8 * len(curves))
    rows = figure.subplots(len(curves), 1, squeeze=False)[:, 0]
    for axis, (name, values) in zip(rows, curves.items(), strict=True):
        axis.plot(values, linewidth=1)
        axis.set_ylabel(name)
        axis.grid(alpha=0.3)
    rows[0].set_title(title)
    rows[-1].set_xlabel("scored frame or pair")
    return figure


def write_plots(folder: Path, result: SequenceResult) -> list[Path]:
    """Write NAME_trajectory.png and NAME_curves.png, as far as there is something to draw."""
    folder = _made(folder)
    figures = {}
    if result.trajectory is not None:
        figures["trajectory"] = trajectory_plot(result.trajectory, result.name)
    if result.curves:
        figures["curves"] = curves_plot(result.curves, result.name)
    paths = []
    for kind, figure in figures.items():
        paths.append(folder / f"{file_stem(result.name)}_{kind}.png")
        figure.savefig(paths[-1])
    return paths


def _figure(width: float, height: float) -> Figure:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise EvaluationError(
            f"plots need matplotlib ({error}): pip install matplotlib, or leave --plots out"
        ) from error
    return Figure(figsize=(width, height), dpi=100, layout="constrained")


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
