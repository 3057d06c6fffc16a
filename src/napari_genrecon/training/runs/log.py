"""Read the logs of a run's process: losses as columns, and why the process ended."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["columns", "exit_reason"]

_TAIL = 3  # lines of its log that an error message quotes


def columns(text: str) -> dict[str, NDArray[np.float64]]:
    """Return a log as columns. Steps repeated after a kill replace earlier ones; a line cut short is left out."""
    lines = text.splitlines()
    names = lines[0].split(",") if lines else []
    rows: list[list[float]] = []
    for line in lines[1:] if text.endswith("\n") else lines[1:-1]:
        with suppress(ValueError):
            row = [float(value) for value in line.split(",")]
            while rows and rows[-1][0] >= row[0]:
                rows.pop()
            rows += [row] if len(row) == len(names) else []
    table = np.array(rows, np.float64).reshape(len(rows), len(names))
    return {name: table[:, index] for index, name in enumerate(names)} if rows else {}


def exit_reason(folder: Path, returned: int | None) -> str:
    """Return why a process ended that wrote no reason itself."""
    with suppress(OSError):
        lines = (folder / "child.log").read_bytes()[-4000:].decode(errors="replace").splitlines()
        said = [line.strip() for line in lines if line.strip()][-_TAIL:]
        killed = f" by signal {-returned}" if returned is not None and returned < 0 else ""
        words = f"; the end of its log: {' / '.join(said)}" if said else ""
        return (
            f"the process that trained it was ended from outside{killed} (the computer was switched off, memory ran "
            f"out, or it was killed): what was saved last can be resumed{words}"
        )
    return "the process that trained it ended for an unknown reason: what was saved last can be resumed"
