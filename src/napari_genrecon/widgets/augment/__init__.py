"""Dock widget "Augment"."""
