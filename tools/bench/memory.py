"""How much memory: the peak of anonymous pages while a stack four times a 1 GB budget is denoised to disk."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from bench.table import header, row

BUDGET = 1 << 30
SHAPE = (512, 2048, 2048)  # uint16: 4.3 GB

_BARE = "import torch, napari_genrecon.models as m; m.load_denoiser(m.find_model('auto', 'denoise'), 'cpu')"


def run(planes: int) -> None:
    """Each case in a process of its own, its memory read from outside."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "stack.zarr"
        _run(f"from bench import memory; memory.make_stack({str(source)!r})")
        bare = peak(_BARE)
        count = planes or SHAPE[0]
        whole = peak(f"from bench import memory; memory.denoise_to_disk({str(source)!r}, {count})")
    header(
        f"{SHAPE} uint16 ({4 * BUDGET / 1e9:.1f} GB) on disk, {count} planes denoised to disk",
        "peak anonymous memory (GB)",
    )
    row("torch and the network loaded, nothing run", f"{bare / 1e9:.2f}")
    row("the whole job", f"{whole / 1e9:.2f}")
    row("the job's own share", f"{(whole - bare) / 1e9:.2f}")
    row("budget", f"{BUDGET / 1e9:.2f}")


def make_stack(path: str) -> None:
    """A stack of shifted copies of one noisy plane: cheap to make, and its chunks are real."""
    import numpy as np

    from bench.speed import noisy_scene
    from napari_genrecon.axes import Axes
    from napari_genrecon.io.image_file import About
    from napari_genrecon.io.zarr_store import create_store, level_array, publish_store

    plane = noisy_scene(SHAPE[1])[1].clip(0, 65535).astype(np.uint16)
    part, regions = Path(path + ".part"), ((1,) * SHAPE[0], (512,) * 4, (512,) * 4)
    create_store(part, regions, plane.dtype, About(axes=Axes("ZYX")).filled(), "stack")
    stack = level_array(part, 0, mode="r+")
    for index in range(SHAPE[0]):
        stack[index] = np.roll(plane, index * 4, axis=1)
    publish_store(part, Path(path), {}, overwrite=False)


def denoise_to_disk(path: str, planes: int) -> None:
    """What ``genrecon denoise`` does, from OME-Zarr to OME-Zarr, ended after so many planes."""
    from napari_genrecon.tasks import find_task
    from napari_genrecon.tasks.files import file_steps

    task = find_task("denoise")
    steps = file_steps(task, Path(path), Path(path.replace("stack", "result")), task.options())
    for progress in steps:
        if progress.total and progress.done * SHAPE[0] >= planes * progress.total and planes < SHAPE[0]:
            steps.close()


def _run(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parent.parent)


def peak(code: str) -> int:
    """The most anonymous memory, in bytes, of a Python process that runs this code."""
    process = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parent.parent)
    peak = 0

    def watch() -> None:
        nonlocal peak
        while process.poll() is None:
            peak = max(peak, anonymous(process.pid))
            time.sleep(0.02)

    watcher = threading.Thread(target=watch)
    watcher.start()
    watcher.join()
    if process.returncode:
        raise SystemExit(f"the measured process failed with exit code {process.returncode}")
    return peak


def anonymous(pid: int) -> int:
    """Bytes of anonymous memory of a process; 0 if it is gone."""
    # Mapped files (libraries, page cache) can be dropped at any time; anonymous pages are what a process costs.
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon")), 0)
