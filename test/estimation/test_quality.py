from __future__ import annotations

import numpy as np
import pytest
from support.estimation_helpers import CAMERA, DEPTH, HEIGHT, STEP, WIDTH, wall

from depth_motion_ros.estimation.estimate import Scale
from depth_motion_ros.estimation.quality import (
    WarpErrors,
    metric_covariance,
    motion_covariance,
    texture,
    tracking_of,
    warp_errors,
)
from depth_motion_ros.estimation.settings import EstimatorSettings
from depth_motion_ros.geometry.camera import Camera

FLAT = np.full((HEIGHT, WIDTH), DEPTH, np.float32)
STILL = np.zeros((HEIGHT, WIDTH, 3), np.float32)


def errors_for(translation, *, shift=4, residual=STILL, depth=FLAT, rotation=None) -> WarpErrors:
    """The image has moved to the right by ``shift`` pixels."""
    rotation = np.eye(3) if rotation is None else rotation
    t = np.array(translation, float)
    return warp_errors(wall(shift), wall(0), depth, rotation, t, residual, CAMERA)


def test_the_true_motion_explains_the_image_and_none_does_not():
    errors = errors_for([-4 * STEP, 0, 0])
    # What is left is the wrap at the image's border and interpolation at half the size.
    assert errors.photometric_error < 0.1 * errors.identity_error
    # 4 of 128 columns came from outside.
    assert errors.valid_fraction == pytest.approx(1 - 4 / WIDTH, abs=0.02)
    none = errors_for([0, 0, 0])
    assert none.photometric_error == pytest.approx(none.identity_error, rel=1e-3)


def test_the_wrong_direction_is_worse_than_no_motion():
    errors = errors_for([4 * STEP, 0, 0])
    assert errors.photometric_error > 1.2 * errors.identity_error


def test_residual_motion_is_part_of_the_explanation():
    residual = STILL.copy()
    residual[..., 0] = -4 * STEP
    errors = errors_for([0, 0, 0], residual=residual)
    assert errors.photometric_error < 0.1 * errors.identity_error


def test_a_rotation_moves_the_image_too():
    # 4 pixels at a focal length of 100: X_prev = R X, and content has moved to the right.
    angle = -np.arctan(4 / 100)
    c, s = np.cos(angle), np.sin(angle)
    errors = errors_for([0, 0, 0], rotation=np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]))
    assert errors.photometric_error < 0.5 * errors.identity_error


def test_the_error_in_pixels_is_about_the_displacement_left_unexplained():
    # Half of a shift of 2 pixels is explained. Linearised brightness, so to a factor of 2.
    errors = errors_for([-1 * STEP, 0, 0], shift=2)
    assert 0.5 < errors.pixel_error < 2


def test_frames_without_overlap_are_compared_nowhere():
    errors = errors_for([100, 0, 0])
    assert errors.valid_fraction == 0
    assert np.isnan(errors.photometric_error)
    assert tracking_of(errors, EstimatorSettings())[0] == "lost"


