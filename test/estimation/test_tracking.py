from __future__ import annotations

import numpy as np
import pytest

from depth_motion_ros.estimation.estimate import Estimate, Motion, Quality, Scale
from depth_motion_ros.estimation.scene_flow.patches import moving_patches
from depth_motion_ros.estimation.scene_flow.tracking import ObjectTracker
from depth_motion_ros.geometry.camera import Camera

WIDTH, HEIGHT, FOCAL, DT = 416, 128, 250.0, 0.1
CAMERA = Camera(np.array([[FOCAL, 0, 207.5], [0, FOCAL, 63.5], [0, 0, 1]]), WIDTH, HEIGHT)
STILL = Motion(np.eye(3), np.zeros(3), np.eye(6) * 1e-6, DT)


def scene(things):
    """Depth and flow of boxes before a wall 20 m away. things: (x, z, velocity) of their middles;
    a box is 1 m wide and 2 m high."""
    depth = np.full((HEIGHT, WIDTH), 20.0, np.float32)
    flow = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    for x, z, velocity in things:
        left = round((x - 0.5) / z * FOCAL + CAMERA.cx)
        top = max(0, round(CAMERA.cy - FOCAL / z))
        window = np.s_[top : round(CAMERA.cy + FOCAL / z), left : left + round(FOCAL / z)]
        depth[window], flow[window] = z, velocity
    return depth, flow


def estimate(things, motion=STILL):
    depth, flow = scene(things)
    return Estimate(
        0,
        np.zeros((HEIGHT, WIDTH, 3), np.uint8),
        depth,
        np.full_like(depth, 0.1),
        motion,
        None if motion is None else flow,
        CAMERA,
        None,
        Scale(1.0, "constant"),
        Quality("ok"),
    )


def walk(tracker, frames, x=-1.0, z=8.0, velocity=(1.0, 0.0, 0.0), missing=()):
    told = []
    for index in range(frames):
        now = (x + velocity[0] * DT * index, z + velocity[2] * DT * index, velocity)
        told.append(tracker.update(estimate([] if index in missing else [now])))
    return told


def test_a_patch_says_where_how_large_and_how_fast():
    (patch,) = moving_patches(*scene([(1.0, 8.0, (1.0, 0.0, -0.5))]), CAMERA)
    # Rims are cut off, so positions and sizes are right to a few pixels of 3 cm.
    np.testing.assert_allclose(patch.position, [1.0, 0.0, 8.0], atol=0.1)
    np.testing.assert_allclose(patch.size, [1.0, 2.0, 0.0], atol=0.35)
    np.testing.assert_allclose(patch.velocity, [1.0, 0.0, -0.5], atol=1e-6)
    assert patch.box[0] == pytest.approx(0.5 / 8 * FOCAL + CAMERA.cx, abs=4)


def test_things_that_overlap_in_the_image_are_told_apart_by_depth():
    things = [(0.3, 10.0, (1.0, 0, 0)), (-0.2, 5.0, (-1.0, 0, 0))]
    patches = moving_patches(*scene(things), CAMERA)
    assert sorted(round(patch.position[2]) for patch in patches) == [5, 10]


def test_specks_and_unknown_depth_are_no_objects():
    depth, flow = scene([])
    flow[10:14, 10:14] = 1.0
    flow[50:90, 50:90] = 1.0
    depth[50:90, 50:90] = np.nan
    assert moving_patches(depth, flow, CAMERA) == []


def test_a_walker_is_told_from_the_third_frame_on_with_one_name():
    told = walk(ObjectTracker(), 10)
    assert [len(objects) for objects in told] == [0, 0] + [1] * 8
    assert len({objects[0].id for objects in told[2:]}) == 1
    last = told[-1][0]
    np.testing.assert_allclose(last.position, [-0.1, 0.0, 8.0], atol=0.15)
    np.testing.assert_allclose(last.velocity, [1.0, 0.0, 0.0], atol=0.1)
    assert last.age == 10
    assert np.linalg.eigvalsh(last.covariance).min() > 0


def test_a_missing_frame_or_two_do_not_make_it_flicker():
    told = walk(ObjectTracker(), 12, missing=(5, 8, 9))
    assert [len(objects) for objects in told[2:]] == [1] * 10
    assert len({objects[0].id for objects in told[2:]}) == 1
    # In between it goes on by itself.
    assert told[9][0].position[0] == pytest.approx(-0.1, abs=0.2)


def test_what_is_gone_is_forgotten():
    told = walk(ObjectTracker(), 9, missing=(5, 6, 7, 8))
    assert [len(objects) for objects in told[5:]] == [1, 1, 0, 0]


def test_still_things_that_flash_up_are_never_told():
    rng = np.random.default_rng(0)
    tracker = ObjectTracker()
    for _ in range(60):
        # A third of the frames, somewhere else and in another direction each time: noise.
        noise = (rng.uniform(-4, 4), 8.0, rng.normal(0, 1, 3))
        assert tracker.update(estimate([noise] if rng.random() < 0.33 else [])) == []


def test_a_walker_keeps_its_name_while_the_camera_moves():
    # The camera goes ahead at 5 m/s; the walker crosses in front of it.
    motion = Motion(np.eye(3), np.array([0.0, 0.0, 0.5]), np.eye(6) * 1e-6, DT)
    tracker, names = ObjectTracker(), []
    for index in range(8):
        thing = (-1.0 + DT * index, 14.0 - 0.5 * index, (1.0, 0.0, 0.0))
        objects = tracker.update(estimate([thing], motion))
        names += [found.id for found in objects]
        if index >= 2:
            np.testing.assert_allclose(objects[0].position[[0, 2]], thing[:2], atol=0.3)
    assert names == [names[0]] * 6


def test_while_lost_nothing_is_told():
    tracker = ObjectTracker()
    walk(tracker, 5)
    assert tracker.update(estimate([(0.0, 8.0, (1.0, 0, 0))], motion=None)) == []
