"""The command line."""

from napari_genrecon.cli.main import main

__all__ = ["main"]
