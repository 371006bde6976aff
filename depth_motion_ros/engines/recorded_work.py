"""Work on a GPU that is the same for every frame: fixed buffers, a stream and a CUDA graph."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping

import numpy as np
import torch
from numpy.typing import NDArray

_LOG = logging.getLogger(__name__)
# The first run compiles and allocates what is put off until then; nothing new comes after it.
_WARM_UP_RUNS = 3

# Name → type and shape.
Ports = Mapping[str, tuple[torch.dtype, tuple[int, ...]]]
Enqueue = Callable[[], None]


class RecordedWork:
    """All memory is taken at construction and by ``warm_up``, none while frames pass.

    Every input and output has a buffer on the GPU and a pinned one on the host. The work itself
    is ``enqueue`` in the methods: it puts on the current stream what reads and writes the buffers
    of the GPU. (It is not kept, because it would keep its owner, and thereby this, alive.)

    buffers: those on the GPU, by name. stream: on which everything runs.
    """

    def __init__(self, device: torch.device, ports: Ports, outputs: Collection[str]) -> None:
        """ports: inputs and outputs; outputs: which of them are outputs."""
        self._outputs = tuple(outputs)
        self._graph: torch.cuda.CUDAGraph | None = None
        self.stream = torch.cuda.Stream(device)
        self.buffers: dict[str, torch.Tensor] = {}
        self._host: dict[str, torch.Tensor] = {}
        self._arrays: dict[str, NDArray] = {}
        for name, (dtype, shape) in ports.items():
            self.buffers[name] = torch.zeros(shape, dtype=dtype, device=device)
            self._host[name] = torch.zeros(shape, dtype=dtype, pin_memory=True)
            # A view: the tensor above keeps the pinned memory for as long as this lives.
            self._arrays[name] = self._host[name].numpy()
        # The buffers were filled on another stream.
        torch.cuda.synchronize(device)

    @property
    def recorded(self) -> bool:
        """Whether a CUDA graph runs."""
        return self._graph is not None

    def warm_up(self, enqueue: Enqueue) -> None:
        """Do the work until it is what it stays.

        Raises what ``enqueue`` raises, and RuntimeError when the GPU fails.
        """
        with torch.cuda.stream(self.stream):
            for _ in range(_WARM_UP_RUNS):
                enqueue()
        self.stream.synchronize()

    def record(self, enqueue: Enqueue) -> None:
        """Make a CUDA graph of the work. Where that fails, one warning, and it runs without."""
        graph = torch.cuda.CUDAGraph()
        try:
            # Where a recording fails, PyTorch leaves its stream current: hence the outer one.
            # Other threads, such as the one whose frames pass, may use CUDA meanwhile.
            with (
                torch.cuda.stream(self.stream),
                torch.cuda.graph(graph, stream=self.stream, capture_error_mode="thread_local"),
            ):
                enqueue()
        except RuntimeError as error:
            _LOG.warning("running without a CUDA graph, which costs time on the CPU: %s", error)
            return
        self._graph = graph

    def run(
        self, inputs: Mapping[str, NDArray], enqueue: Enqueue
    ) -> dict[str, NDArray[np.float32]]:
        """All outputs for all inputs, by name. The arrays returned are the caller's own.

        Raises RuntimeError when the GPU fails, and what ``enqueue``, needed only where nothing
        could be recorded, raises.
        """
        for name, array in inputs.items():
            np.copyto(self._arrays[name], array)
        with torch.cuda.stream(self.stream):
            for name in inputs:
                self.buffers[name].copy_(self._host[name], non_blocking=True)
            if self._graph is None:
                enqueue()
            else:
                self._graph.replay()
            for name in self._outputs:
                self._host[name].copy_(self.buffers[name], non_blocking=True)
        self.stream.synchronize()
        return {name: self._arrays[name].copy() for name in self._outputs}

    def close(self) -> None:
        """Wait for what runs and free the memory. Closing twice does no harm."""
        if not self.buffers:
            return
        self.stream.synchronize()
        self._graph = None
        self.buffers.clear()
        self._arrays.clear()
        self._host.clear()
