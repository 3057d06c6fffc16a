"""Find blobs: filters of several widths, the share of false ones among many, features around them."""
