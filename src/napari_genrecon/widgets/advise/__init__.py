"""Dock widget "Advise"."""
