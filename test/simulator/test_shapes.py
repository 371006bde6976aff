"""Depth of the simulator's primitives and grounds against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from depth_motion_ros.simulator.appearance.materials import hsv, material
from depth_motion_ros.simulator.appearance.textures import TextureBank
from depth_motion_ros.simulator.builder import SceneBuilder
from depth_motion_ros.simulator.rendering.ground import Ground
from depth_motion_ros.simulator.rendering.render import SKY_DEPTH, RenderOutput, render
from depth_motion_ros.simulator.scene import stack
from depth_motion_ros.simulator.tracks import camera_pose

WIDTH, HEIGHT, FOCAL = 120, 72, 90.0
K = np.array([[FOCAL, 0, 59.3], [0, FOCAL, 35.1], [0, 0, 1]])
GRAY = material("fractal", 0, hsv(0, 0, 0.5), hsv(0, 0, 0.6), 1.0)
EYE = 1.5
"""Height of the camera above the ground, m; it looks along world x."""


def rays() -> np.ndarray:
    """(H, W, 3) float64, camera axes, z = 1."""
    u, v = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    return np.stack(((u - K[0, 2]) / FOCAL, (v - K[1, 2]) / FOCAL, np.ones(u.shape)), axis=-1)


def draw(builder: SceneBuilder) -> RenderOutput:
    builder.cameras.append(np.zeros((builder.samples, 6)))
    scene = stack([builder.build()])
    mount = torch.tensor([[0, 0, EYE, 0, 0, 0]], dtype=torch.float64)
    time = torch.zeros(1, dtype=torch.float64)
    pose = camera_pose(scene.carrier(torch.tensor([0]), time), mount)
    return render(
        scene, torch.tensor(K[None]), pose, time,
        width=WIDTH, height=HEIGHT, bank=TextureBank.from_seed(0),
    )  # fmt: skip


def empty_scene() -> SceneBuilder:
    builder = SceneBuilder(np.random.default_rng(0), 1.0)
    # The builder needs at least one primitive; this one is behind the camera.
    builder.static(-50.0, 0.0).box((0, 0, 0), (1, 1, 1), GRAY)
    return builder


def assert_depth(output: RenderOutput, expected: np.ndarray) -> None:
    """Equal to float32 wherever both see the same surface; silhouettes may differ by a pixel."""
    depth = output.depth[0, 0].double().numpy()
    relative = np.abs(depth - expected) / expected
    same = relative < 1e-5
    assert same.mean() > 0.998, f"worst {relative.max():.3g}, equal {same.mean():.4f}"


def floor_depth() -> np.ndarray:
    down = rays()[..., 1]
    depth = np.where(down > 0, EYE / np.where(down > 0, down, 1.0), np.inf)
    return np.where(depth < 600.0, depth, SKY_DEPTH)


def test_level_ground() -> None:
    output = draw(empty_scene())
    assert_depth(output, floor_depth())
    sky = floor_depth() == SKY_DEPTH
    assert (output.valid[0, 0].numpy() == ~sky).all()


def test_sloped_ground() -> None:
    builder = empty_scene()
    builder.plane[:] = (0.2, 0.05, -0.03)
    x, y, z = np.moveaxis(rays(), -1, 0)
    # Camera axes in the world: z ahead is +x, x right is -y, y down is -z.
    fall = 0.05 * z + 0.03 * x + y
    depth = np.where(fall > 0, (EYE - 0.2) / np.where(fall > 0, fall, 1.0), np.inf)
    assert_depth(draw(builder), np.where(depth < 600.0, depth, SKY_DEPTH))


def nearest(hit: np.ndarray) -> np.ndarray:
    """A thing's depth (inf where missed) in front of the level ground."""
    return np.minimum(hit, floor_depth())


def test_box_seen_from_the_front_has_the_depth_of_its_face() -> None:
    builder = empty_scene()
    builder.static(6.0, 0.5).box((0, 0, 1.0), (1.0, 0.8, 1.0), GRAY)
    at = rays() * 5.0
    face = (np.abs(at[..., 0] + 0.5) < 0.8) & (at[..., 1] > EYE - 2.0) & (at[..., 1] < EYE)
    top = (EYE - 2.0) / np.where(rays()[..., 1] < 0, rays()[..., 1], -1.0)
    assert (top < 7.0).any()  # the top is above the eye: only the face can be seen
    assert_depth(draw(builder), nearest(np.where(face, 5.0, np.inf)))


