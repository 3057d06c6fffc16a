"""The ``genrecon`` command, also as ``python -m napari_genrecon`` where the command is not on the path.

Everything else is imported inside `main`: that takes a third of a second, in which Ctrl-C must not end in a traceback.
"""

import os
import sys

__all__ = ["main"]

_INTERRUPTED, _UNREAD = 130, 141  # 128 + SIGINT and + SIGPIPE, as shells have it


def main() -> int:
    """Run the command line with the arguments of the process; return its exit status."""
    try:
        for name in ("stdout", "stderr"):
            _print_anything(name)
        from napari_genrecon.cli import main as run

        status = run()
        sys.stdout.flush()  # what is still to be printed may have no reader any more
        return status
    except KeyboardInterrupt:
        sys.stderr.write("genrecon: interrupted\n")
        return _INTERRUPTED
    # What read the output has ended, as `head` does after some lines: nothing is to be said, and nobody to say it to.
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what Python writes when it ends
        return _UNREAD


def _print_anything(name: str) -> None:
    """Write what a console's code page lacks, such as "→" or another script, as escapes instead of failing."""
    stream = getattr(sys, name)
    if stream is None:  # closed by whatever started this
        setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    elif hasattr(stream, "reconfigure"):  # not where a program has put something else in its place
        stream.reconfigure(errors="backslashreplace")


if __name__ == "__main__":
    sys.exit(main())
