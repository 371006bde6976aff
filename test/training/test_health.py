"""Vital signs of predictions whose values are known."""

from __future__ import annotations

import numpy as np
import torch
from support.training_helpers import Room

from depth_motion_ros.losses.warped_pair import warp_pair
from depth_motion_ros.models.motion_net import MotionPrediction
from depth_motion_ros.models.network import PairPrediction
from depth_motion_ros.training.health import HEALTH_METRICS, health_metrics
from depth_motion_ros.training.panels import panel

WIDTH, HEIGHT = 64, 32
K = torch.tensor([[[50.0, 0, 31.5], [0, 50.0, 15.5], [0, 0, 1]]])


def _prediction(depth: torch.Tensor, translation: list[float]) -> PairPrediction:
    zero = torch.zeros(1, 3, HEIGHT, WIDTH)
    motions = [
        MotionPrediction(torch.zeros(1, 3), sign * torch.tensor([translation]), zero.clone(), K)
        for sign in (1, -1)
    ]
    return PairPrediction(depth, depth, motions[0], motions[1], K)


def _signs(image_1: torch.Tensor, image_2: torch.Tensor, pair: PairPrediction) -> dict[str, float]:
    values = health_metrics(image_1, image_2, pair, K).tolist()
    return dict(zip(HEALTH_METRICS, values, strict=True))


def test_a_true_warp_has_no_error_where_the_identity_has_one() -> None:
    image = torch.from_numpy(Room(1, WIDTH, HEIGHT).images[0]).permute(2, 0, 1)[None] / 255
    # A plane 5 m away, camera 0.1 m to the left: points move 50 · 0.1 / 5 = 1 px to the right.
    pair = _prediction(torch.full((1, 1, HEIGHT, WIDTH), 5.0), [0.1, 0.0, 0.0])
    signs = _signs(image, image.roll(1, dims=3), pair)
    assert signs["warp_error"] < 1e-5
    assert signs["identity_error"] > 0.01
    assert abs(signs["translation_over_depth"] - 0.02) < 1e-6
    assert abs(signs["focal_over_width"] - 50 / 64) < 1e-6
    assert signs["depth_variance"] < 1e-9
    assert signs["active_residual"] == 0.0


def test_a_vertical_gradient_is_told_from_structure() -> None:
    image = torch.rand(1, 3, HEIGHT, WIDTH)
    rows = torch.linspace(1, 9, HEIGHT)[None, None, :, None].expand(1, 1, HEIGHT, WIDTH)
    gradient = _signs(image, image, _prediction(rows, [0.0, 0, 0]))
    assert gradient["depth_row_share"] > 0.9999
    columns = torch.linspace(1, 9, WIDTH)[None, None, None, :].expand(1, 1, HEIGHT, WIDTH)
    structure = _signs(image, image, _prediction(columns, [0.0, 0, 0]))
    assert structure["depth_row_share"] < 1e-4
    # Uniform on 1 … 9 (n = 64 samples): variance 64/12 · (n + 1)/(n - 1) over mean² 25.
    assert abs(structure["depth_variance"] - 64 / 12 * 65 / 63 / 25) < 1e-3


def test_residual_counts_as_active_where_it_shifts_a_pixel_visibly() -> None:
    image = torch.rand(1, 3, HEIGHT, WIDTH)
    pair = _prediction(torch.full((1, 1, HEIGHT, WIDTH), 5.0), [0.0, 0, 0])
    # A pixel at 416 is 64 / 416 px here: 50 · r / 5 = 0.154 px needs r = 0.0154.
    pair.motion_12.residual[:, 0, :8] = 0.02
    pair.motion_12.residual[:, 0, 8:] = 0.01
    assert _signs(image, image, pair)["active_residual"] == 0.25
    assert warp_pair(image, pair, K).active[0, 0, :8].all()


def test_a_panel_shows_five_rows_of_every_pair() -> None:
    image = torch.rand(3, 3, HEIGHT, WIDTH)
    depth = torch.rand(3, 1, HEIGHT, WIDTH) + 1
    one = _prediction(depth, [0.0, 0, 0]).motion_12
    motion = MotionPrediction(
        one.rotation.expand(3, 3),
        one.translation.expand(3, 3),
        one.residual.expand(3, 3, HEIGHT, WIDTH).clone(),
        K.expand(3, 3, 3),
    )
    pair = PairPrediction(depth, depth, motion, motion, K.expand(3, 3, 3))
    picture = panel(image, image, pair, K.expand(3, 3, 3), columns=2)
    assert picture.shape == (5 * HEIGHT, 2 * WIDTH, 3)
    shown = (255 * image[0].permute(1, 2, 0)).round().numpy().astype(np.uint8)
    assert (picture[:HEIGHT, :WIDTH] == shown).all()
