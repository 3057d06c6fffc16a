"""Formats of other programs, one file each; they are read, never written."""
