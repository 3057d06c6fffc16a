"""Command line of the package."""

from napari_genrecon.cli.main import main

__all__ = ["main"]
