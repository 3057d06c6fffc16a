"""Classify objects in the window: give classes by key, learn, and follow suggestions."""
