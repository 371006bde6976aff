"""DepthNet and MotionNet keep the paper's form and the properties that the rest relies on."""

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from depth_motion_ros.models.config import NetworkConfig
from depth_motion_ros.models.motion_net import MINIMAL_SCALE, auto_mask
from depth_motion_ros.models.network import DepthMotionNet
from depth_motion_ros.models.norm import RandomizedLayerNorm
from depth_motion_ros.settings import SettingsError


def parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.fixture(scope="module")
def lite() -> DepthMotionNet:
    torch.manual_seed(0)
    return DepthMotionNet(NetworkConfig("lite", 96, 64)).eval()


def images(batch: int = 1, height: int = 64, width: int = 96, seed: int = 1) -> Tensor:
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(seed))


def test_resnet18_has_the_papers_number_of_parameters() -> None:
    with torch.device("meta"):
        network = DepthMotionNet(NetworkConfig("resnet18"))
    assert round(parameters(network.depth_net) / 1e6, 1) == 14.3
    assert round(parameters(network.motion_net) / 1e6, 1) == 44.2
    assert round(parameters(network.motion_net.refinements[0]) / 1e6, 1) == 28.4


def test_lite_keeps_its_budget_at_416x128() -> None:
    with torch.device("meta"):
        network = DepthMotionNet(NetworkConfig("lite")).eval()
        image = torch.empty(1, 3, 128, 416)
        with FlopCounterMode(display=False) as counter:
            depth = network.depth_net(image)
            network.motion_net(image, depth, image, depth)
    assert parameters(network) <= 4e6
    assert counter.get_total_flops() / 2 <= 0.8e9


@pytest.mark.parametrize("size", [(96, 64), (128, 128), (64, 32)])
def test_any_multiple_of_32_gives_maps_of_the_images_size(
    lite: DepthMotionNet, size: tuple[int, int]
) -> None:
    width, height = size
    with torch.no_grad():
        pair = lite(images(2, height, width), images(2, height, width, seed=2))
    assert pair.depth_1.shape == pair.depth_2.shape == (2, 1, height, width)
    assert pair.motion_12.residual.shape == (2, 3, height, width)
    assert pair.motion_12.rotation.shape == pair.motion_12.translation.shape == (2, 3)
    assert pair.K.shape == (2, 3, 3)
    assert (pair.depth_1 > 0).all()


def test_both_orders_are_the_motion_net_run_once_each_way(lite: DepthMotionNet) -> None:
    one, two = images(seed=1), images(seed=2)
    with torch.no_grad():
        pair = lite(one, two)
        depth_1, depth_2 = lite.depth_net(one), lite.depth_net(two)
        forward = lite.motion_net(one, depth_1, two, depth_2)
        backward = lite.motion_net(two, depth_2, one, depth_1)
    torch.testing.assert_close(pair.depth_1, depth_1)
    torch.testing.assert_close(pair.depth_2, depth_2)
    torch.testing.assert_close(pair.motion_12.rotation, forward.rotation)
    torch.testing.assert_close(pair.motion_21.residual, backward.residual)
    torch.testing.assert_close(pair.K, (forward.K + backward.K) / 2)


def test_a_result_does_not_depend_on_its_neighbours_in_the_batch(lite: DepthMotionNet) -> None:
    one, two = images(3, seed=1), images(3, seed=2)
    with torch.no_grad():
        together, alone = lite(one, two), lite(one[:1], two[:1])
    torch.testing.assert_close(together.depth_1[:1], alone.depth_1, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        together.motion_12.residual[:1], alone.motion_12.residual, rtol=1e-3, atol=1e-6
    )


def test_the_residual_can_be_frozen_and_is_zero_on_most_of_a_spotted_field(
    lite: DepthMotionNet,
) -> None:
    with torch.no_grad():
        frozen = lite(images(seed=1), images(seed=2), residual_gain=0.0)
    assert not frozen.motion_12.residual.any()
    field = torch.full((2, 3, 8, 8), 0.01)
    field[0, :, 2:4, 2:4] = 1.0
    masked = auto_mask(field)
    assert masked[0, :, 2:4, 2:4].eq(1.0).all()
    assert masked[0].count_nonzero() == 3 * 4  # only the 2x2 spot stays
    assert not masked[1].any()  # nothing is above the mean of a uniform field


