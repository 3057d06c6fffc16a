"""Filters of images that run in torch, for algorithms that know none."""
