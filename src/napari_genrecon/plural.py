"""Numbers in words: one file is, two files are, about 3 min."""

from __future__ import annotations

__all__ = ["duration", "number_of"]


def duration(seconds: float) -> str:
    """Return a duration in words, roughly."""
    if seconds < 90:
        return f"about {max(1, round(seconds))} s"
    return f"about {round(seconds / 60)} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"  # 5400 s: 90 min


def number_of(count: int, one: str, several: str) -> str:
    """Return a number and the words behind it, which differ if it is 1.

    Parameters
    ----------
    count : int
        How many.
    one, several : str
        The words behind 1, and behind any other number.

    Examples
    --------
    >>> number_of(1, "file is", "files are")
    '1 file is'
    >>> number_of(0, "file is", "files are")
    '0 files are'
    """
    return f"{count} {one if count == 1 else several}"
