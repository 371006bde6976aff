"""See ``benchmarks.odometry.command``."""

import sys

from benchmarks.odometry.command import main

sys.exit(main())
