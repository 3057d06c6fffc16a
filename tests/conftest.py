"""Settings of all tests."""

from hypothesis import settings

# No test is timed: machines are shared, and benchmarks measure speed (tools/benchmark.py).
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
