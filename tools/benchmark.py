"""Measure, as Markdown tables: ``python tools/benchmark.py speed|times|memory|quality|trust|faults|generate|detect``.

Speeds are ratios taken in one run, because machines differ and are shared. Every figure in the README comes from here.
"""

from __future__ import annotations

import argparse
import platform
import sys
from importlib import import_module
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "what", choices=["speed", "times", "memory", "quality", "trust", "faults", "generate", "detect"]
    )
    parser.add_argument("--side", type=int, default=2048, help="speed: side of the image in pixels")
    parser.add_argument("--rounds", type=int, default=5, help="speed: how often each thing is timed")
    parser.add_argument("--planes", type=int, default=12, help="memory: planes to denoise (0: all)")
    parser.add_argument(
        "--task", default="denoise", choices=["denoise", "upscale", "deblur", "inpaint"], help="quality: of which task"
    )
    parser.add_argument("--data", help="folder with nuclei/ (quality: left out if not given)")
    parser.add_argument("--figure", type=Path, help="generate: also write samples beside real crops to this picture")
    parser.add_argument("--keep", type=Path, help="quality of inpaint: folder for the slow baseline, for the next run")
    parser.add_argument("--quick", action="store_true", help="quality: one image of each kind; faults: a part of each")
    parser.add_argument("--only", default="", help="faults, times: rows whose name contains this; detect: one table")
    parser.add_argument(
        "--processor", action="store_true", help="times: count processor time, for a shared machine and one thread"
    )
    arguments = parser.parse_args()
    print(f"\n## {arguments.what}\n\n{_machine()}\n")
    if arguments.what == "speed":
        from bench import speed

        speed.run(arguments.side, arguments.rounds)
    elif arguments.what == "times":
        from bench import times

        times.run(arguments.only, processor=arguments.processor)
    elif arguments.what == "memory":
        from bench import memory

        memory.run(arguments.planes)
    elif arguments.what == "trust":
        from bench import trust

        trust.run(arguments.quick)
    elif arguments.what == "generate":
        from bench import generate

        generate.run(Path(arguments.data or "../shared/data"), quick=arguments.quick, figure=arguments.figure)
    elif arguments.what == "detect":
        from bench import detect

        detect.run(Path(arguments.data or "../shared/data"), quick=arguments.quick, only=arguments.only)
    elif arguments.what == "faults":
        from bench import faults

        faults.run(arguments.quick, arguments.only)
    elif arguments.task == "inpaint":
        from bench import inpaint_quality

        inpaint_quality.run(arguments.quick, arguments.keep)
    elif arguments.task != "denoise":
        import_module(f"bench.{arguments.task}_quality").run(arguments.quick)
    else:
        from bench import quality

        quality.run(arguments.data, quick=arguments.quick)
    return 0


def _machine() -> str:
    import numpy
    import torch

    from napari_genrecon import __version__

    return (
        f"napari-genrecon {__version__}, Python {platform.python_version()}, torch {torch.__version__}, "
        f"numpy {numpy.__version__}, {torch.get_num_threads()} threads, {platform.machine()}"
    )


if __name__ == "__main__":
    sys.exit(main())
