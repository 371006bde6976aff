"""What a stand-in for a TensorRT engine tells of its inputs and outputs."""

from __future__ import annotations

from types import SimpleNamespace


class DescribedEngine:
    """types: name to (name of its type, shape), the three inputs first."""

    def __init__(self, types):
        self.types = types
        self.names = list(types)
        self.num_io_tensors = len(types)

    def get_tensor_name(self, index):
        return self.names[index]

    def get_tensor_dtype(self, name):
        return SimpleNamespace(name=self.types[name][0])

    def get_tensor_shape(self, name):
        return self.types[name][1]

    def get_tensor_mode(self, name):
        return "in" if self.names.index(name) < 3 else "out"