def test_invalid_depth_is_left_out():
    depth = FLAT.copy()
    depth[: HEIGHT // 2] = np.nan
    assert errors_for([0, 0, 0], depth=depth).valid_fraction == pytest.approx(0.5, abs=0.02)


def judged(photometric, identity, valid=0.9, image_correlation=1.0, **how):
    return tracking_of(
        WarpErrors(photometric, identity, valid, 1.0, 1.0, image_correlation),
        EstimatorSettings(
            static_error=0.005,
            max_photometric_error=0.15,
            lost_ratio=1.1,
            min_valid=0.25,
            min_image_correlation=0.28,
        ),
        **how,
    )


@pytest.mark.parametrize(
    ("photometric", "identity", "valid", "tracking"),
    [
        (0.02, 0.05, 0.9, "ok"),
        (0.003, 0.003, 0.9, "static"),
        (0.05, 0.003, 0.9, "static"),
        # Slow, but the motion explains most of what little there is.
        (0.001, 0.003, 0.9, "ok"),
        (0.02, 0.05, 0.2, "lost"),
        (0.16, 0.3, 0.9, "lost"),
        (0.08, 0.05, 0.9, "lost"),
    ],
)
def test_tracking(photometric, identity, valid, tracking):
    verdict, reason = judged(photometric, identity, valid)
    assert verdict == tracking
    assert bool(reason) == (tracking != "ok")


def test_images_without_common_details_are_lost_however_small_their_difference():
    verdict, reason = judged(0.02, 0.05, image_correlation=0.1)
    assert verdict == "lost"
    assert "same place" in reason
    # Nothing but noise differs, and the noise of a camera at rest has nothing in common.
    assert judged(0.003, 0.003, image_correlation=0.0)[0] == "static"


def test_where_the_images_were_aligned_the_warp_error_is_not_the_motions_fault():
    assert judged(0.08, 0.05, is_aligned=False)[0] == "lost"
    assert judged(0.08, 0.05, is_aligned=True)[0] == "ok"


def image_correlation(shift, seed=0, step=0.0, light=1.0):
    now = (light * wall(shift, seed)).astype(np.uint8)
    return warp_errors(
        now, wall(0), FLAT, np.eye(3), np.array([step, 0, 0]), STILL, CAMERA
    ).image_correlation


def test_image_correlation_tells_another_place_from_the_same_one_elsewhere_in_the_image():
    # By the shift, without any motion: 3 pixels of the reduced image, which is half the size.
    assert image_correlation(0) == pytest.approx(1.0, abs=1e-3)
    assert image_correlation(6) > 0.9
    # By the motion, where the shift is too far: 20 of 128 pixels.
    assert image_correlation(20) < 0.5
    assert image_correlation(20, step=-20 * STEP) > 0.9
    # Half as bright, it is the same place; another wall is not.
    assert image_correlation(0, light=0.5) > 0.95
    assert max(image_correlation(0, seed) for seed in range(1, 6)) < 0.5


def covariance(**changes):
    values = {
        "pixel_error": 1.0,
        "camera": CAMERA,
        "median_depth": 10.0,
        "rotation": np.eye(3),
        "translation": np.zeros(3),
    }
    return motion_covariance(**{**values, **changes})


def test_an_unexplained_pixel_is_a_turn_of_one_over_f_or_a_step_at_the_median_depth():
    std = np.sqrt(np.diag(covariance()))
    np.testing.assert_allclose(std[:3], 10 / 100, rtol=1e-3)
    np.testing.assert_allclose(std[3:], 1 / 100, rtol=1e-3)


def test_worse_images_and_longer_steps_are_less_certain():
    def trace(**changes):
        return float(np.trace(covariance(**changes)))

    assert trace(pixel_error=2.0) > trace()
    assert trace(translation=np.array([1.0, 0, 0])) > trace()
    quarter_turn = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    assert trace(rotation=quarter_turn) > trace()


def test_a_perfect_match_is_never_certain():
    # Zero variances make filters fail.
    assert np.diag(covariance(pixel_error=0.0)).min() > 0


def test_an_uncertain_scale_is_uncertain_along_the_motion_only():
    step = np.array([0.0, 0, 1])
    known = metric_covariance(covariance(), step, Scale(2.0, "constant"))
    extra = metric_covariance(covariance(), step, Scale(2.0, "odometry", 0.04)) - known
    expected = np.zeros((6, 6))
    # 20 % of a step of two metres.
    expected[2, 2] = 0.4**2
    np.testing.assert_allclose(extra, expected, atol=1e-12)


def test_metres_multiply_the_translation_s_deviation_and_leave_the_rotation_s():
    metric = metric_covariance(covariance(), np.zeros(3), Scale(2.0, "constant"))
    ratio = np.sqrt(np.diag(metric) / np.diag(covariance()))
    np.testing.assert_allclose(ratio, [2, 2, 2, 1, 1, 1])


def test_texture_tells_a_scene_from_a_covered_lens():
    minimum = EstimatorSettings().min_texture
    noise = np.random.default_rng(0).normal(20, 2.5, (128, 416, 3))
    assert texture(np.clip(noise, 0, 255).astype(np.uint8)) < minimum < texture(wall())


def test_a_blank_wall_gives_numbers_and_no_confidence():
    blank = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    errors = warp_errors(blank, blank, FLAT, np.eye(3), np.zeros(3), STILL, CAMERA)
    assert errors.photometric_error == 0
    assert np.isfinite(errors.pixel_error)


def test_an_odd_engine_size_is_no_problem():
    camera = Camera(CAMERA.K, 97, 33)
    image = wall()[:33, :97]
    errors = warp_errors(
        image, image, FLAT[:33, :97], np.eye(3), np.zeros(3), STILL[:33, :97], camera
    )
    assert errors.photometric_error < 1e-3
