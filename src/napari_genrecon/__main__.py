"""The ``genrecon`` command, also as ``python -m napari_genrecon`` where the command is not on the path.

Everything else is imported inside `main`: that takes a third of a second, in which Ctrl-C must not end in a traceback.
"""

import sys

__all__ = ["main"]

_INTERRUPTED = 130  # 128 + SIGINT, as shells have it


def main() -> int:
    """Run the command line with the arguments of the process; return its exit status."""
    try:
        for stream in (sys.stdout, sys.stderr):
            _print_anything(stream)
        from napari_genrecon.cli import main as run

        return run()
    except KeyboardInterrupt:
        sys.stderr.write("genrecon: interrupted\n")
        return _INTERRUPTED


def _print_anything(stream: object) -> None:
    """Write what a console's code page lacks, such as "→" or another script, as escapes instead of failing."""
    if hasattr(stream, "reconfigure"):  # not where a program has put something else in its place
        stream.reconfigure(errors="backslashreplace")


if __name__ == "__main__":
    sys.exit(main())
