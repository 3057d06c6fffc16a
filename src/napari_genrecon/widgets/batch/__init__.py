"""Dock widget "Folder"."""
