"""Load Triton safely beside a window; torch's optimisers and Lightning import it."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from importlib import import_module

__all__ = ["load_triton"]


def load_triton() -> None:
    """Load Triton, where it is installed, so that it calls its own LLVM.

    Mesa draws with an LLVM that it has loaded for the whole process. Calls of Triton that end up in that one, of
    another version, end the process, and with it napari.
    """
    if "triton" in sys.modules or not hasattr(os, "RTLD_DEEPBIND"):  # Linux only
        return
    # RTLD_DEEPBIND: the library prefers its own symbols to those that the process has loaded already.
    flags = sys.getdlopenflags()
    sys.setdlopenflags(flags | os.RTLD_DEEPBIND)
    try:
        # torch works without Triton, which has no package for some platforms.
        with suppress(ImportError):
            import_module("triton")
    finally:
        # Libraries of other packages must not be loaded so: some count on symbols of the process.
        sys.setdlopenflags(flags)
