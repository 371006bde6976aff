"""The ONNX graph of both networks, and the CPU runtimes that execute it."""
