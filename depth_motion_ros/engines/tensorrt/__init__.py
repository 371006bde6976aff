"""TensorRT (experimental): build, cache and run engines on an NVIDIA GPU."""
