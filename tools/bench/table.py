"""Markdown tables, printed row by row so that a long run can be watched."""

from __future__ import annotations


def header(*columns: str) -> None:
    """Print the head of a table; all columns but the first are right-aligned."""
    print("| " + " | ".join(columns) + " |")
    print("|" + "|".join([" --- ", *[" ---: "] * (len(columns) - 1)]) + "|", flush=True)


def row(*cells: object) -> None:
    """Print one row."""
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)
