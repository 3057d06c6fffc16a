"""Recognise objects: describe them by features, and learn classes from few examples."""
