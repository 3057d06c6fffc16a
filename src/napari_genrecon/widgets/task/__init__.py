"""Dock widget of a task: layers, noise report, options, preview, run, check."""
