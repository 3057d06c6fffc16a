"""Compare two images: split by a line, one after the other, side by side, by their difference, and along a line."""
