"""The record of a result: write it, read it back, put it into words, verify it."""
