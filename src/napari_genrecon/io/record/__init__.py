"""The record of a result: written, read back, put into words, verified."""
