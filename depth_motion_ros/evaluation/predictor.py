"""What is evaluated: anything that predicts depth of images and motion of pairs of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from depth_motion_ros.geometry import se3
from depth_motion_ros.geometry.camera import Camera
from depth_motion_ros.geometry.rotation import euler_to_matrix
from depth_motion_ros.models.network import DepthMotionNet

Image = NDArray[np.uint8]
Pair = tuple[int, int]


@dataclass(frozen=True, eq=False)
class PredictedPairMotion:
    """Motion from image 1 to image 2, in the unit of the predicted depth.

    transform: (4, 4) float64, static points of frame 1 to the camera axes of frame 2.
    residual: (H, W, 3) float32, what the point at a pixel of image 1 moves by itself, in the axes
        of frame 2 (the convention of ``GroundTruth.motion``).
    K: (3, 3) float64, learned, pixels of the image.
    """

    transform: NDArray[np.float64]
    residual: NDArray[np.float32]
    K: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Prediction:
    """depths: (H, W) float32 of every image, at its size; motions: one for every pair."""

    depths: list[NDArray[np.float32]]
    motions: list[PredictedPairMotion]


class Predictor(Protocol):
    """Depth of images (H, W, 3) uint8 RGB, and motion of the pairs of them given by index."""

    def predict(self, images: Sequence[Image], pairs: Sequence[Pair]) -> Prediction: ...


class NetworkPredictor:
    """The networks in PyTorch, on the device they lie on, at their configured input size.

    Images are resized to it by area, results back to the image's size bilinearly. K is the
    average over both orders of a pair, as in training.
    """

    def __init__(self, network: DepthMotionNet) -> None:
        self._network = network
        self._device = next(network.parameters()).device

    def predict(self, images: Sequence[Image], pairs: Sequence[Pair]) -> Prediction:
        """See Predictor. The network is evaluated, whatever mode it is left in."""
        if not images:
            return Prediction([], [])
        network = self._network
        was_training = network.training
        network.eval()
        try:
            with torch.inference_mode():
                return self._predict(images, pairs)
        finally:
            network.train(was_training)

    def _predict(self, images: Sequence[Image], pairs: Sequence[Pair]) -> Prediction:
        config = self._network.config
        size = config.input_width, config.input_height
        small = np.stack([cv2.resize(i, size, interpolation=cv2.INTER_AREA) for i in images])
        batch = torch.from_numpy(small).to(self._device).permute(0, 3, 1, 2).float() / 255
        depth = self._network.depth_net(batch)
        shapes = [image.shape[:2] for image in images]
        depths = [
            _resized(d, shape) for d, shape in zip(depth[:, 0].cpu().numpy(), shapes, strict=True)
        ]
        if not pairs:
            return Prediction(depths, [])
        first, second = ([pair[side] for pair in pairs] for side in (0, 1))
        # Both orders in one batch; of the reverse one only K is used.
        one, two = first + second, second + first
        motion = self._network.motion_net(batch[one], depth[one], batch[two], depth[two])
        n = len(pairs)
        rotation = euler_to_matrix(motion.rotation[:n]).double().cpu().numpy()
        translation = motion.translation[:n].double().cpu().numpy()
        residual = motion.residual[:n].permute(0, 2, 3, 1).cpu().numpy()
        K = (0.5 * (motion.K[:n] + motion.K[n:])).double().cpu().numpy()
        return Prediction(
            depths,
            [
                PredictedPairMotion(
                    se3.transform(rotation[i], translation[i]),
                    _resized(residual[i], shapes[first[i]]),
                    Camera(K[i], *size).resized(*shapes[first[i]][::-1]).K,
                )
                for i in range(n)
            ],
        )


def _resized(values: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    resized = cv2.resize(values, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)
    return resized.astype(np.float32, copy=False)
