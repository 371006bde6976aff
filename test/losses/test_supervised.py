import math

import pytest
import torch

from depth_motion_ros.geometry.rotation import euler_to_matrix
from depth_motion_ros.losses.supervised import (
    focal_loss,
    pose_loss,
    residual_loss,
    scale_invariant_log_loss,
)

NAN = math.nan
STILL = torch.eye(3)[None]


def _depth():
    return 1 + 10 * torch.rand(2, 1, 4, 6, generator=torch.Generator().manual_seed(0))


def test_true_depth_costs_nothing():
    assert scale_invariant_log_loss(_depth(), _depth()) == 0


def test_a_factor_on_depth_costs_by_the_scale_share():
    # d = log 2 everywhere: (log 2)² · (1 - share).
    for share in (0.0, 0.5, 1.0):
        found = scale_invariant_log_loss(2 * _depth(), _depth(), scale_share=share)
        assert math.isclose(found, (1 - share) * math.log(2) ** 2, abs_tol=1e-6)


def test_each_image_may_have_its_own_factor():
    factors = torch.tensor([2.0, 0.5]).view(2, 1, 1, 1)
    found = scale_invariant_log_loss(factors * _depth(), _depth(), scale_share=1.0)
    assert abs(found) < 1e-6


def test_unknown_depths_judge_nothing():
    truth, depth = _depth(), _depth()
    truth[0, 0, 0, 0], truth[0, 0, 0, 1], truth[0, 0, 0, 2] = NAN, 0.0, math.inf
    valid = torch.ones_like(truth, dtype=torch.bool)
    valid[0, 0, 0, 3] = False
    depth[0, 0, 0, :4] = 1000.0
    depth.requires_grad_()
    found = scale_invariant_log_loss(depth, truth, valid)
    found.backward()
    assert found == 0
    assert (depth.grad[0, 0, 0, :4] == 0).all()


def test_an_image_without_truth_does_not_thin_out_the_others():
    truth = _depth()
    truth[1] = NAN
    found = scale_invariant_log_loss(2 * _depth(), truth, scale_share=0.0)
    assert math.isclose(found, math.log(2) ** 2, rel_tol=1e-5)


def test_a_share_outside_its_range_is_refused():
    with pytest.raises(ValueError, match=r"\[0, 1\], got 2"):
        scale_invariant_log_loss(_depth(), _depth(), scale_share=2)


# 3.1 is almost half a turn; 1e-4 would drown in the arc cosine of a float32 trace.
@pytest.mark.parametrize("angle", [1e-4, 0.1, 1.5, 3.1])
def test_rotation_is_judged_by_the_angle_between(angle):
    turned = euler_to_matrix(torch.tensor([[0.0, angle, 0.0]]))
    loss = pose_loss(turned, torch.zeros(1, 3), STILL, torch.zeros(1, 3))
    assert math.isclose(loss.rotation, angle, rel_tol=1e-3)
    assert loss.translation < 2e-6


def test_translation_is_judged_by_distance():
    loss = pose_loss(STILL, torch.tensor([[3.0, 0, 0]]), STILL, torch.tensor([[0.0, 4, 0]]))
    assert math.isclose(loss.translation, 5.0, rel_tol=1e-6)
    assert loss.rotation < 1e-5


def test_a_perfect_pose_has_finite_gradients():
    angles = torch.zeros(1, 3, requires_grad=True)
    translation = torch.zeros(1, 3, requires_grad=True)
    loss = pose_loss(euler_to_matrix(angles), translation, STILL, torch.zeros(1, 3))
    (loss.rotation + loss.translation).backward()
    assert torch.isfinite(angles.grad).all()
    assert torch.isfinite(translation.grad).all()


def test_a_pose_that_is_unknown_is_left_out():
    rotation = STILL.repeat(2, 1, 1).requires_grad_()
    translation = torch.tensor([[1.0, 0, 0], [9.0, 9, 9]], requires_grad=True)
    truth = torch.tensor([[0.0, 0, 0], [NAN, 0, 0]])
    loss = pose_loss(rotation, translation, STILL.repeat(2, 1, 1), truth)
    assert math.isclose(loss.translation, 1.0, rel_tol=1e-6)
    (loss.translation + loss.rotation).backward()
    assert (translation.grad[1] == 0).all()
    assert torch.isfinite(rotation.grad).all()


def _moving_truth():
    """1 of 24 pixels moves by 0.5 m."""
    truth = torch.zeros(1, 3, 4, 6)
    truth[0, 2, 1, 1] = 0.5
    return truth


def test_true_motion_costs_nothing():
    assert residual_loss(_moving_truth(), _moving_truth()) == 0


