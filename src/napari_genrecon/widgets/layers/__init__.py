"""Convert napari layers to arrays, options and files, and back."""
