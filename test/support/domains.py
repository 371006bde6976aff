"""ROS domains that no other test of this machine uses at the same time."""

from __future__ import annotations

import fcntl
import os
import random
import tempfile
from pathlib import Path
from typing import IO


def free_domain() -> tuple[int, IO[str]]:
    """A domain, and the lock that holds it. Up to 101 its ports stay below the ephemeral ones."""
    candidates = list(range(1, 101))
    # The random numbers of two workers that begin at once are not to be the same.
    random.Random(os.urandom(8)).shuffle(candidates)
    for domain in candidates:
        path = Path(tempfile.gettempdir()) / f"depth_motion_ros_domain_{domain}.lock"
        lock = path.open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            continue
        return domain, lock
    raise AssertionError("all 100 ROS domains are held by other tests")
