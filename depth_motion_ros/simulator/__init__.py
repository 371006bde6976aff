"""A ray caster in PyTorch that draws scenes from a seed, with exact ground truth for every pixel.

``rendering.render.render`` draws; ``batches.PairSampler`` makes training pairs on the training
device. ``sources.simulated.open_simulator`` opens a named scene as a source of frames.
"""

from depth_motion_ros.simulator.batches import PairBatch, PairSampler, PairSettings
from depth_motion_ros.simulator.rendering.render import SKY_DEPTH, RenderOutput

__all__ = ["SKY_DEPTH", "PairBatch", "PairSampler", "PairSettings", "RenderOutput"]
