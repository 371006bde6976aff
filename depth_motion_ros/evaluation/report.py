"""Results as text to read and as JSON for others to read."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from depth_motion_ros.sources.files import write_atomically

Results = Mapping[str, Mapping[str, Any]]

# Heading, metric key, format.
_Column = tuple[str, str, str]

_DEPTH: tuple[_Column, ...] = (
    ("images", "depth_images", "d"),
    ("AbsRel", "abs_rel", ".3f"),
    ("d<1.25", "d1", ".3f"),
    ("RMSE m", "rmse", ".2f"),
    ("RMSElog", "rmse_log", ".3f"),
    ("constant", "floor_constant_abs_rel", ".3f"),
    ("d<1.25", "floor_constant_d1", ".3f"),
    ("rows", "floor_row_abs_rel", ".3f"),
    ("d<1.25", "floor_row_d1", ".3f"),
    ("unscaled", "unscaled_abs_rel", ".3f"),
    ("d<1.25", "unscaled_d1", ".3f"),
    ("scale", "scale", ".3g"),
    ("± rel", "scale_std", ".3f"),
)
_NODE_DEPTH: tuple[_Column, ...] = (
    ("images", "node_depth_images", "d"),
    ("network", "abs_rel", ".3f"),
    ("node", "node_abs_rel", ".3f"),
    ("d<1.25", "node_d1", ".3f"),
    ("unscaled", "node_unscaled_abs_rel", ".3f"),
    ("sure", "node_sure", ".2f"),
    ("AbsRel sure", "node_sure_abs_rel", ".3f"),
    ("AUSE", "node_ause", ".2f"),
    ("valid", "node_coverage", ".3f"),
)
_TRAJECTORY: tuple[_Column, ...] = (
    ("path m", "path", ".1f"),
    ("t_err %", "t_err", ".2f"),
    ("r_err °/100m", "r_err", ".2f"),
    ("short t %", "t_err_short", ".2f"),
    ("short r", "r_err_short", ".2f"),
    ("drift %", "t_drift", ".2f"),
    ("straight %", "floor_straight_t_drift", ".2f"),
    ("ATE m", "ate", ".3f"),
    ("straight m", "floor_straight_ate", ".3f"),
    ("snippet m", "snippet_ate", ".4f"),
    ("straight m", "floor_straight_snippet_ate", ".4f"),
    ("scale", "track_scale", ".3g"),
)
_MOTION: tuple[_Column, ...] = (
    ("pairs", "motion_images", "d"),
    ("EPE m", "motion_epe", ".4f"),
    ("all still", "floor_still_motion_epe", ".4f"),
    ("static", "motion_epe_static", ".4f"),
    ("moving", "motion_epe_moving", ".4f"),
    ("IoU", "motion_iou", ".3f"),
    ("at m", "motion_threshold", ".3f"),
)
_NODE_MOTION: tuple[_Column, ...] = tuple(
    (heading, f"node_{key}", form) for heading, key, form in _MOTION[:-1]
)
_FOCAL: tuple[_Column, ...] = (
    ("error", "focal_error", ".3f"),
    ("fx", "focal_x", ".1f"),
    ("fy", "focal_y", ".1f"),
    ("± rel", "focal_std", ".3f"),
)
_SECTIONS = (
    (
        "Depth: per-image median scaling; baselines: constant depth, best fixed row profile",
        "abs_rel",
        _DEPTH,
    ),
    (
        "Depth as the node publishes it (depth_source), AbsRel; sure: share of the pixels with a "
        "std below 0.15",
        "node_abs_rel",
        _NODE_DEPTH,
    ),
    (
        "Trajectory: one scale per sequence; baseline: straight ahead at constant speed",
        "path",
        _TRAJECTORY,
    ),
    (
        "Motion of objects by the network's residual field, metres per frame; baseline: "
        "nothing moves",
        "motion_epe",
        _MOTION,
    ),
    (
        "Motion of objects as the node tells it (object_motion), metres per frame; floor as above",
        "node_motion_epe",
        _NODE_MOTION,
    ),
    ("Learned focal length, pixels", "focal_error", _FOCAL),
)


def table(results: Results) -> str:
    """The results as text, a section for each kind of truth; '-' where a metric is undefined."""
    parts = []
    for title, key, columns in _SECTIONS:
        rows = {name: metrics for name, metrics in results.items() if key in metrics}
        if rows:
            parts.append(f"{title}\n{_grid(rows, columns)}")
    return "\n\n".join(parts)


def _grid(rows: Results, columns: Sequence[_Column]) -> str:
    cells = [["sequence", *(heading for heading, _, _ in columns)]]
    for name, metrics in rows.items():
        cells.append([name, *(_cell(metrics.get(key), form) for _, key, form in columns)])
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in cells
    )


def _cell(value: Any, form: str) -> str:
    return "-" if value is None else format(value, form)


def write_json(path: str | os.PathLike[str], results: Results) -> None:
    """Sequence name → metric → value. The file appears whole or not at all; NaN and infinity,
    which JSON lacks, become null."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(_plain(results), indent=2, allow_nan=False) + "\n"
    write_atomically(path, text.encode())


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
