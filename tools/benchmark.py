"""Measure, as Markdown tables: ``python tools/benchmark.py WHAT``, see ``--help``.

Speeds are ratios taken in one run, because machines differ and are shared. Every figure in the README comes from here.
"""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

_DATA = Path("../shared/data")

# What can be measured: the module of tools/bench, and the arguments that its `run` takes.
WHAT: dict[str, tuple[str, Callable[[argparse.Namespace], dict[str, Any]]]] = {
    "speed": ("speed", lambda given: {"side": given.side, "rounds": given.rounds}),
    "times": ("times", lambda given: {"only": given.only, "processor": given.processor}),
    "memory": ("memory", lambda given: {"planes": given.planes}),
    "quality": ("quality", lambda given: {"data": given.data, "quick": given.quick, "only": given.only}),
    "quality of inpaint": (
        "inpaint_quality",
        lambda given: {"quick": given.quick, "keep": given.keep, "only": given.only},
    ),
    "quality of upscale": ("upscale_quality", lambda given: {"quick": given.quick}),
    "quality of deblur": ("deblur_quality", lambda given: {"quick": given.quick, "only": given.only}),
    "sequence": ("sequence", lambda given: {"quick": given.quick, "only": given.only}),
    "cameras": ("camera_noise", lambda given: {"only": given.only, "quick": given.quick}),
    "scmos": ("scmos", lambda given: {"quick": given.quick}),
    "light": ("light", lambda given: {"quick": given.quick}),
    "trust": ("trust", lambda given: {"quick": given.quick, "only": given.only}),
    "uncertainty": ("uncertainty", lambda given: {"quick": given.quick, "only": given.only}),
    "psf": ("psf", lambda given: {}),
    "window": ("window", lambda given: {"only": given.only, "keep": given.keep}),
    "linearity": ("linearity", lambda given: {"quick": given.quick}),
    "faults": ("faults", lambda given: {"quick": given.quick, "only": given.only}),
    "generate": (
        "generate",
        lambda given: {"data": Path(given.data or _DATA), "quick": given.quick, "figure": given.figure},
    ),
    "train": (
        "train",
        lambda given: {
            "quick": given.quick,
            "only": given.only,
            "keep": given.keep,
            "movie": Path(given.data or _DATA) / "microscopy" / "mitocheck-movie",
        },
    ),
    "augment": ("augment", lambda given: {}),
    "detect": (
        "detect",
        lambda given: {"data": Path(given.data or _DATA), "quick": given.quick, "only": given.only},
    ),
    "classify": (
        "classify",
        lambda given: {
            "data": Path(given.data or _DATA),
            "quick": given.quick,
            "keep": given.keep,
            "only": given.only,
        },
    ),
}


def main() -> int:
    tasks = ["denoise", *(name.rpartition(" ")[2] for name in WHAT if " " in name)]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=[name for name in WHAT if " " not in name])
    parser.add_argument("--side", type=int, default=2048, help="speed: side of the image in pixels")
    parser.add_argument("--rounds", type=int, default=5, help="speed: how often each thing is timed")
    parser.add_argument("--planes", type=int, default=12, help="memory: planes to denoise (0: all)")
    parser.add_argument("--task", default="denoise", choices=tasks, help="quality: of which task")
    parser.add_argument("--data", help="folder with nuclei/ (quality: left out if not given) and recognition/")
    parser.add_argument("--figure", type=Path, help="generate: also write samples beside real crops to this picture")
    parser.add_argument(
        "--keep",
        type=Path,
        help="inpaint, classify, train: folder for what is slow, for the next run; window: pictures",
    )
    parser.add_argument("--quick", action="store_true", help="fewer images, or a part of each")
    parser.add_argument("--only", default="", help="rows whose name contains this, where there are many")
    parser.add_argument(
        "--processor", action="store_true", help="times: count processor time, for a shared machine and one thread"
    )
    given = parser.parse_args()
    print(f"\n## {given.what}\n\n{_machine()}\n")
    of_task = f"{given.what} of {given.task}"
    module, arguments = WHAT.get(of_task) or WHAT[given.what]
    import_module(f"bench.{module}").run(**arguments(given))
    return 0


def _machine() -> str:
    import numpy
    import torch

    from napari_genrecon import __version__
    from napari_genrecon.models.precision import bfloat16_is_native

    formats = "bfloat16 where a model allows it" if bfloat16_is_native("cpu") else "float32"
    return (
        f"napari-genrecon {__version__}, Python {platform.python_version()}, torch {torch.__version__}, "
        f"numpy {numpy.__version__}, {torch.get_num_threads()} threads, {platform.machine()}; "
        f"networks compute in {formats}"
    )


if __name__ == "__main__":
    sys.exit(main())
