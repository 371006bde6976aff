"""The estimator fed with what the simulator knows: conventions agree from end to end.

Frames are played backwards: the truth's motion is told on the pixels of a frame and in the axes of
the next one, which is what the residual field of the pair (frame, next frame) means.
"""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from support.estimation_helpers import SECOND, ScriptedEngine

from depth_motion_ros.estimation.estimator import Estimator
from depth_motion_ros.estimation.settings import EstimatorSettings
from depth_motion_ros.geometry import se3
from depth_motion_ros.sources.frame import Frame
from depth_motion_ros.sources.open import open_source

# Neither the size nor the aspect ratio of the simulated camera (480x360).
SIZE = (256, 128)
SKY = 1000.0
# A unit of length that is not the metre.
UNIT = 0.4
RATE = 15
FRAMES = 6


class TruthfulEngine(ScriptedEngine):
    """Answers what the simulator knows, in a unit of ``UNIT`` metres."""

    def know(self, frame: Frame, before: Frame | None) -> None:
        self.depth = _resized(np.nan_to_num(frame.truth.depth, nan=SKY)) / UNIT
        if before is None:
            return
        motion = se3.inverse(before.truth.pose) @ frame.truth.pose
        self.rotation = Rotation.from_matrix(motion[:3, :3]).as_euler("XYZ").astype(np.float32)
        self.translation = (motion[:3, 3] / UNIT).astype(np.float32)
        self.residual = _resized(np.nan_to_num(frame.truth.motion)) / UNIT


def _resized(array):
    nearest = cv2.resize(array, SIZE, interpolation=cv2.INTER_NEAREST)
    return nearest.astype(np.float32)


@pytest.fixture(scope="module")
def frames() -> list[Frame]:
    with open_source("sim:crowd") as source:
        return list(itertools.islice(source, FRAMES))[::-1]


@pytest.fixture(scope="module")
def played(frames):
    tilted = se3.transform(Rotation.from_euler("y", 10, degrees=True).as_matrix(), [0.3, -0.1, 0.8])
    mounting = tilted @ EstimatorSettings().base_from_camera
    engine = TruthfulEngine(SIZE)
    # Conventions are checked to the last digit: refinement would add what the images leave open.
    settings = EstimatorSettings(
        scale=UNIT,
        base_from_camera=mounting,
        object_flow_threshold=0.05,
        object_flow_ratio=0.02,
        refine=False,
        object_motion="network",
    )
    estimator = Estimator(engine, settings)
    estimates, before = [], None
    for index, frame in enumerate(frames):
        engine.know(frame, before)
        stamp = index * SECOND // RATE
        estimates.append(estimator.process(Frame(stamp, frame.image, frame.camera)))
        before = frame
    return estimator, estimates


def test_the_true_motion_explains_every_pair(played):
    _, estimates = played
    for estimate in estimates[1:]:
        assert estimate.quality.tracking == "ok", estimate.quality
        # Occlusions, shading and noise remain.
        assert estimate.quality.photometric_error < 0.6 * estimate.quality.identity_error


def test_the_base_goes_where_the_simulated_camera_took_it(played, frames):
    estimator, _ = played
    mounting = estimator.settings.base_from_camera
    travelled = se3.inverse(frames[0].truth.pose) @ frames[-1].truth.pose
    expected = mounting @ travelled @ se3.inverse(mounting)
    assert np.linalg.norm(expected[:3, 3]) > 0.05
    # float32 in the engine's interface, on steps of some centimetres.
    np.testing.assert_allclose(estimator.pose.pose, expected, atol=1e-5)


def test_people_move_at_their_speed_and_in_their_direction(played, frames):
    _, estimates = played
    for frame, before, estimate in zip(frames[1:], frames, estimates[1:], strict=False):
        # A world velocity, from positions in two cameras.
        motion = _resized(np.nan_to_num(frame.truth.motion))
        R_world = before.truth.pose[:3, :3]
        # Backwards in time: the thing comes from where the truth says it is going.
        in_world = -(motion @ R_world.T) * RATE
        expected = in_world @ frame.truth.pose[:3, :3]
        speed = np.linalg.norm(expected, axis=2)
        moving = speed > 0.5
        assert moving.mean() > 0.001
        np.testing.assert_allclose(estimate.object_flow[moving], expected[moving], atol=1e-3)
        assert estimate.quality.moving_fraction >= moving.mean()
        static = (speed == 0) & ~np.isnan(estimate.depth)
        assert not estimate.object_flow[static].any()


def test_the_sky_is_no_wall(played):
    _, estimates = played
    for estimate in estimates:
        assert np.nanmax(estimate.depth) <= 100.0
