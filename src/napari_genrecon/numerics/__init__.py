"""Algorithms on arrays that know no task: blurring and undoing it, resampling, filling. NumPy and SciPy only."""
