"""A ray caster in PyTorch that draws scenes from a seed and knows the truth about every pixel.

``render.render`` draws, ``batches.PairSampler`` makes training pairs on the training device, and
``source.open_simulator`` opens a named scene as a source of frames.
"""

from depth_motion_ros.simulator.batches import PairBatch, PairSampler, PairSettings
from depth_motion_ros.simulator.rendering.render import SKY_DEPTH, RenderOutput
from depth_motion_ros.sources.simulated import SCENES, SimulatorSource, open_simulator

__all__ = [
    "SCENES", "SKY_DEPTH", "PairBatch", "PairSampler", "PairSettings", "RenderOutput",
    "SimulatorSource", "open_simulator",
]  # fmt: skip
