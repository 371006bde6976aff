"""From linear light to photographs, and the textures that the light falls on."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from depth_motion_ros.simulator.appearance.patterns import PATTERNS
from depth_motion_ros.simulator.appearance.textures import LEVELS, SIZE, VARIANTS, TextureBank
from depth_motion_ros.simulator.sensor import Sensor, photograph

SEED = torch.tensor([7])


@pytest.fixture(scope="module")
def bank() -> TextureBank:
    return TextureBank.from_seed(0)


def picture() -> torch.Tensor:
    """A linear image with detail, from the textures' own noise."""
    rng = np.random.default_rng(0)
    rough = cv2.GaussianBlur(rng.random((64, 96, 3)), (0, 0), 1.5)
    values = np.clip((rough - 0.5) * 4 + 0.5, 0.02, 1.0)
    return torch.tensor(values.transpose(2, 0, 1)[None], dtype=torch.float32)


def with_(**changes: float) -> Sensor:
    return replace(
        Sensor.clean(1), **{name: torch.tensor([value]) for name, value in changes.items()}
    )


def test_clean_keeps_the_order_of_brightness() -> None:
    ramp = torch.linspace(0, 4, 50).repeat(1, 3, 1, 1)
    shown = photograph(ramp, Sensor.clean(1), SEED)[0, 0, 0]
    assert (shown.diff() >= 0).all()
    assert shown[0] == 0
    assert shown[-1] <= 1


def test_noise_has_its_deviation_and_depends_on_the_seed() -> None:
    flat = torch.full((1, 3, 100, 100), 0.3)
    sensor = with_(noise=0.02)
    first = photograph(flat, sensor, SEED)
    noise = first - photograph(flat, Sensor.clean(1), SEED)
    # 30,000 samples: deviation known to 0.4 %, mean to 0.0001.
    assert noise.std().item() == pytest.approx(0.02, rel=0.03)
    assert abs(noise.mean().item()) < 5e-4
    assert torch.equal(first, photograph(flat, sensor, SEED))
    other = photograph(flat, sensor, SEED + 1) - photograph(flat, Sensor.clean(1), SEED)
    correlation = np.corrcoef(noise.flatten().numpy(), other.flatten().numpy())[0, 1]
    assert abs(correlation) < 0.03


def test_gray_images_have_equal_channels_even_with_noise() -> None:
    sensor = replace(with_(noise=0.02), gray=torch.tensor([True]))
    shown = photograph(picture(), sensor, SEED)
    assert torch.equal(shown[:, 0], shown[:, 1])
    assert torch.equal(shown[:, 0], shown[:, 2])


def test_vignette_darkens_corners_and_spares_the_centre() -> None:
    flat = torch.full((1, 3, 65, 97), 0.3)
    plain = photograph(flat, Sensor.clean(1), SEED)
    shaded = photograph(flat, with_(vignette=0.4), SEED)
    assert shaded[0, 0, 32, 48] == pytest.approx(plain[0, 0, 32, 48].item(), abs=1e-6)
    assert shaded[0, 0, 0, 0] < 0.85 * plain[0, 0, 0, 0]


def test_jpeg_is_like_that_of_a_real_encoder() -> None:
    """Compared with libjpeg at the same quality: the same size of error against the original."""
    clean = photograph(picture(), Sensor.clean(1), SEED)
    original = (clean[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    for quality in (40, 85):
        ours = photograph(picture(), with_(jpeg=float(quality)), SEED)
        _, code = cv2.imencode(".jpg", original[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        theirs = cv2.imdecode(code, cv2.IMREAD_COLOR)[..., ::-1]
        our_error = (ours - clean).abs().mean().item() * 255
        their_error = np.abs(theirs.astype(float) - original).mean()
        assert our_error == pytest.approx(their_error, rel=0.25)


def test_blur_follows_the_flow() -> None:
    still = torch.zeros(1, 2, 64, 96)
    across = still.clone()
    across[:, 0] = 8.0
    sensor, clean = with_(blur=0.5), photograph(picture(), Sensor.clean(1), SEED)
    assert (photograph(picture(), sensor, SEED, still) - clean).abs().max() < 1e-4
    blurred = photograph(picture(), sensor, SEED, across)
    assert blurred.diff(dim=3).abs().mean() < 0.7 * clean.diff(dim=3).abs().mean()
    rows, clean_rows = blurred.diff(dim=2).abs().mean(), clean.diff(dim=2).abs().mean()
    assert rows / clean_rows > 1.2 * (
        blurred.diff(dim=3).abs().mean() / clean.diff(dim=3).abs().mean()
    )


def test_rolling_shutter_leans_and_keeps_the_middle_row() -> None:
    """With 10 px of motion and a readout of 0.4 the first row lags 2 px and the last leads 2."""
    columns = torch.sin(torch.arange(96) / 3.0) * 0.3 + 0.4
    image = columns.expand(1, 3, 65, 96).clone()
    flow = torch.zeros(1, 2, 65, 96)
    flow[:, 0] = 10.0
    shown = photograph(image, with_(readout=0.4), SEED, flow)
    plain = photograph(image, Sensor.clean(1), SEED)
    assert (shown[..., 32, 8:-8] - plain[..., 32, 8:-8]).abs().max() < 1e-4
    assert (shown[..., 0, 8:-8] - plain[..., 0, 10:-6]).abs().max() < 1e-3
    assert (shown[..., -1, 8:-8] - plain[..., -1, 6:-10]).abs().max() < 1e-3


def test_every_texture_has_detail_from_coarse_to_fine(bank: TextureBank) -> None:
    """No surface is flat: each of the first five levels changes between neighbouring texels."""
    centers = (torch.arange(64) + 0.5) / 64
    for layer in range(bank.count):
        for lod in range(5):
            size = SIZE >> lod
            u = torch.arange(size, dtype=torch.float32)[:64].add(0.5).div(size)
            n = len(u)
            light = bank.sample(
                torch.full((n,), layer, dtype=torch.int32), u, centers[:n], torch.full((n,), lod)
            )[0]
            assert light.diff().abs().mean() > 0.004, (PATTERNS[layer // VARIANTS], lod)


def test_textures_fade_to_medium_brightness_and_wrap(bank: TextureBank) -> None:
    count = bank.count
    layers = torch.arange(count, dtype=torch.int32)
    place = torch.full((count,), 0.3)
    faded = bank.sample(layers, place, place, torch.full((count,), float(LEVELS)))[0]
    # Drawings are centred on 0.5 but clipped to [0, 1], which may move their mean a little.
    assert (faded - 0.5).abs().max() < 0.05
    here = bank.sample(layers, place, place, torch.full((count,), 1.5))
    there = bank.sample(layers, place + 3, place - 2, torch.full((count,), 1.5))
    assert (here - there).abs().max() < 1e-3
