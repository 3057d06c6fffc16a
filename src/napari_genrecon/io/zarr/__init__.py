"""Zarr: OME-Zarr is read and written; what is written can be continued after a kill."""
