"""How far a lens polynomial holds, against the polynomial followed step by step."""

from __future__ import annotations

import numpy as np
import pytest

from depth_motion_ros.geometry.lens import fold

STEP = 1e-4
RADII = np.arange(0, 6, STEP)


def shown(model: str, d: np.ndarray, r: np.ndarray) -> np.ndarray:
    """Radius in the image of a ray at radius r, in focal lengths (OpenCV's definitions)."""
    if model == "equidistant":
        t = np.arctan(r)
        return t * (1 + d[0] * t**2 + d[1] * t**4 + d[2] * t**6 + d[3] * t**8)
    k1, k2, _, _, k3, k4, k5, k6 = np.pad(d, (0, 8))[:8]
    s = r * r
    return r * (1 + k1 * s + k2 * s**2 + k3 * s**3) / (1 + k4 * s + k5 * s**2 + k6 * s**3)


@pytest.mark.parametrize(
    ("model", "d"),
    [
        ("plumb_bob", [-0.28, 0.07, 0, 0, -0.0065]),
        ("plumb_bob", [-0.2, 0.01, 0, 0]),
        ("plumb_bob", [-0.35, 0.12, 1e-3, -1e-3, 0]),
        ("plumb_bob", [0.1, -0.05, 0, 0, 0]),
        ("plumb_bob", [0.1, 0.02, 0, 0, 0]),
        ("rational_polynomial", [0.3, 0.05, 0, 0, 0.01, 0.6, 0.1, 0.02]),
        ("rational_polynomial", [-0.2, 0.0, 0, 0, 0.0, 0.3, 0.2, 0.0]),
        ("equidistant", [-0.02, 0.005, -0.003, 0.001]),
        ("equidistant", [-0.2, 0.0, 0.0, 0.0]),
        ("equidistant", [0.05, -0.12, 0.0, 0.0]),
        ("equidistant", [0.0, 0.0, 0.0, 0.0]),
    ],
)
def test_the_fold_is_where_the_image_first_turns_back(model: str, d: list[float]) -> None:
    coefficients = np.array(d, float)
    radius, at = fold(model, coefficients)
    falling = np.nonzero(np.diff(shown(model, coefficients, RADII)) < 0)[0]
    if not len(falling):
        assert radius > RADII[-1]
        return
    # Found up to the step, and by the vanishing slope a little late.
    assert radius == pytest.approx(RADII[falling[0]], abs=2 * STEP)
    assert at == pytest.approx(shown(model, coefficients, np.array([radius]))[0], abs=1e-6)


def test_a_pole_ends_a_rational_lens() -> None:
    """1 - s/4 under the fraction: infinite at r = 2."""
    radius, at = fold("rational_polynomial", np.array([0, 0, 0, 0, 0, -0.25, 0, 0], float))
    assert radius == pytest.approx(2)
    assert at == np.inf
