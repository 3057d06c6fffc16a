"""Settings of all tests."""

import sys
from pathlib import Path

from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))  # the benchmarks' hostile files and faults

# No test is timed: machines are shared, and benchmarks measure speed (tools/benchmark.py).
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
