from __future__ import annotations

import numpy as np
import pytest

from depth_motion_ros.engines.acceptance import check_acceptable
from depth_motion_ros.engines.interface import EngineError, RawMotion, RawPrediction


def _prediction(depth_factor: float = 1.0, rotation_factor: float = 1.0, depth=None):
    base = np.linspace(1, 9, 24, dtype=np.float32).reshape(4, 6)
    motion = RawMotion(
        np.array([0.01, 0.02, 0.03], np.float32) * np.float32(rotation_factor),
        np.ones(3, np.float32),
        np.zeros((4, 6, 3), np.float32),
        np.eye(3, dtype=np.float32),
    )
    return RawPrediction(base * np.float32(depth_factor) if depth is None else depth, motion)


def test_the_figures_are_told():
    figures = check_acceptable(_prediction(), _prediction(1.005), "fp16", "tensorrt")
    assert "depth 0.50% (median)" in figures
    assert "rotation 0.00%" in figures


def test_the_same_difference_is_too_much_in_single_precision():
    with pytest.raises(EngineError, match=r"fp32 differs from PyTorch: depth 0\.50% \(median\)"):
        check_acceptable(_prediction(), _prediction(1.005), "fp32", "tensorrt")


def test_more_than_one_percent_of_depth_is_refused_in_half_precision():
    with pytest.raises(EngineError, match=r"depth 1\.10% \(median\).*allowed are 1\.0%"):
        check_acceptable(_prediction(), _prediction(1.011), "fp16", "tensorrt")


def test_a_few_wild_pixels_do_not_decide():
    depth = _prediction().depth.copy()
    depth[0] *= 2  # 6 of 24 pixels
    assert "depth 0.00%" in check_acceptable(
        _prediction(), _prediction(depth=depth), "fp16", "tensorrt"
    )


def test_a_stale_motion_is_refused_though_depth_is_right():
    with pytest.raises(EngineError, match=r"rotation 10\.00%"):
        check_acceptable(_prediction(), _prediction(rotation_factor=1.1), "fp16", "tensorrt")


def test_nan_is_refused():
    depth = np.full((4, 6), np.nan, np.float32)
    with pytest.raises(EngineError, match="nan"):
        check_acceptable(_prediction(), _prediction(depth=depth), "fp16", "tensorrt")


def test_a_camera_that_stands_still_is_no_reason_to_refuse():
    # 1e-6 rad against 2e-6 rad: a hundred percent of next to nothing.
    still, other = (_prediction(rotation_factor=factor) for factor in (1e-4, 2e-4))
    assert "rotation 0.03%" in check_acceptable(still, other, "fp32", "tensorrt")


def test_a_comparison_needs_motion():
    with pytest.raises(ValueError, match="run both on a pair"):
        check_acceptable(_prediction(), RawPrediction(_prediction().depth, None), "fp16", "x")
