"""Agreement with numbers that the authors' implementation produced.

The folder of *.npz comes from the environment variable DEPTH_MOTION_REFERENCE. Layout there is
(B, H, W, C). Values agree to 1e-4 and gradients to 1e-3, relative to the largest entry of an array:
both sides are float32, and single small entries of either are no better than that.
"""

from __future__ import annotations

import math
import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from depth_motion_ros.geometry.rotation import euler_to_matrix
from depth_motion_ros.geometry.warp import sample, transform_depth
from depth_motion_ros.losses import regularisers
from depth_motion_ros.losses.consistency import (
    rgbd_consistency,
    rotation_cycle_error,
    translation_cycle_error,
)
from depth_motion_ros.losses.objective import TERMS, LossWeights, Objective
from depth_motion_ros.losses.photometric import weighted_ssim
from depth_motion_ros.models.motion_net import MotionPrediction
from depth_motion_ros.models.network import PairPrediction

DEFAULT_FOLDER = Path(__file__).resolve().parents[3] / "shared" / "reference"
FOLDER = Path(os.environ.get("DEPTH_MOTION_REFERENCE", DEFAULT_FOLDER))
FILES = sorted(FOLDER.glob("*.npz"))
VALUE, GRADIENT = 1e-4, 1e-3

# Our names of the terms, and theirs.
AUTHORS_TERM = {
    "rgb": "rgb_consistency",
    "ssim": "ssim",
    "depth_consistency": "depth_consistency",
    "depth_smoothness": "depth_smoothing",
    "rotation_cycle": "rotation_cycle_consistency",
    "translation_cycle": "translation_cycle_consistency",
    "motion_smoothness": "motion_smoothing",
    "motion_sparsity": "motion_drift",
    "depth_variance": "depth_variance",
}

pytestmark = pytest.mark.skipif(
    not FILES,
    reason=f"no *.npz in {FOLDER}; set DEPTH_MOTION_REFERENCE to the folder of reference numbers",
)


@pytest.fixture(params=FILES or [Path("none.npz")], ids=lambda path: path.stem)
def reference(request):
    with np.load(request.param, allow_pickle=False) as arrays:
        return dict(arrays)


def _channels_first(array):
    return torch.tensor(np.moveaxis(array, -1, 1)).contiguous()


def _inputs(reference, frame):
    """(image, depth, rotation matrix, camera translation (B, 3), residual) of frame 1 or 2."""
    return (
        _channels_first(reference[f"in_rgb_{frame}"]),
        _channels_first(reference[f"in_depth_{frame}"]),
        euler_to_matrix(torch.tensor(reference[f"in_rot_{frame}"])),
        torch.tensor(reference[f"in_bg_{frame}"][:, 0, 0]),
        _channels_first(reference[f"in_res_{frame}"]),
    )


def _whole_translation(camera, residual):
    return camera[:, :, None, None] + residual


def _warp(reference):
    _, depth, rotation, camera, residual = _inputs(reference, 1)
    K = torch.tensor(reference["in_intrinsics"])
    return transform_depth(depth, rotation, _whole_translation(camera, residual), K)


def _rgbd(reference):
    warp = _warp(reference)
    image_2, depth_2 = _inputs(reference, 2)[:2]
    return rgbd_consistency(_inputs(reference, 1)[0], image_2, warp, sample(depth_2, warp.pixel_xy))


def _assert_agrees(found, expected, tolerance=VALUE):
    found = found.detach().numpy()
    assert found.shape == expected.shape
    error = np.abs(found.astype(np.float64) - expected).max()
    assert error <= tolerance * np.abs(expected).max(), f"off by {error}"


def _channels_last(tensor):
    return tensor.movedim(1, -1)


@pytest.mark.parametrize("name", ["rotation_matrix_1", "rotation_matrix_1_unstacked"])
def test_rotation_matrix(reference, name):
    if name not in reference:
        pytest.skip(f"this file has no {name}")
    _assert_agrees(_inputs(reference, 1)[2], reference[name])


def test_warp(reference):
    warp = _warp(reference)
    _assert_agrees(warp.pixel_xy[:, 0], reference["warp_pixel_x"])
    _assert_agrees(warp.pixel_xy[:, 1], reference["warp_pixel_y"])
    _assert_agrees(warp.depth[:, 0], reference["warp_depth"])
    np.testing.assert_array_equal(warp.valid[:, 0].numpy(), reference["warp_mask"] > 0)


def test_rgbd_consistency(reference):
    rgbd = _rgbd(reference)
    _assert_agrees(rgbd.rgb_error, reference["rgbd_rgb_error"])
    _assert_agrees(rgbd.ssim_error, reference["rgbd_ssim_error"])
    _assert_agrees(rgbd.depth_difference, reference["rgbd_depth_error"])
    _assert_agrees(rgbd.proximity_weight[:, 0], reference["rgbd_depth_proximity_weight"])
    closer = reference["rgbd_frame1_closer_to_camera"] > 0
    np.testing.assert_array_equal(rgbd.closer[:, 0].numpy(), closer)


