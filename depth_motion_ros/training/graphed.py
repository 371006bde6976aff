"""A network whose training step is replayed as CUDA graphs.

DepthNet forward and backward is some 1,500 kernels, most of them shorter than the time that a
processor takes to launch one. Replayed as a graph they follow each other without it.
"""

from __future__ import annotations

import logging

import torch
from torch import Tensor, nn

_LOG = logging.getLogger(__name__)


class _Alias(nn.Module):
    """Another name for a network: capturing replaces the forward of what it is given."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)  # type: ignore[no-any-return]


class GraphedNet:
    """Forward and backward of a network for inputs of one shape, as captured now.

    What depends on Python (a noise level, whether the network is training) stays as it is at the
    time of capture; parameters are read, and random numbers drawn, at every replay. Where capturing
    fails the network runs as it is, which is logged once.

    network: on a CUDA device, in training mode. example: of the inputs, in their memory format.
    """

    def __init__(self, network: nn.Module, example: Tensor) -> None:
        self._shape, self._layout = example.shape, example.stride()
        self._run: nn.Module = _Alias(network)
        self._run.train(network.training)
        half, kind = torch.is_autocast_enabled("cuda"), torch.get_autocast_dtype("cuda")
        try:
            # Casts of the weights must be part of the graph, so none may be kept from before.
            with torch.autocast("cuda", kind, enabled=half, cache_enabled=False):
                torch.cuda.make_graphed_callables(self._run, (example.detach().clone(),))
        except RuntimeError as error:
            _LOG.warning("training without a CUDA graph, which costs time on the CPU: %s", error)
            self._run = network

    def takes(self, x: Tensor) -> bool:
        """Whether this is an input that the graph was captured for."""
        return x.shape == self._shape and x.stride() == self._layout

    def __call__(self, x: Tensor) -> Tensor:
        """The network's output, which the next call overwrites."""
        return self._run(x)  # type: ignore[no-any-return]
