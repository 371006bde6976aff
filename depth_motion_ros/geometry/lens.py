"""Lens models: their many names, how many coefficients they take, how far they hold."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

PLUMB_BOB, RATIONAL, EQUIDISTANT = "plumb_bob", "rational_polynomial", "equidistant"
DISTORTION_MODELS = (PLUMB_BOB, RATIONAL, EQUIDISTANT)

# Names in lower case, without anything but letters and digits.
_NAMES = {
    PLUMB_BOB: ("plumbbob", "radtan", "radialtangential", "brown", "brownconrady", "opencv"),
    RATIONAL: ("rationalpolynomial", "rational", "fullopencv"),
    EQUIDISTANT: (
        *("equidistant", "equi", "equidistance", "fisheye", "opencvfisheye", "fisheyeopencv"),
        *("kannalabrandt", "kannalabrandt4", "kannalabrandt8", "kb", "kb4", "kb8"),
    ),
}
_CANONICAL = {name: model for model, names in _NAMES.items() for name in names}
_NO_LENS = ("", "none", "no", "nodistortion", "undistorted", "rectified", "pinhole", "perspective")
# Coefficient counts that OpenCV takes.
_COUNTS = {PLUMB_BOB: (4, 5), RATIONAL: (4, 5, 8, 12, 14), EQUIDISTANT: (4,)}


class CameraError(ValueError):
    """The intrinsics cannot describe a camera; the message says which value is wrong."""


def model_of_name(name: str) -> str | None:
    """The member of ``DISTORTION_MODELS`` that a writer calls ``name``; None for no lens at all.

    Raises CameraError for a name of neither.
    """
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    if plain in _NO_LENS:
        return None
    if plain not in _CANONICAL:
        raise CameraError(
            f"unknown distortion model {name!r}; known: plumb_bob (radtan), rational_polynomial, "
            "equidistant (fisheye, Kannala-Brandt)"
        )
    return _CANONICAL[plain]


def lens_of(name: str, coefficients: NDArray[np.float64]) -> tuple[str, NDArray[np.float64]]:
    """(member of ``DISTORTION_MODELS``, its coefficients) of what a writer calls ``name``.

    The polynomial models have no distortion where all coefficients are zero. The equidistant one
    is a lens even then: r = f theta is not the pinhole's r = f tan(theta).

    Raises CameraError for an unknown name, for coefficients without a name (4 of them may be of
    two models), and for a number of coefficients that the model does not take.
    """
    model = model_of_name(name)
    if model is None:
        if coefficients.any():
            raise CameraError(
                f"{coefficients.size} distortion coefficients, but the distortion model is "
                f"{name!r}: say which it is, {', '.join(DISTORTION_MODELS)}"
            )
        return PLUMB_BOB, coefficients
    if model == EQUIDISTANT and not coefficients.any():
        return model, np.zeros(4)
    if not coefficients.any():
        return model, coefficients
    most = max(_COUNTS[model])
    if not coefficients[most:].any():
        coefficients = coefficients[:most]
    elif model == PLUMB_BOB:
        # OpenCV and image_proc go by the number alone.
        model = RATIONAL
    counts = _COUNTS[model]
    if coefficients.size not in counts:
        raise CameraError(
            f"{model} takes {' or '.join(map(str, counts))} coefficients, got {coefficients.size}"
        )
    return model, coefficients


def fold(model: str, coefficients: NDArray[np.float64]) -> tuple[float, float]:
    """How far from the optical axis a lens polynomial holds: it must grow with the angle.

    Returns (radius hypot(x/z, y/z) of the ray at which it first falls or is infinite, radius at
    which the image shows that ray, in focal lengths); infinity twice where there is none.
    Tangential and thin prism terms are small, and left out.
    """
    if model == EQUIDISTANT:
        k1, k2, k3, k4 = coefficients
        # d/dt of t (1 + k1 t^2 + k2 t^4 + k3 t^6 + k4 t^8), a polynomial in t^2
        angle = float(np.sqrt(_first_root(np.array([9 * k4, 7 * k3, 5 * k2, 3 * k1, 1.0]))))
        if angle >= np.pi / 2:  # no pinhole sees as far
            return np.inf, np.inf
        shown = angle * float(np.polyval([k4, k3, k2, k1, 1.0], angle**2))
        return float(np.tan(angle)), shown
    k1, k2, _, _, k3, k4, k5, k6 = np.pad(coefficients, (0, 8))[:8]
    over, under = np.poly1d([k3, k2, k1, 1.0]), np.poly1d([k6, k5, k4, 1.0])
    # r over / under by r, times under^2, where s = r^2 and d/dr = 2 r d/ds
    s = np.poly1d([2.0, 0.0])
    slope = (over + s * over.deriv()) * under - s * over * under.deriv()
    pole = _first_root(under.coeffs)
    limit = _first_root(slope.coeffs)
    if pole <= limit:
        return float(np.sqrt(pole)), np.inf
    radius = float(np.sqrt(limit))
    return radius, radius * float(over(limit) / under(limit))


def _first_root(polynomial: NDArray[np.float64]) -> float:
    """The smallest positive real root; infinity where there is none."""
    roots = np.roots(polynomial)
    real = roots.real[(np.abs(roots.imag) < 1e-9 * np.maximum(1, np.abs(roots))) & (roots.real > 0)]
    return float(real.min()) if real.size else np.inf
