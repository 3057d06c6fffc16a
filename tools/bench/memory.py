"""How much memory: the peak of anonymous pages while a stack four times a 1 GB budget is denoised to disk."""

from __future__ import annotations

import os
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
        bare = _peak(_BARE)
        count = planes or SHAPE[0]
        whole = _peak(f"from bench import memory; memory.denoise_to_disk({str(source)!r}, {count})")
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
    import zarr

    from bench.speed import noisy_scene

    plane = noisy_scene(SHAPE[1])[1].clip(0, 65535).astype(np.uint16)
    stack = zarr.create_array(store=path, shape=SHAPE, chunks=(1, 512, 512), dtype="u2", compressors=None)
    for index in range(SHAPE[0]):
        stack[index] = np.roll(plane, index * 4, axis=1)


def denoise_to_disk(path: str, planes: int) -> None:
    """Denoise the first planes of a Zarr array into another one; the noise is measured over the whole stack."""
    import dask
    import zarr

    from napari_genrecon import denoise

    result = denoise(zarr.open_array(path, mode="r"))[:planes]
    with dask.config.set(scheduler="threads", num_workers=os.cpu_count()):
        result.rechunk((1, 512, 512)).to_zarr(path + ".out")


def _run(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parent.parent)


def _peak(code: str) -> int:
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
