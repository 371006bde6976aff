"""The simulator's truth about motion: warps reproduce images, motion is what points do."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor
from torch.nn.functional import max_pool2d

from depth_motion_ros.geometry.warp import sample, transform_depth
from depth_motion_ros.simulator.appearance.materials import hsv, material
from depth_motion_ros.simulator.appearance.textures import TextureBank
from depth_motion_ros.simulator.builder import SceneBuilder
from depth_motion_ros.simulator.rendering.render import RenderOutput, render
from depth_motion_ros.simulator.scene import stack
from depth_motion_ros.simulator.sensor import Sensor, photograph
from depth_motion_ros.simulator.tracks import camera_pose
from depth_motion_ros.sources.simulated import SCENES, open_simulator

# Frames per second that give each scene some pixels of image motion between two frames.
RATES = {"yard": 5.0, "drive": 6.0, "indoor": 6.0, "handheld": 10.0, "crowd": 6.0}


def gray_levels(output: RenderOutput) -> Tensor:
    """The clean image in [0, 255]."""
    return photograph(output.image, Sensor.clean(1), torch.zeros(1)) * 255


def warp_errors(first: RenderOutput, second: RenderOutput) -> tuple[float, float, float, float]:
    """Mean gray-level errors of the warped and the unwarped next image where nothing is occluded,
    the error on moving things alone, and the share of pixels compared."""
    rotation, shift = first.ego[:, :3, :3].float(), first.ego[:, :3, 3, None, None].float()
    warp = transform_depth(first.depth, rotation, shift + first.motion, first.K)
    # Silhouettes are blends of two surfaces; a bilinear sample beside one is too.
    beside = max_pool2d(second.edges.float(), 3, 1, 1)
    clear = (max_pool2d(first.edges.float(), 3, 1, 1) == 0) & (sample(beside, warp.pixel_xy) == 0)
    same = (sample(second.depth, warp.pixel_xy) - warp.depth).abs() < 0.01 * warp.depth
    seen = first.valid & warp.valid & same & clear
    image, target = gray_levels(second), gray_levels(first)
    warped = (sample(image, warp.pixel_xy) - target).abs().mean(1, keepdim=True)
    still = (image - target).abs().mean(1, keepdim=True)
    moving = seen & first.moving
    on_moving = warped[moving].mean().item() if moving.sum() > 50 else 0.0
    share = seen.float().mean().item()
    return warped[seen].mean().item(), still[seen].mean().item(), on_moving, share


@pytest.mark.parametrize("name", sorted(SCENES))
def test_warping_back_reproduces_the_image(name: str) -> None:
    """A few gray levels, and less than a tenth of the error of not warping, over three pairs."""
    source = open_simulator(f"sim:{name}", width=416, height=208, rate=RATES[name])
    results = [warp_errors(source.render(i), source.render(i + 1)) for i in (3, 40, 70)]
    warped, still, on_moving, share = np.mean(results, axis=0)
    assert warped < 2.5
    assert warped < 0.1 * still, f"warped {warped:.2f}, still {still:.2f}"
    assert on_moving < 4.0
    assert share > 0.3


def test_leaving_out_object_motion_spoils_moving_things() -> None:
    """The motion field matters: without it the warp of what moves is wrong."""
    output = open_simulator("sim:crowd", width=416, height=208, rate=8.0).render(20)
    assert output.moving.any()
    ego = output.ego[:, :3, :3].float(), output.ego[:, :3, 3, None, None].float()
    with_motion = transform_depth(output.depth, ego[0], ego[1] + output.motion, output.K)
    without = transform_depth(output.depth, *ego, output.K)
    apart = (with_motion.pixel_xy - without.pixel_xy).norm(dim=1, keepdim=True)
    assert apart[output.moving].max() > 0.5
    assert apart[~output.moving].max() < 0.05


HALF = np.array([0.8, 0.5, 0.6])


def tumbling_box() -> tuple[SceneBuilder, np.ndarray]:
    """A box that flies past while it turns about all axes, and its track."""
    builder = SceneBuilder(np.random.default_rng(3), 2.0)
    t = np.arange(builder.samples)[:, None] / 20.0
    track = np.array([5.0, -1.0, 1.3, 0.1, 0.2, 0.3]) + t * np.array(
        [-0.8, 1.2, 0.3, 1.0, 0.7, 1.5]
    )
    paint = material("signs", 1, hsv(0.1, 0.5, 0.8), hsv(0.6, 0.6, 0.5), 0.9)
    builder.moving(track).box((0, 0, 0), tuple(HALF), paint)
    drift = np.zeros((builder.samples, 6)) + t * np.array([0.5, 0.2, 0.1, 0.05, -0.03, 0.1])
    builder.cameras.append(drift)
    return builder, track


def test_ego_plus_object_motion_is_what_surface_points_do() -> None:
    """Every pixel of a tumbling box: its material point is followed by hand, with scipy's
    rotations in float64, into the next camera's axes."""
    builder, track = tumbling_box()
    scene = stack([builder.build()])
    times = torch.tensor([[0.5], [0.65]], dtype=torch.float64)
    mount = torch.tensor([[0, 0, 1.4, 0, 0.02, 0]], dtype=torch.float64)
    poses = [camera_pose(scene.carrier(torch.tensor([0]), time), mount) for time in times]
    K = torch.tensor([[[110.0, 0, 79.5], [0, 115.0, 49.5], [0, 0, 1]]])
    output = render(
        scene, K, poses[0], times[0], next_pose=poses[1], next_time=times[1],
        width=160, height=100, bank=TextureBank.from_seed(0),
    )  # fmt: skip
    on_box = output.instance[0, 0].numpy() == 1
    assert on_box.sum() > 300

    # The track is linear in time, so its samples at 20 Hz and the times between are exact.
    def body(time: float) -> tuple[Rotation, np.ndarray]:
        state = track[0] + (track[1] - track[0]) * 20.0 * time
        return Rotation.from_euler("ZYX", state[[5, 4, 3]]), state[:3]

    v, u = np.nonzero(on_box)
    depth = output.depth[0, 0].double().numpy()[v, u]
    rays = np.stack(((u - 79.5) / 110.0, (v - 49.5) / 115.0, np.ones(len(u))), axis=1)
    pose_1, pose_2 = poses[0][0].numpy(), poses[1][0].numpy()
    seen = rays * depth[:, None]
    world = seen @ pose_1[:3, :3].T + pose_1[:3, 3]
    turn_1, place_1 = body(0.5)
    material_point = turn_1.inv().apply(world - place_1)
    # They do lie on the box's surface.
    assert np.abs(np.abs(material_point / HALF).max(axis=1) - 1).max() < 1e-4
    turn_2, place_2 = body(0.65)
    later = turn_2.apply(material_point) + place_2
    expected = (later - pose_2[:3, 3]) @ pose_2[:3, :3]
    ego = output.ego[0].numpy()
    motion = output.motion[0].permute(1, 2, 0).double().numpy()
    found = seen @ ego[:3, :3].T + ego[:3, 3] + motion[v, u]
    assert np.abs(found - expected).max() < 1e-5
    assert np.abs(motion[~on_box]).max() == 0.0
    assert (output.moving[0, 0].numpy() == on_box).all()


def test_poses_agree_with_scipy() -> None:
    """Roll, pitch, yaw in the convention of tracks.py; optical z looks along the carrier's x."""
    state = torch.tensor([[1.0, -2.0, 0.5, 0.1, -0.3, 2.0]], dtype=torch.float64)
    pose = camera_pose(state, torch.zeros(1, 6, dtype=torch.float64))[0].numpy()
    turn = Rotation.from_euler("ZYX", [2.0, -0.3, 0.1]).as_matrix()
    np.testing.assert_allclose(pose[:3, 2], turn[:, 0], atol=1e-12)
    np.testing.assert_allclose(pose[:3, 0], -turn[:, 1], atol=1e-12)
    np.testing.assert_allclose(pose[:3, 1], -turn[:, 2], atol=1e-12)
    np.testing.assert_allclose(pose[:3, 3], [1.0, -2.0, 0.5])
