"""See ``benchmarks.learner.command``."""

import sys

from benchmarks.learner.command import main

sys.exit(main())
