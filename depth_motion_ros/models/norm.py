"""Randomized layer normalisation (Li et al. 2020, section 3.3)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPSILON = 1e-3


class RandomizedLayerNorm(nn.Module):
    """Normalises each channel of each sample over its pixels; in training, with noisy statistics.

    y = gamma (x - mu) / sqrt(sigma^2 + 1e-3) + beta. In training mu and sigma^2 are multiplied by
    1 + n with n from a normal distribution of standard deviation ``noise`` truncated at two
    standard deviations, drawn anew for each sample, channel and statistic. At inference there is
    no noise and nothing depends on other samples of the batch.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.noise = 0.0

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, H, W); the result has its shape."""
        if not self.training or self.noise == 0.0:
            return F.instance_norm(x, weight=self.weight, bias=self.bias, eps=EPSILON)
        variance, mean = torch.var_mean(x, dim=(2, 3), keepdim=True, correction=0)
        mean = mean * (1 + self._draw(mean))
        variance = variance * (1 + self._draw(variance))
        gain = self.weight[:, None, None] * torch.rsqrt(variance + EPSILON)
        return torch.addcmul(self.bias[:, None, None] - mean * gain, x, gain)

    def _draw(self, like: Tensor) -> Tensor:
        noise = torch.empty_like(like)
        nn.init.trunc_normal_(noise, std=self.noise, a=-2 * self.noise, b=2 * self.noise)
        return noise
