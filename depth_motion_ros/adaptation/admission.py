"""Which pairs of frames may teach: those that show a scene from two places, and nothing else."""

from __future__ import annotations

REASONS = (
    "first",
    "bad_image",
    "time_step",
    "covered",
    "still",
    "exposure",
    "scene_cut",
    "rotation",
    "displacement",
    "valid",
    "warp",
    "residual",
    "not_finite",
    "budget",
    "cooling",
    "off",
)
"""Why a pair was refused, as counted in ``AdaptationStatus.refused``.

first: no frame to pair with. bad_image: not (H, W, 3) uint8, or another size than before. time_step:
out of range. covered: nothing to see, or one colour. still: no more change than noise, or odometry
says so. exposure: brightness changed. scene_cut: another scene. rotation: the camera turned and
little else. displacement: too little, or more than can be. valid: most pixels leave the image. warp:
the warped image fits no better than the unwarped. residual: most of the image seems to move by
itself. not_finite: the network said NaN. budget: no time to look. cooling, off: not learning.
"""
