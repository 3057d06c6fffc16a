"""Small files in a run's folder that describe its process: state, lock, process number, heartbeat.

Each is written whole. A process is identified by its number and its start time, as numbers are used again; on another
computer of a cluster, by the time of its last heartbeat.
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
from napari_genrecon.io.publish import DISK_FULL, remove, sentence, write_file

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
_BEAT = 10.0  # seconds between heartbeats
# After so many seconds without a heartbeat a process on another computer counts as dead: network drives show new
# files late, and a live run that is taken for dead could be resumed twice.
_SILENCE = 120.0
_CLOCK = 2.0  # seconds of tolerance between two readings of the start time of a process
_RESERVE = 64 << 10  # bytes of a file that is deleted on a full disk, so that the reason can be written


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """State of a run, as its process wrote it last.

    Attributes
    ----------
    state : str
        ``starting``, ``running``, ``finished``, ``stopped`` or ``failed``.
    error : str
        Reason of a failure, in a sentence.
    model, sha256 : str
        Name and checksum of its model in the models folder.
    device : str
        Why it trains on the processor although there is a GPU, in a sentence; empty otherwise.
    time : float
        Time of writing, in seconds since 1970.
    """

    state: str
    error: str = ""
    model: str = ""
    sha256: str = ""
    device: str = ""
    time: float = 0.0


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file; empty if the file is missing or unreadable."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def read_status(folder: Path) -> Status:
    """Return the status of a run; ``starting`` before anything was written."""
    found = read_json(folder / "status.json")
    # The file may be of another version, or edited: what is no text is left out and not trusted.
    texts = {key: found.get(key) for key in ("state", "error", "model", "sha256", "device")}
    plain = {key: value for key, value in texts.items() if isinstance(value, str)}
    when = found.get("time")
    return Status(**{"state": "starting", **plain}, time=float(when) if isinstance(when, int | float) else 0.0)


def write_status(folder: Path, status: Status) -> None:
    """Write the status of a run; on a full disk, in the space that `reserve` kept."""
    content = json.dumps(asdict(replace(status, time=time.time())), indent=1).encode()
    try:
        write_file(folder / "status.json", content)
    except OSError as error:
        # Freeing space helps no other error, such as one of permissions.
        if error.errno not in DISK_FULL:
            raise
        remove(folder / "reserve")
        write_file(folder / "status.json", content)


def reserve(folder: Path) -> None:
    """Write a file that is deleted on a full disk, to make room for the last status."""
    write_file(folder / "reserve", b"\0" * _RESERVE)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError into an OutputError whose message is a sentence."""
    try:
        yield
    except OSError as error:
        # `OutputError` is an OSError too, and has its sentence already.
        if isinstance(error, GenReconError):
            raise
        raise OutputError(sentence(path, error)) from error


# --- the process ---


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Make sure that no other process works on a run; a killed process releases its lock.

    Raises
    ------
    OptionError
        If another process works on it.
    """
    refusal = f"another process trains {folder.name!r} already: stop it first, or wait for its end"
    with exclusive(folder / "lock", OptionError(refusal)):
        yield


def note_process(folder: Path, pid: int) -> None:
    """Write which process works on a run."""
    import psutil

    try:
        started = psutil.Process(pid).create_time()
    except psutil.Error:  # it has ended already, and its status will tell
        started = 0.0
    facts = {"pid": pid, "started": started, "host": socket.gethostname()}
    write_file(folder / "process.json", json.dumps(facts).encode())


def is_alive(folder: Path) -> bool:
    """Return whether the process of a run is alive; another that got its number later is not taken for it."""
    import psutil

    found = read_json(folder / "process.json")
    pid, started = found.get("pid"), found.get("started")
    if not isinstance(pid, int) or not isinstance(started, int | float):
        return False
    # The number means nothing on another computer, where it may belong to any process.
    if found.get("host") != socket.gethostname():
        return _since_heartbeat(folder) < _SILENCE
    try:
        process = psutil.Process(pid)
        # On Linux the start time is counted from that of booting, which moves a little when the clock is set.
        same = abs(process.create_time() - started) < _CLOCK
        # A zombie has ended, and only waits for its parent to ask.
        return same and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, ValueError, OverflowError):
        return False


def _since_heartbeat(folder: Path) -> float:
    """Return the seconds since the last heartbeat."""
    try:
        return time.time() - (folder / "heartbeat").stat().st_mtime
    except OSError:
        return float("inf")


@contextmanager
def heartbeat(folder: Path) -> Iterator[None]:
    """Touch the file ``heartbeat`` every few seconds."""
    ended = threading.Event()
    path = folder / "heartbeat"
    # Before the thread begins: another computer must not find a run without one.
    path.touch()

    def beat() -> None:
        # Not a sleep: `set` ends the waiting at once.
        while not ended.wait(_BEAT):
            # A network drive that is away for a moment costs one heartbeat and must not end the thread.
            with suppress(OSError):
                os.utime(path)

    # A daemon: it never keeps a process alive that has nothing else to do.
    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
