"""Whether the estimated motion explains the images, and its covariance."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.estimation.estimate import Scale
from depth_motion_ros.estimation.settings import EstimatorSettings
from depth_motion_ros.geometry.camera import Camera
from depth_motion_ros.geometry.rays import rays

# Half the network's size: a quarter of the cost, and less sensor noise.
_REDUCTION_FACTOR = 2
_TEXTURE_REDUCTION_FACTOR = 8
# A smaller mean gradient (intensity, 0 to 1) is noise: such an image cannot show motion.
_MIN_GRADIENT_PER_PX = 2e-3
# Least errors of any estimate of one frame.
_MIN_TRANSLATION_STD_M = 1e-3
_MIN_ROTATION_STD_RAD = 1e-4
# Interpolating between noisy pixels lowers their noise: a meaningless shift by half a pixel in x
# and y leaves sqrt((1 + 1/4) / 2) = 0.79 of the difference. Only a smaller ratio explains it.
_EXPLAINED_ERROR_RATIO = 0.79
# The correlation uses an image of this many pixels, in which an error of some pixels does not
# matter. Shifts of the whole image by up to this many of its pixels are tried, too.
_CORRELATION_PIXELS = 104 * 32
_CORRELATION_SHIFT_PX = 3
# The blurred image is subtracted, so that detail remains: sky above and road below look alike
# everywhere.
_CORRELATION_BLUR_SIGMA_PX = 2.0
# Error of a learned motion, relative to its length, that the images do not show.
_MOTION_RELATIVE_STD = 0.05


@dataclass(frozen=True)
class WarpErrors:
    """Comparison of two images by a motion.

    photometric_error: see ``Quality``.
    identity_error: see ``Quality``.
    valid_fraction: see ``Quality``.
    pixel_error: ``photometric_error`` as displacement in pixels: divided by the mean gradient.
    identity_pixel_error: ``identity_error`` as displacement in pixels.
    image_correlation: of the images' details, in [-1, 1]; the best of the motion, no motion, and
        shifts of the whole image. It shows whether both images are of the same place.
    """

    photometric_error: float
    identity_error: float
    valid_fraction: float
    pixel_error: float
    identity_pixel_error: float
    image_correlation: float


def warp_errors(
    image: NDArray[np.uint8],
    previous_image: NDArray[np.uint8],
    depth: NDArray[np.float32],
    rotation: NDArray[np.float64],
    translation: NDArray[np.float64],
    residual: NDArray[np.float32],
    camera: Camera,
) -> WarpErrors:
    """Warp the previous image by the motion, and compare.

    Images (H, W, 3) uint8 RGB; depth (H, W), translation (3,) and residual (H, W, 3) in one and
    the same unit; rotation (3, 3); camera of the image. Where nothing can be compared
    photometric_error is NaN and identity_error is that of the whole image.
    """
    width, height = camera.width // _REDUCTION_FACTOR, camera.height // _REDUCTION_FACTOR
    small = camera.resized(width, height)
    grey, previous_grey = (
        _small_grey(image, width, height),
        _small_grey(previous_image, width, height),
    )
    z = _shrunk(depth, width, height)
    ray_x, ray_y = rays(small)
    points = cv2.merge((ray_x * z, ray_y * z, z))
    # Rows of (K R | K t): straight from points to homogeneous pixels.
    projection = small.K @ np.column_stack((rotation, translation))
    pixels = np.asarray(cv2.transform(points, projection))
    if residual.any():
        pixels += np.asarray(cv2.transform(_shrunk(residual, width, height), small.K))
    x, y, w = (np.asarray(channel, np.float32) for channel in cv2.split(pixels))
    with np.errstate(divide="ignore", invalid="ignore"):
        u, v = np.asarray(x / w, np.float32), np.asarray(y / w, np.float32)
    valid = (w > 0) & (u >= 0) & (u <= width - 1) & (v >= 0) & (v <= height - 1)
    identity = cv2.absdiff(previous_grey, grey)
    gradient = max(_mean_gradient(grey), _MIN_GRADIENT_PER_PX)
    count = int(np.count_nonzero(valid))
    if count == 0:
        whole = float(identity.mean())
        nan = float("nan")
        like = _image_correlation(grey, previous_grey)
        return WarpErrors(nan, whole, 0.0, nan, _REDUCTION_FACTOR * whole / gradient, like)
    # OpenCV does not define the result for NaN coordinates.
    u[~valid] = v[~valid] = 0
    remapped = cv2.remap(previous_grey, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    warped = np.asarray(remapped, np.float32)
    mask = valid.view(np.uint8)
    photometric_error = cv2.mean(cv2.absdiff(warped, grey), mask)[0]
    identity_error = cv2.mean(identity, mask)[0]
    return WarpErrors(
        photometric_error,
        identity_error,
        count / valid.size,
        _REDUCTION_FACTOR * photometric_error / gradient,
        _REDUCTION_FACTOR * identity_error / gradient,
        _image_correlation(grey, previous_grey, warped, valid),
    )


def _image_correlation(
    grey: NDArray[np.float32],
    previous: NDArray[np.float32],
    warped: NDArray[np.float32] | None = None,
    valid: NDArray[np.bool_] | None = None,
) -> float:
    """See ``WarpErrors``. warped: the previous image warped by the motion, where valid."""
    height, width = grey.shape
    shrink = max(1, round((width * height / _CORRELATION_PIXELS) ** 0.5))
    size = max(8, width // shrink), max(8, height // shrink)
    details, before = _details(grey, size), _details(previous, size)
    r = _CORRELATION_SHIFT_PX
    middle = np.ascontiguousarray(details[r:-r, r:-r])
    image_correlation = float(cv2.matchTemplate(before, middle, cv2.TM_CCORR_NORMED).max())
    if warped is None or valid is None:
        return image_correlation
    # Invalid pixels are filled from the other image, so that they make no edge; they do not count.
    after = _details(np.where(valid, warped, grey), size)
    counts = _shrunk(valid.astype(np.float32), *size) > 0.5
    here, there = details[counts], after[counts]
    norm = float(np.sqrt((here @ here) * (there @ there)))
    return max(image_correlation, float(here @ there) / norm) if norm > 0 else image_correlation


def _details(grey: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    small = _shrunk(grey, *size)
    return np.asarray(
        small - cv2.GaussianBlur(small, (0, 0), _CORRELATION_BLUR_SIGMA_PX), np.float32
    )


def tracking_of(
    errors: WarpErrors, settings: EstimatorSettings, *, is_aligned: bool = False
) -> tuple[str, str]:
    """(tracking, reason): ``ok``, ``static`` or ``lost``, and why it is not ``ok``.

    is_aligned: the motion was refined on the images. If it then explains them worse than no motion
    does, depth or the residual motion field is wrong.

    Static has two conditions: the images hardly differ, and the estimated motion does not explain
    the difference. The first alone would suppress slow motion.
    The thresholds are heuristics: see their descriptions in EstimatorSettings.
    """
    photometric, identity = errors.photometric_error, errors.identity_error
    if identity < settings.static_error and not photometric < _EXPLAINED_ERROR_RATIO * identity:
        return "static", f"the images differ by only {identity:.4f}, which no motion explains"
    if errors.valid_fraction < settings.min_valid:
        return "lost", f"the frames overlap by only {errors.valid_fraction:.0%} of the image"
    if errors.image_correlation < settings.min_image_correlation:
        return "lost", (
            f"the two images do not show the same place: correlation of their details "
            f"{errors.image_correlation:.2f}, below {settings.min_image_correlation:g}"
        )
    if photometric > settings.max_photometric_error:
        return (
            "lost",
            f"photometric error {photometric:.3f} exceeds {settings.max_photometric_error:g}",
        )
    if not is_aligned and photometric > settings.lost_ratio * max(identity, settings.static_error):
        return "lost", f"photometric error {photometric:.3f}, without any motion {identity:.3f}"
    return "ok", ""


def motion_covariance(
    pixel_error: float,
    camera: Camera,
    median_depth: float,
    rotation: NDArray[np.float64],
    translation: NDArray[np.float64],
) -> NDArray[np.float64]:
    """(6, 6), translation before rotation (rad²), of a motion that was not aligned. A heuristic.

    A residual image displacement e is a rotation by e/f, or a translation by e·Z/f at the median
    depth Z. The error of a network is common to all pixels, so it is not divided by their number.
    Added are a share of the motion itself, since depth and motion may be wrong by the same factor,
    and a constant. Rotation and translation are taken as independent, although a small rotation
    looks like a small sideways translation.

    pixel_error: pixels. median_depth and translation (3,): of one unit of length.
    """
    focal = 0.5 * (camera.fx + camera.fy)
    angle = float(np.arccos(np.clip(0.5 * (np.trace(rotation) - 1), -1, 1)))
    step = float(np.linalg.norm(translation))
    rotation_variance = (
        _MIN_ROTATION_STD_RAD**2 + (_MOTION_RELATIVE_STD * angle) ** 2 + (pixel_error / focal) ** 2
    )
    translation_variance = (
        _MIN_TRANSLATION_STD_M**2
        + (_MOTION_RELATIVE_STD * step) ** 2
        + (pixel_error * median_depth / focal) ** 2
    )
    return np.diag([translation_variance] * 3 + [rotation_variance] * 3)


def metric_covariance(
    covariance: NDArray[np.float64], translation: NDArray[np.float64], scale: Scale
) -> NDArray[np.float64]:
    """A motion's covariance (6, 6) from network units to metres.

    covariance, translation (3,): in network units. The variance of the scale acts along the
    translation; an unknown variance is left out.
    """
    factor = np.array([scale.value] * 3 + [1.0] * 3)
    metric = covariance * np.outer(factor, factor)
    if np.isfinite(scale.variance):
        step = translation * scale.value
        metric[:3, :3] += scale.variance * np.outer(step, step)
    return metric


def texture(image: NDArray[np.uint8]) -> float:
    """Mean gradient per pixel of the image at an eighth of its size, intensity in [0, 1].

    At this size there is hardly any noise: gradients are real.
    """
    width, height = (max(2, length // _TEXTURE_REDUCTION_FACTOR) for length in image.shape[1::-1])
    return _mean_gradient(_small_grey(image, width, height))


def _small_grey(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.float32]:
    grey = _shrunk(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), width, height)
    return np.multiply(grey, np.float32(1 / 255), dtype=np.float32)


def _shrunk(image: NDArray, width: int, height: int) -> NDArray:
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA))


def _mean_gradient(grey: NDArray[np.float32]) -> float:
    """Mean absolute difference of neighbours, intensity per pixel of this image."""
    return 0.5 * (
        cv2.norm(grey[:, 1:], grey[:, :-1], cv2.NORM_L1) / grey[:, 1:].size
        + cv2.norm(grey[1:], grey[:-1], cv2.NORM_L1) / grey[1:].size
    )
