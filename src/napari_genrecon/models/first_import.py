"""Import PyTorch in a thread while the window goes on: it takes seconds, most of them with Python's lock held."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from napari_genrecon.engine.responsive import short_turns, uncollected

__all__ = ["import_torch", "without_triton"]

_importing = threading.Lock()


def import_torch() -> None:
    """Import torch. A thread that is not the main one lets the others go on meanwhile.

    Raises
    ------
    ImportError, OSError
        If it cannot be imported.
    """
    if threading.current_thread() is threading.main_thread():
        import_module("torch")
        return
    with _importing:
        # Another thread may have imported it while this one waited for its turn.
        if "torch" in sys.modules:
            return
        _open_libraries()
        with short_turns(), uncollected():
            import_module("torch")


def _open_libraries() -> None:
    """Open the libraries of torch, which takes a quarter of a second or more.

    The import holds Python's lock meanwhile, so that a window stops; a function that is called through ctypes does not.
    Where they cannot be opened, the import says why.
    """
    found = find_spec("torch")
    if sys.platform == "win32" or found is None or found.origin is None:
        return
    # Not on Windows, where there is no dlopen and `CDLL(None)` fails.
    name = "libtorch.dylib" if sys.platform == "darwin" else "libtorch.so"
    # The function `dlopen`, so that the call goes through ctypes; its handle is not needed, as the library stays open.
    ctypes.CDLL(None).dlopen(os.fsencode(Path(found.origin).parent / "lib" / name), os.RTLD_NOW)


@contextmanager
def without_triton() -> Iterator[None]:
    """Let a part of torch that is imported here do without triton, as where there is none.

    Triton has an LLVM of its own. Where Mesa, which has one, too, draws napari's window, both in one process crash it.
    """
    hidden = "triton" not in sys.modules
    if hidden:
        sys.modules["triton"] = None  # type: ignore[assignment]  # Python's way to say that there is none
    try:
        yield
    finally:
        if hidden:
            del sys.modules["triton"]
