"""Formats of other programs, one file each: they are read, and never written."""
