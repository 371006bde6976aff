"""The two members of the network family and the size of the images they take."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from depth_motion_ros.settings import Settings, SettingsError, setting

SIZE_STEP = 32
_LARGEST_SIDE = 4096


@dataclass(frozen=True)
class Widths:
    """Channel counts of both networks.

    encoder: stem and the four residual stages of DepthNet.
    decoder: the five upsampling steps of DepthNet, coarse to fine.
    motion: the strided convolutions of MotionNet, fine to coarse.
    refine_divisor, refine_cap: a refinement that sees a map of n channels works with
        min(max(4, n / divisor), cap) channels; the paper has divisor 1 and no cap.
    """

    encoder: tuple[int, int, int, int, int]
    decoder: tuple[int, int, int, int, int]
    motion: tuple[int, int, int, int, int, int, int]
    refine_divisor: int = 1
    refine_cap: int = 1024

    def refine(self, channels: int) -> int:
        """Working channels of a refinement against a map of ``channels`` channels."""
        return min(max(4, channels // self.refine_divisor), self.refine_cap)


ARCHITECTURES = {
    # The paper's widths: 14.3 M parameters in DepthNet, 44.2 M in MotionNet.
    "resnet18": Widths(
        encoder=(64, 64, 128, 256, 512),
        decoder=(256, 128, 64, 32, 16),
        motion=(16, 32, 64, 128, 256, 512, 1024),
    ),
    # For CPUs and small boards. The paper spends 28.4 M of its 58.5 M parameters on the first
    # refinement, which sees a map of about 1x4 pixels: here every refinement works with half the
    # channels of its map and never with more than 32.
    "lite": Widths(
        encoder=(16, 24, 48, 96, 192),
        decoder=(96, 48, 24, 16, 8),
        motion=(16, 32, 48, 64, 96, 128, 192),
        refine_divisor=2,
        refine_cap=32,
    ),
}


@dataclass(frozen=True)
class NetworkConfig(Settings):
    """Which networks, for which image size.

    The weights fit any size; depth is best near the one they were trained at.

    Raises SettingsError for an unknown architecture, a size that is no multiple of 32, or 32x32.
    """

    architecture: str = setting(
        "lite", "network architecture, where no weights file names it", choices=tuple(ARCHITECTURES)
    )
    input_width: int = setting(
        416, "width of the network's input", SIZE_STEP, _LARGEST_SIDE, "px", multiple=SIZE_STEP
    )
    input_height: int = setting(
        128, "height of the network's input", SIZE_STEP, _LARGEST_SIDE, "px", multiple=SIZE_STEP
    )
    widths: Widths = field(init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.input_width == self.input_height == SIZE_STEP:
            # The encoder's last map would be one pixel, which no norm over pixels can take.
            raise SettingsError(f"{SIZE_STEP}x{SIZE_STEP} pixels are too few; double one side")
        object.__setattr__(self, "widths", ARCHITECTURES[self.architecture])

    def sized(self, width: int, height: int) -> NetworkConfig:
        """The same networks for another input size."""
        return replace(self, input_width=width, input_height=height)
