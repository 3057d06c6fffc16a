"""The journal of an unfinished result: which regions are done, so that a run can be continued after a kill.

A result that is being written lies in a folder whose name ends in ``.part``; its OME metadata are kept under another
name, so that nothing takes it for a finished image. One line of JSON is added after each region. A line counts only if
the stored pixels still have the checksum it gives.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from napari_genrecon.errors import OutputError
from napari_genrecon.io.lock import exclusive
from napari_genrecon.io.publish import remove
from napari_genrecon.io.record.provenance import Stored

__all__ = ["JOURNAL", "PART", "Header", "append", "begin", "forget", "locked", "part_of", "read"]

PART = ".part"
JOURNAL = "genrecon-journal.jsonl"
_SCHEMA = "genrecon-journal/2"

Index = tuple[int, ...]


class Header(NamedTuple):
    """First line of a journal: the digest of the run, its record, and the number of regions per dimension."""

    run: str
    record: dict[str, Any]
    regions: Index


def part_of(target: Path) -> Path:
    """Return the path of an unfinished result."""
    return target.with_name(target.name + PART)


def begin(part: Path, header: Header) -> None:
    """Start a journal."""
    first = {"schema": _SCHEMA, **header._asdict()}
    # "x" fails if there is one: two runs must never share a journal.
    with (part / JOURNAL).open("xb") as file:
        _put(file, first)


def append(part: Path, index: Index, stored: Stored) -> None:
    """Say that a region is stored."""
    with (part / JOURNAL).open("ab+") as file:
        # A full disk may have cut the last line short: what is added behind it would be lost with it.
        file.seek(-1, os.SEEK_END)
        if file.read(1) != b"\n":
            file.write(b"\n")
        line = {"region": index, "sha256": stored.digest, "nan": stored.nan, "clipped": stored.clipped}
        _put(file, line | {"machine": stored.machine})


def _put(file: Any, line: dict[str, Any]) -> None:
    file.write(json.dumps(line).encode() + b"\n")
    file.flush()
    # A line that is lost in a power failure only means that its region is computed again.
    os.fsync(file.fileno())


def read(part: Path) -> tuple[Header, dict[Index, Stored]]:
    """Return the header, and the facts about every region that was stored.

    Raises
    ------
    OutputError
        If there is no journal, or it is damaged in its first line. Later lines that were cut short are left out.
    """
    path = part / JOURNAL
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
        first = json.loads(lines[0])
        # JSON has lists where an index is a tuple.
        header = Header(first["run"], first["record"], tuple(first["regions"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OutputError(
            f"{part} cannot be continued, its journal is missing or damaged: delete the folder"
        ) from error
    # A region that was computed twice has two lines: the later one counts.
    return header, dict(_entries(lines[1:-1]))  # text behind the last line break was cut short


def _entries(lines: list[str]) -> Iterator[tuple[Index, Stored]]:
    for line in lines:
        # A damaged line costs one region, not the whole run.
        with suppress(ValueError, KeyError, TypeError):
            entry = json.loads(line)
            found = Stored(str(entry["sha256"]), entry["nan"], entry["clipped"], entry.get("machine", ""))
            yield tuple(entry["region"]), found


def forget(store: Path) -> None:
    """Remove what only an unfinished result needs."""
    remove(store / JOURNAL)


@contextmanager
def locked(part: Path) -> Iterator[None]:
    """Keep a second process out.

    Raises
    ------
    OutputError
        If another process is writing.
    """
    refusal = OutputError(f"{part} is being written by another process: wait for it to end")
    with exclusive(part.with_name(f".{part.name}.lock"), refusal):
        yield
