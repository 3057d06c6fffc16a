"""TIFF: read by tifffile, written by us as OME-TIFF."""
