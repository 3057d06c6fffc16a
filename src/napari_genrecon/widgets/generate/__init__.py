"""Dock "Generate": sample a model and explore it."""
