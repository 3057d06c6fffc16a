"""What a run's folder says about its process: who works on it, how far it is, how it ended.

Small JSON files, each written whole. A process is known by its number and the time it was started, as numbers are used
again; on another computer of a cluster, by the time of its last sign of life.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from napari_genrecon.errors import GenReconError, OptionError, OutputError
from napari_genrecon.io.lock import exclusive
from napari_genrecon.io.publish import DISK_FULL, sentence, write_file

__all__ = [
    "FINAL",
    "Status",
    "heartbeat",
    "lock",
    "is_alive",
    "note_process",
    "read_json",
    "read_status",
    "reserve",
    "write_status",
    "writing",
]

FINAL = ("finished", "stopped", "failed")
_BEAT = 10.0  # seconds between signs of life
_SILENCE = 120.0  # seconds after which a process on another computer is taken for dead
_CLOCK = 2.0  # seconds by which the start time of one process may seem to differ
_RESERVE = 64 << 10  # bytes kept, to be freed so that the reason can be written on a full disk


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How a run stands, as its process wrote it last.

    Attributes
    ----------
    state : str
        ``starting``, ``running``, ``finished``, ``stopped`` or ``failed``.
    error : str
        Why it failed, in a sentence.
    model, sha256 : str
        Name and checksum of the model that was put into the models folder.
    time : float
        When this was written, in seconds since 1970.
    """

    state: str
    error: str = ""
    model: str = ""
    sha256: str = ""
    time: float = 0.0


def read_json(path: Path) -> dict[str, Any]:
    """Return a JSON object; empty if there is none that can be read."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def read_status(folder: Path) -> Status:
    """Return how a run stands; ``starting`` before anything was written."""
    found = read_json(folder / "status.json")
    texts = {key: found.get(key) for key in ("state", "error", "model", "sha256")}
    plain = {key: value for key, value in texts.items() if isinstance(value, str)}
    when = found.get("time")
    return Status(**{"state": "starting", **plain}, time=float(when) if isinstance(when, int | float) else 0.0)


def write_status(folder: Path, status: Status) -> None:
    """Write how a run stands; on a full disk, in the space that `reserve` kept."""
    content = json.dumps(asdict(replace(status, time=time.time())), indent=1).encode()
    try:
        write_file(folder / "status.json", content)
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        (folder / "reserve").unlink(missing_ok=True)
        write_file(folder / "status.json", content)


def reserve(folder: Path) -> None:
    """Keep a little space for the last words."""
    write_file(folder / "reserve", b"\0" * _RESERVE)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say in a sentence why something could not be written."""
    try:
        yield
    except OSError as error:
        if isinstance(error, GenReconError):
            raise
        raise OutputError(sentence(path, error)) from error


# --- who works on it ---


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Be the only process that works on a run; a process that is killed leaves no claim behind.

    Raises
    ------
    OptionError
        If another process works on it.
    """
    refusal = f"another process trains {folder.name!r} already: stop it first, or wait for its end"
    with exclusive(folder / "lock", OptionError(refusal)):
        yield


def note_process(folder: Path, pid: int) -> None:
    """Write down which process works on a run."""
    import psutil

    try:
        started = psutil.Process(pid).create_time()
    except psutil.Error:  # it has ended already, and its status will tell
        started = 0.0
    facts = {"pid": pid, "started": started, "host": socket.gethostname()}
    write_file(folder / "process.json", json.dumps(facts).encode())


def is_alive(folder: Path) -> bool:
    """Return whether the process that was written down still runs: that one, not another that got its number."""
    import psutil

    found = read_json(folder / "process.json")
    pid, started = found.get("pid"), found.get("started")
    if not isinstance(pid, int) or not isinstance(started, int | float):
        return False
    if found.get("host") != socket.gethostname():
        return _heard(folder) < _SILENCE
    try:
        process = psutil.Process(pid)
        same = abs(process.create_time() - started) < _CLOCK
        return same and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, ValueError, OverflowError):
        return False


def _heard(folder: Path) -> float:
    """Seconds since the last sign of life."""
    try:
        return time.time() - (folder / "heartbeat").stat().st_mtime
    except OSError:
        return float("inf")


@contextmanager
def heartbeat(folder: Path) -> Iterator[None]:
    """Give a sign of life every few seconds."""
    ended = threading.Event()
    path = folder / "heartbeat"
    path.touch()

    def beat() -> None:
        while not ended.wait(_BEAT):
            with suppress(OSError):
                os.utime(path)

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
