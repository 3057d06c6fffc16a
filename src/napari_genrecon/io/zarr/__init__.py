"""Read and write OME-Zarr; a write that was interrupted can be continued."""