def test_few_moving_pixels_weigh_as_much_as_many_static_ones():
    # No motion at all misses the one moving pixel by 0.5 m: half of that, not a 24th.
    assert residual_loss(torch.zeros(1, 3, 4, 6), _moving_truth()) == 0.25
    # Motion of 0.1 m in x everywhere misses both groups by 0.1 m.
    drift = _moving_truth() + torch.tensor([0.1, 0, 0]).view(1, 3, 1, 1)
    assert math.isclose(residual_loss(drift, _moving_truth()), 0.1, rel_tol=1e-5)


def test_unknown_motion_judges_nothing():
    truth = _moving_truth()
    truth[0, 0, 3, 3] = NAN
    residual = _moving_truth()
    residual[0, :, 3, 3] = 7.0
    residual.requires_grad_()
    found = residual_loss(residual, truth)
    found.backward()
    assert found == 0
    assert (residual.grad[0, :, 3, 3] == 0).all()


def test_a_scene_without_motion_is_judged_by_its_static_pixels():
    found = residual_loss(torch.full((1, 3, 4, 6), 0.1), torch.zeros(1, 3, 4, 6))
    assert math.isclose(found, 0.5 * 0.3, rel_tol=1e-5)


def _intrinsics(fx, fy):
    return torch.tensor([[[fx, 0, 100], [0, fy, 50], [0, 0, 1.0]]])


def test_focal_length_is_judged_by_ratio():
    found = focal_loss(_intrinsics(220.0, 200.0), _intrinsics(200.0, 220.0))
    assert math.isclose(found, math.log(1.1), rel_tol=1e-5)


def test_an_unknown_focal_length_is_left_out():
    truth = torch.cat((_intrinsics(200.0, 200.0), _intrinsics(NAN, NAN)))
    found = torch.cat((_intrinsics(400.0, 200.0), _intrinsics(9.0, 9.0))).requires_grad_()
    loss = focal_loss(found, truth)
    loss.backward()
    assert math.isclose(loss.item(), math.log(2) / 2, rel_tol=1e-5)
    assert (found.grad[1] == 0).all()


def test_without_any_truth_every_loss_is_zero_with_zero_gradients():
    depth, field = torch.ones(1, 1, 4, 6), torch.ones(1, 3, 4, 6)
    rotation, translation, K = STILL.clone(), torch.ones(1, 3), _intrinsics(200.0, 200.0)
    leaves = [leaf.requires_grad_() for leaf in (depth, field, rotation, translation, K)]
    pose = pose_loss(rotation, translation, torch.full((1, 3, 3), NAN), torch.full((1, 3), NAN))
    total = (
        scale_invariant_log_loss(depth, torch.full_like(depth, NAN))
        + residual_loss(field, torch.full_like(field, NAN))
        + pose.rotation
        + pose.translation
        + focal_loss(K, torch.full_like(K, NAN))
    )
    total.backward()
    assert total == 0
    assert all((leaf.grad == 0).all() for leaf in leaves)


def test_gradients_agree_with_finite_differences():
    torch.manual_seed(0)
    angles, truth_angles = 0.3 * torch.randn(2, 2, 3, dtype=torch.float64)
    translation, truth_translation = torch.randn(2, 2, 3, dtype=torch.float64)
    depth, truth_depth = 1 + torch.rand(2, 2, 1, 3, 4, dtype=torch.float64)
    field, truth_field = torch.randn(2, 2, 3, 3, 4, dtype=torch.float64)

    def losses(angles, translation, depth, field):
        return (
            *pose_loss(
                euler_to_matrix(angles),
                translation,
                euler_to_matrix(truth_angles),
                truth_translation,
            ),
            scale_invariant_log_loss(depth, truth_depth),
            residual_loss(field, truth_field),
        )

    inputs = [tensor.clone().requires_grad_() for tensor in (angles, translation, depth, field)]
    assert torch.autograd.gradcheck(losses, inputs)


def test_losses_are_in_float32_under_autocast():
    depth, truth = _depth().bfloat16(), _depth()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = scale_invariant_log_loss(depth, truth)
    assert found.dtype == torch.float32
    assert found == scale_invariant_log_loss(depth.float(), truth)


def test_shapes_that_differ_are_refused():
    with pytest.raises(ValueError, match=r"depth has shape \(2, 1, 4, 6\) .* \(1, 1, 4, 6\)"):
        scale_invariant_log_loss(_depth(), _depth()[:1])
    with pytest.raises(ValueError, match="rotation has shape"):
        pose_loss(STILL, torch.zeros(1, 3), STILL[0], torch.zeros(1, 3))
    with pytest.raises(ValueError, match="residual has shape"):
        residual_loss(torch.zeros(1, 3, 4, 6), torch.zeros(1, 3, 4, 5))
    with pytest.raises(ValueError, match="K has shape"):
        focal_loss(STILL, STILL[0])
