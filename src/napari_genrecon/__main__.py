"""``python -m napari_genrecon``, where the command ``genrecon`` is not on the path."""

import sys

from napari_genrecon.cli import main

if __name__ == "__main__":
    sys.exit(main())
