"""PyTorch's CUDA on the CPU: streams that do nothing, graphs that do their work again."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace

import torch

from depth_motion_ros.engines.recorded_work import RecordedWork


class _Graph:
    def __init__(self):
        self.replays = 0

    def replay(self):
        self.replays += 1
        self.action()


class FakeCuda:
    """graphs: those recorded. capture_error: what a recording fails with."""

    def __init__(self, monkeypatch):
        self.graphs = []
        self.capture_error = None
        zeros, record = torch.zeros, RecordedWork.record

        def noted(work, enqueue):
            self._enqueue = enqueue
            record(work, enqueue)

        @contextlib.contextmanager
        def capture(graph, *, stream, capture_error_mode):
            # Frames pass on another thread meanwhile.
            assert capture_error_mode == "thread_local"
            if self.capture_error:
                raise RuntimeError(self.capture_error)
            yield
            graph.action = self._enqueue
            self.graphs.append(graph)

        stream = SimpleNamespace(cuda_stream=7, synchronize=lambda: None)
        fakes = {
            "device": lambda device: contextlib.nullcontext(),
            "stream": lambda stream: contextlib.nullcontext(),
            "Stream": lambda device: stream,
            "current_stream": lambda device: stream,
            "synchronize": lambda device: None,
            "get_device_name": lambda device: "Fake GPU",
            "CUDAGraph": _Graph,
            "graph": capture,
        }
        monkeypatch.setattr(RecordedWork, "record", noted)
        for name, value in fakes.items():
            monkeypatch.setattr(torch.cuda, name, value)
        monkeypatch.setattr(
            torch, "zeros", lambda *size, pin_memory=False, **options: zeros(*size, **options)
        )
