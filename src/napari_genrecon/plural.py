"""Numbers of things in words: one file is, two files are."""

from __future__ import annotations

__all__ = ["number_of"]


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