def test_motion_cycle(reference):
    _, _, rotation_12, camera_1, residual_1 = _inputs(reference, 1)
    _, _, rotation_21, camera_2, residual_2 = _inputs(reference, 2)
    there = _whole_translation(camera_1, residual_1)
    back = sample(_whole_translation(camera_2, residual_2), _warp(reference).pixel_xy)
    error = rotation_cycle_error(rotation_12, rotation_21)
    _assert_agrees(error, reference["cycle_rotation_error"])
    error = translation_cycle_error(rotation_12, there, back, _rgbd(reference).closer)
    _assert_agrees(error, reference["cycle_translation_error"])


def test_weighted_ssim(reference):
    images = [_inputs(reference, frame)[0] for frame in (1, 2)]
    weight = images[0].mean(dim=1, keepdim=True)
    loss, pooled_weight = weighted_ssim(*images, weight, c1=math.inf, c2=9e-6)
    _assert_agrees(_channels_last(loss), reference["ssim_map"])
    _assert_agrees(_channels_last(pooled_weight), reference["ssim_weight"])
    loss, _ = weighted_ssim(*images, weight)
    _assert_agrees(_channels_last(loss), reference["ssim_default_map"])


def test_depth_smoothness(reference):
    image, depth = _inputs(reference, 1)[:2]
    _assert_agrees(regularisers.depth_smoothness(depth, image), reference["smooth_disp"])


def test_motion_regularisers(reference):
    camera, residual = _inputs(reference, 1)[3:]
    motion = regularisers.normalised_motion(residual, _whole_translation(camera, residual))
    _assert_agrees(_channels_last(motion), reference["normalized_motion"])
    smoothness = regularisers.motion_smoothness(motion, wrap=True)
    _assert_agrees(smoothness, reference["motion_l1smooth_wrap"])
    smoothness = regularisers.motion_smoothness(motion, wrap=False)
    _assert_agrees(smoothness, reference["motion_l1smooth_nowrap"])
    sparsity = regularisers.motion_sparsity(motion)
    _assert_agrees(sparsity, reference["motion_sqrt_sparsity"])


@pytest.mark.parametrize("prefix", ["total", "total_scalenorm"])
def test_objective_and_its_gradients(reference, prefix):
    image_1, depth_1, _, camera_1, residual_1 = _inputs(reference, 1)
    image_2, depth_2, _, camera_2, residual_2 = _inputs(reference, 2)
    angles_1, angles_2 = (torch.tensor(reference[f"in_rot_{i}"]) for i in (1, 2))
    K = torch.tensor(reference["in_intrinsics"])
    for leaf in (depth_1, residual_1, camera_1, angles_1):
        leaf.requires_grad_()
    pair = PairPrediction(
        depth_1,
        depth_2,
        MotionPrediction(angles_1, camera_1, residual_1, K),
        MotionPrediction(angles_2, camera_2, residual_2, K),
        K,
    )
    weights = LossWeights(scale_normalization=prefix.endswith("scalenorm"))
    loss = Objective(weights)(image_1, image_2, pair, K)

    _assert_agrees(loss.total, reference[prefix])
    for name in TERMS:
        _assert_agrees(loss.terms[name], reference[f"{prefix}_{AUTHORS_TERM[name]}"])
    loss.total.backward()
    gradients = {
        "depth_1": _channels_last(depth_1.grad),
        "res_1": _channels_last(residual_1.grad),
        "bg_1": camera_1.grad[:, None, None],
        "rot_1": angles_1.grad,
    }
    for name, gradient in gradients.items():
        expected = reference[f"{prefix}_grad_{name}"]
        _assert_agrees(gradient, expected, GRADIENT)
        difference = np.linalg.norm(gradient.numpy().astype(np.float64) - expected)
        assert difference <= GRADIENT * np.linalg.norm(expected)


@cache
def _compared():
    """Every array that a test above holds the package against."""
    totals = [*AUTHORS_TERM.values(), "grad_depth_1", "grad_res_1", "grad_bg_1", "grad_rot_1"]
    return {
        *("rotation_matrix_1", "rotation_matrix_1_unstacked"),
        *("warp_pixel_x", "warp_pixel_y", "warp_depth", "warp_mask"),
        *("rgbd_rgb_error", "rgbd_ssim_error", "rgbd_depth_error"),
        *("rgbd_depth_proximity_weight", "rgbd_frame1_closer_to_camera"),
        *("cycle_rotation_error", "cycle_translation_error"),
        *("ssim_map", "ssim_weight", "ssim_default_map", "smooth_disp", "normalized_motion"),
        *("motion_l1smooth_wrap", "motion_l1smooth_nowrap", "motion_sqrt_sparsity"),
        *("total", "total_scalenorm"),
        *(f"{prefix}_{name}" for prefix in ("total", "total_scalenorm") for name in totals),
    }


def test_no_array_is_left_uncompared(reference):
    # Supervised depth is not part of the method; the authors' total lists it with weight 0.
    unused = {"total_depth_supervision", "total_scalenorm_depth_supervision"}
    assert all(reference[name] == 0 for name in unused)
    left = {name for name in reference if not name.startswith("in_")} - _compared() - unused
    assert not left
