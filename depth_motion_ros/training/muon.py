"""Muon for convolutions: steps whose directions all weigh the same.

Jordan et al., Muon: An optimizer for hidden layers in neural networks, 2024. PyTorch's own
(torch.optim.Muon) takes matrices alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

# Of the running mean of the gradients, and of Adam, for what is no convolution.
_MOMENTUM, _BETAS, _EPSILON = 0.95, (0.9, 0.999), 1e-8
# The quintic iteration of Newton and Schulz that brings all singular values to about 1.
_QUINTIC, _ITERATIONS = (3.4445, -4.7750, 2.0315), 5
# Root mean square of a step over its rate: that of Adam, so that rates are alike (Liu et al., Muon
# is Scalable for LLM Training, 2025).
_LIKE_ADAM = 0.2


def convolutions(network: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    """(weights of convolutions, of transposed convolutions) between other layers: neither the first
    of a network, which sees the image, nor the last, which is one channel wide."""
    forward: list[Tensor] = []
    transposed: list[Tensor] = []
    for layer in network.modules():
        if isinstance(layer, nn.ConvTranspose2d):
            transposed.append(layer.weight)
        elif isinstance(layer, nn.Conv2d) and min(layer.weight.shape[:2]) > 3:
            forward.append(layer.weight)
    return forward, transposed


class Muon(torch.optim.Optimizer):
    """Muon where a group says ``muon``, else Adam.

    Groups: params, lr; muon: whether they are weights of convolutions; transposed: whether their
    first axis is that of the inputs.
    """

    def __init__(self, groups: list[dict[str, Any]], lr: float) -> None:
        super().__init__(groups, {"lr": lr, "muon": False, "transposed": False})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step. closure: computes the loss anew, with gradients; None = they are there."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                gradient = weight.grad
                if gradient is None:
                    continue
                if group["muon"]:
                    self._orthogonal(weight, gradient, group["lr"], group["transposed"])
                else:
                    self._adam(weight, gradient, group["lr"])
        return loss

    def _state(self, weight: Tensor) -> dict[str, Any]:
        state = self.state[weight]
        if not state:
            state["step"] = torch.zeros(())
            state["exp_avg"] = torch.zeros_like(weight)
            state["exp_avg_sq"] = torch.zeros_like(weight)
        state["step"] += 1
        return state

    def _orthogonal(self, weight: Tensor, gradient: Tensor, rate: float, transposed: bool) -> None:
        mean = self._state(weight)["exp_avg"]
        mean.lerp_(gradient, 1 - _MOMENTUM)
        ahead = gradient.lerp(mean, _MOMENTUM)
        if transposed:
            ahead = ahead.transpose(0, 1)
        step = orthogonalised(ahead.reshape(ahead.shape[0], -1))
        step = step * (_LIKE_ADAM * max(step.shape) ** 0.5)
        step = step.reshape(ahead.shape)
        weight.add_(step.transpose(0, 1) if transposed else step, alpha=-rate)

    def _adam(self, weight: Tensor, gradient: Tensor, rate: float) -> None:
        state = self._state(weight)
        first, second = _BETAS
        count = float(state["step"])
        state["exp_avg"].lerp_(gradient, 1 - first)
        state["exp_avg_sq"].mul_(second).addcmul_(gradient, gradient, value=1 - second)
        spread = (state["exp_avg_sq"] / (1 - second**count)).sqrt_().add_(_EPSILON)
        weight.addcdiv_(state["exp_avg"], spread, value=-rate / (1 - first**count))


def orthogonalised(matrix: Tensor) -> Tensor:
    """(M, N) with the same singular vectors, and singular values of 0.7 to 1.2 where they were not
    tiny."""
    is_high = matrix.shape[0] > matrix.shape[1]
    X = matrix.T if is_high else matrix
    X = X / (X.norm() + _EPSILON)
    a, b, c = _QUINTIC
    for _ in range(_ITERATIONS):
        A = X @ X.T
        X = a * X + (b * A + c * A @ A) @ X
    return X.T if is_high else X