def test_depth_is_not_detached_from_the_motion(lite: DepthMotionNet) -> None:
    pair = lite(images(seed=1), images(seed=2))
    (gradient,) = torch.autograd.grad(
        pair.motion_12.translation.square().sum(), lite.depth_net.head.weight
    )
    assert gradient.abs().sum() > 0


def test_motion_scales_cannot_fall_below_their_bound_in_training() -> None:
    network = DepthMotionNet(NetworkConfig("lite", 64, 32)).train()
    with torch.no_grad():
        network.motion_net.translation_scale.fill_(-1.0)
    network(images(1, 32, 64), images(1, 32, 64, seed=2))
    assert network.motion_net.translation_scale.item() == pytest.approx(MINIMAL_SCALE)


def test_learned_intrinsics_scale_with_the_image_and_start_centred() -> None:
    torch.manual_seed(0)
    net = DepthMotionNet(NetworkConfig("lite", 96, 64)).eval().motion_net
    torch.nn.init.zeros_(net.focal.weight)
    torch.nn.init.zeros_(net.centre.weight)
    depth = torch.ones(1, 1, 64, 96)
    with torch.no_grad():
        K = net(images(), depth, images(), depth).K[0]
    ln2 = 0.693147  # softplus(0)
    expected = [[ln2 * 96, 0, 48], [0, ln2 * 64, 32], [0, 0, 1]]
    torch.testing.assert_close(K, torch.tensor(expected))


def test_norm_is_exact_without_noise_and_noisy_only_in_training() -> None:
    norm = RandomizedLayerNorm(4)
    x = 5 + 3 * torch.randn(2, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    y = norm.train()(x)
    assert y.mean(dim=(2, 3)).abs().max() < 1e-5
    # epsilon 1e-3 beside a variance of about 9 takes 6e-5 off the unit deviation
    torch.testing.assert_close(y.std(dim=(2, 3), correction=0), torch.ones(2, 4), atol=2e-4, rtol=0)
    norm.noise = 0.5
    assert not torch.allclose(norm(x), y)
    torch.testing.assert_close(norm.eval()(x), y)


def test_norm_noise_is_truncated_at_two_standard_deviations() -> None:
    norm = RandomizedLayerNorm(1000).train()
    norm.noise = 0.1
    torch.manual_seed(0)
    x = torch.randn(1, 1000, 16, 16)
    x = (x - x.mean((2, 3), keepdim=True)) / x.std((2, 3), keepdim=True, correction=0)
    spread = norm(x).std(dim=(2, 3), correction=0)
    # sigma^2 (1 + n), |n| <= 0.2; the mean is 0, so its noise changes nothing
    assert spread.min() >= (1 / 1.201) ** 0.5 - 1e-4
    assert spread.max() <= (1 / 0.801) ** 0.5 + 1e-4
    assert spread.max() - spread.min() > 0.1


def test_noise_reaches_every_norm_of_the_encoder() -> None:
    network = DepthMotionNet(NetworkConfig("lite", 64, 32))
    network.set_norm_noise(0.3)
    noises = [m.noise for m in network.modules() if isinstance(m, RandomizedLayerNorm)]
    assert noises == [0.3] * 17  # stem, and two in each of the eight blocks


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("huge",), "architecture is 'huge'; it must be one of resnet18, lite"),
        (
            ("lite", 400, 128),
            "input_width is 400; .* a multiple of 32 .*; the nearest is 384",
        ),
        (("lite", 416, 0), "input_height is 0; it must be a multiple of 32 from 32 to 4096 px"),
        (("lite", 32, 32), "32x32 pixels are too few"),
    ],
)
def test_a_configuration_that_cannot_be_built_is_refused(
    arguments: tuple[object, ...], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        NetworkConfig(*arguments)  # type: ignore[arg-type]
