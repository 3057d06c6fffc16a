"""Measure memory: the peak of anonymous pages while a stack four times a 1 GB budget is denoised to disk."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

from bench.table import header, row
from napari_genrecon.io.saving import Saving

BUDGET = 1 << 30
SHAPE = (512, 2048, 2048)  # uint16: 4.3 GB
PLANES = 12  # planes that are denoised by default

_BARE = "import torch, napari_genrecon.models as m; m.load_network(m.find_model('auto', 'denoise'), 'cpu')"


def run(planes: int) -> None:
    """Print the figures; all planes with 0."""
    with tempfile.TemporaryDirectory() as folder:
        bare, jobs = peaks(Path(folder), planes or SHAPE[0])
    header(f"{SHAPE} uint16 ({4 * BUDGET / 1e9:.1f} GB) on disk", "peak anonymous memory (GB)")
    row("torch and the network loaded, nothing run", f"{bare / 1e9:.2f}")
    for name, most in jobs.items():
        row(name, f"{most / 1e9:.2f}")
        row(f"{name}: own share", f"{(most - bare) / 1e9:.2f}")
    row("budget", f"{BUDGET / 1e9:.2f}")


def peaks(folder: Path, planes: int = PLANES) -> tuple[int, dict[str, int]]:
    """Return the peak anonymous memory in bytes of a bare process and of each job; each in a process of its own."""
    source = folder / "stack.zarr"
    _run(f"from bench import memory; memory.make_stack({str(source)!r})")
    bare = peak(_BARE)
    return bare, {
        f"{planes} planes denoised to OME-Zarr": peak(
            f"from bench import memory; memory.denoise_to_disk({str(source)!r}, {planes})"
        ),
        # What comes before the first plane and after the last one, without the hours of network in between.
        "all planes copied to OME-Zarr, with levels and checksums": peak(
            f"from bench import memory; memory.copy_to_disk({str(source)!r}, 'copy.zarr')"
        ),
        "all planes copied to OME-TIFF with a pyramid": peak(
            f"from bench import memory; memory.copy_to_disk({str(source)!r}, 'copy.ome.tif')"
        ),
    }


def make_stack(path: str) -> None:
    """Write a stack of shifted copies of one noisy plane: cheap to make, and its chunks are real."""
    import numpy as np

    from bench.speed import noisy_scene
    from napari_genrecon.axes import Axes
    from napari_genrecon.io.image_file import ImageMeta
    from napari_genrecon.io.zarr.store import create_store, level_array, publish_store

    plane = noisy_scene(SHAPE[1])[1].clip(0, 65535).astype(np.uint16)
    part, regions = Path(path + ".part"), ((1,) * SHAPE[0], (512,) * 4, (512,) * 4)
    create_store(part, regions, plane.dtype, ImageMeta(axes=Axes("ZYX")).filled(), "stack")
    stack = level_array(part, 0, mode="r+")
    for index in range(SHAPE[0]):
        stack[index] = np.roll(plane, index * 4, axis=1)
    publish_store(part, Path(path), {}, overwrite=False)


def denoise_to_disk(path: str, planes: int) -> None:
    """Run ``genrecon denoise`` from OME-Zarr to OME-Zarr, and stop after some planes."""
    from napari_genrecon.tasks import find_task
    from napari_genrecon.tasks.files import file_steps

    task = find_task("denoise")
    steps = file_steps(task, Path(path), Path(path.replace("stack", "result")), task.options())
    for progress in steps:
        if progress.total and progress.done * SHAPE[0] >= planes * progress.total and planes < SHAPE[0]:
            steps.close()


def copy_to_disk(path: str, name: str) -> None:
    """Copy the whole stack into another file, region by region or plane by plane, and finish the file as a run does."""
    import torch  # noqa: F401  what a bare process has, this one must have too

    from napari_genrecon.engine.run import finish
    from napari_genrecon.io.reader import open_image
    from napari_genrecon.io.record.check import verify
    from napari_genrecon.models import find_model, load_network
    from napari_genrecon.tasks.files import write_steps
    from napari_genrecon.tasks.task import Result

    load_network(find_model("auto", "denoise"), "cpu")
    image, target = open_image(path), Path(path).with_name(name)
    about = replace(image.about, record={"schema": "genrecon-record/1", "task": "denoise", "options": {}})
    steps = write_steps(target, Result(image.data, image.axes, {}), about, saving=Saving(pyramid=True))
    finish(steps)
    if changed := verify(target):
        raise SystemExit(f"{name}: {changed}")
    shutil.rmtree(target) if target.is_dir() else target.unlink()


def _run(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parent.parent)


def peak(code: str) -> int:
    """Return the peak anonymous memory, in bytes, of a Python process that runs this code."""
    process = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parent.parent)
    most = 0

    def watch() -> None:
        nonlocal most
        while process.poll() is None:
            most = max(most, anonymous(process.pid))
            time.sleep(0.02)

    watcher = threading.Thread(target=watch)
    watcher.start()
    watcher.join()
    if process.returncode:
        raise SystemExit(f"the measured process failed with exit code {process.returncode}")
    return most


def anonymous(pid: int) -> int:
    """Return the bytes of anonymous memory of a process; 0 if it is gone."""
    # Mapped files (libraries, page cache) can be dropped at any time; anonymous pages are what a process costs.
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon")), 0)