def quadratic(a: np.ndarray, b: np.ndarray, c: np.ndarray | float) -> np.ndarray:
    """Smaller root of a t^2 + 2 b t + c, inf where there is none."""
    inside = b * b - a * c
    return np.where(inside > 0, (-b - np.sqrt(np.maximum(inside, 0))) / a, np.inf)


@pytest.mark.parametrize("half", [(0.7, 0.7, 0.7), (0.4, 0.9, 0.6)])
def test_ball_and_ellipsoid(half: tuple[float, float, float]) -> None:
    builder = empty_scene()
    builder.static(5.0, -0.3).ball((0, 0, 1.4), half, GRAY)
    direction = np.stack((rays()[..., 2], -rays()[..., 0], -rays()[..., 1]), -1) / half
    start = (np.array([0, 0, EYE]) - np.array([5.0, -0.3, 1.4])) / half
    b = (direction * start).sum(-1)
    hit = quadratic((direction**2).sum(-1), b, (start**2).sum() - 1)
    assert_depth(draw(builder), nearest(hit))


def test_thin_pole_far_away() -> None:
    """A regression: the textbook discriminant cancels in float32 and frays the pole."""
    builder = empty_scene()
    builder.static(40.0, 1.0).cylinder((0, 0, 10.0), 0.5, 10.0, GRAY)
    ray = rays()
    direction = np.stack((ray[..., 2], -ray[..., 0]), -1)
    start = np.array([-40.0, -1.0])
    hit = quadratic((direction**2).sum(-1), (direction * start).sum(-1), (start**2).sum() - 0.25)
    up = EYE - hit * ray[..., 1]
    hit = np.where(np.isfinite(hit) & (up > 0) & (up < 20.0), hit, np.inf)
    assert_depth(draw(builder), nearest(hit))


def test_upright_cylinder_shows_its_cap_from_above() -> None:
    builder = empty_scene()
    builder.static(3.0, 0.0).cylinder((0, 0, 0.4), 0.6, 0.4, GRAY)
    ray = rays()
    direction, start = np.stack((ray[..., 2], -ray[..., 0]), -1), np.array([-3.0, 0.0])
    cap = np.where(ray[..., 1] > 0, (EYE - 0.8) / np.maximum(ray[..., 1], 1e-9), np.inf)
    on_cap = ((direction * cap[..., None] + start) ** 2).sum(-1) < 0.36
    side = quadratic((direction**2).sum(-1), (direction * start).sum(-1), 9.0 - 0.36)
    up = EYE - side * ray[..., 1]
    side = np.where(np.isfinite(side) & (up > 0) & (up < 0.8), side, np.inf)
    assert on_cap.any()
    assert_depth(draw(builder), nearest(np.minimum(side, np.where(on_cap, cap, np.inf))))


def test_primitive_around_the_camera_is_not_seen() -> None:
    builder = empty_scene()
    builder.static(0.0, 0.0).box((0, 0, 0), (2.0, 2.0, 3.0), GRAY)
    assert_depth(draw(builder), floor_depth())


def test_waves_are_hit_first_and_on_the_surface() -> None:
    """No point of the ray before the hit lies below the ground, and the hit lies on it."""
    waves = torch.tensor([[[0.25, 1.1, 0.3, 0.4], [0.1, -0.7, 1.9, 2.0], [0.04, 4.0, 1.0, 0.0]]])
    ground = Ground(torch.tensor([[0.0, 0.03, -0.02]]), waves)
    rng = np.random.default_rng(1)
    direction = np.stack(
        (np.ones(4000), rng.uniform(-0.8, 0.8, 4000), rng.uniform(-0.6, 0.15, 4000))
    )
    rays_ = torch.tensor(direction[None], dtype=torch.float32)
    origin = torch.tensor([[0.0, 0.0, 1.2]])
    depth, exact = ground.intersect(origin, rays_, 80.0)
    hit = torch.isfinite(depth) & exact
    assert exact.float().mean() > 0.99
    assert 0.5 < hit.float().mean() < 1.0
    t = depth[hit].double()
    d = rays_[0][:, hit[0]].double()
    g = Ground(ground.plane.double(), ground.waves.double())

    def gap(fraction: float) -> torch.Tensor:
        p = origin[0, :, None].double() + d * t * fraction
        return p[2] - g.height(p[None, 0], p[None, 1])[0]

    # A march settles at 5e-6 of the ray's length times its slope to the surface, plus rounding.
    assert (gap(1.0).abs() / t).max() < 2e-5
    for fraction in np.linspace(0.01, 0.98, 120):
        assert (gap(float(fraction)) > -1e-3).all()
