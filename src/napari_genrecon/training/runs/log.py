"""Read the logs of a run's process: losses as columns, and why the process ended."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["columns", "exit_reason"]


def columns(text: str) -> dict[str, NDArray[np.float64]]:
    """Return a log as columns. Steps repeated after a kill replace earlier ones; a line cut short is left out."""
    lines = text.splitlines()
    names = lines[0].split(",") if lines else []
    rows: list[list[float]] = []
    # A last line without its end is still being written, or was when the process was killed.
    for line in lines[1:] if text.endswith("\n") else lines[1:-1]:
        # What is no line of numbers, as a crash may leave, is passed over.
        with suppress(ValueError):
            row = [float(value) for value in line.split(",")]
            # A run goes on from its last checkpoint, and makes the steps after it once more.
            while rows and rows[-1][0] >= row[0]:
                rows.pop()
            rows += [row] if len(row) == len(names) else []
    table = np.array(rows, np.float64).reshape(len(rows), len(names))
    return {name: table[:, index] for index, name in enumerate(names)} if rows else {}


def exit_reason(folder: Path, returned: int | None) -> str:
    """Return why a process ended that wrote no reason itself."""
    with suppress(OSError):
        # The log may be large, and bytes at the cut may be half a character.
        lines = (folder / "child.log").read_bytes()[-4000:].decode(errors="replace").splitlines()
        said = [line.strip() for line in lines if line.strip()]
        # A negative status is the number of the signal that ended the process, as subprocess tells it.
        killed = f" by signal {-returned}" if returned is not None and returned < 0 else ""
        # A traceback and most libraries name the reason last.
        words = f"; its log ends with: {said[-1]}" if said else ""
        return (
            f"the process that trained it was ended from outside{killed} (the computer was switched off, memory ran "
            f"out, or it was killed): what was saved last can be resumed{words}"
        )
    return "the process that trained it ended for an unknown reason: what was saved last can be resumed"
