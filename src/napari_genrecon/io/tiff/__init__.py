"""Read TIFF through tifffile, and write OME-TIFF."""
