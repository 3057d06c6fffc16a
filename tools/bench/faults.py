"""Inject faults (kills, full disks, hostile files, lost workers) and count what must not happen.

System calls are made to fail, or the process is killed at them, by ``strace`` (Linux; ``apt-get install strace``). The
job runs in a fork of this process that waits until it is traced, so that only its own calls are counted.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from bench import hostile_images, hostile_models
from bench.table import header, row
from napari_genrecon.axes import Axes
from napari_genrecon.engine.intensity import to_dtype
from napari_genrecon.engine.run import finish
from napari_genrecon.errors import GenReconError, ImageError, OutputError, WeightsError
from napari_genrecon.io.image_file import ImageMeta
from napari_genrecon.io.reader import open_image
from napari_genrecon.io.record.check import verify
from napari_genrecon.io.tiff.write import write_tiff_steps
from napari_genrecon.io.zarr.write import write_zarr_steps

CALLS = "write,pwrite64,openat,rename,renameat,renameat2,link,linkat,unlink,fsync,mkdir,ftruncate"
ERRORS = ("ENOSPC", "EIO", "EROFS")
RECORD = {"schema": "genrecon-record/1", "task": "denoise", "nature": "restored", "options": {}}
ABOUT = ImageMeta(axes=Axes("ZYX"), scale=(2.0, 0.1, 0.1), units=("micrometer",) * 3, record=RECORD)
LARGEST_GROWTH = 64 << 20  # bytes of memory that refusing a hostile file may take
SLOWEST = 10.0  # seconds that refusing it may take


@dataclass
class Count:
    """Number of cases, and the problems by case."""

    cases: int = 0
    wrong: list[str] = field(default_factory=list)

    def add(self, name: str, *problems: str) -> None:
        self.cases += 1
        self.wrong += [f"{name}: {problem}" for problem in problems if problem]


def run(quick: bool, only: str = "") -> None:
    """Print one row per figure; with `quick`, a part of each; with `only`, those whose name contains it."""
    if shutil.which("strace") is None:
        raise SystemExit("strace is missing: apt-get install strace")
    header("fault", "cases", "went wrong")
    few = 8 if quick else 1
    jobs: dict[str, Callable[[Path], Count]] = {
        "TIFF writer killed at every Nth system call: neither old nor new": lambda d: kill_tiff(d, step=few),
        "Zarr run killed, then resumed: gaps, or other chunks": lambda d: kill_zarr(d, step=40 * few),
        "ENOSPC, EIO, EROFS at the Nth call: lost or left behind": lambda d: failing_calls(d, step=few),
        "attempts to overwrite the source or an existing file": overwrites,
        "hostile model files: code run, memory over +64 MB": hostile_weights,
        "hostile or broken images: crash, hang, silent garbage": broken_images,
        "layer matrix: neither right nor refused in a sentence": lambda d: layer_matrix(d, step=few),
        "values that wrap on casting": lambda d: casts(5000 // few),
        "worker killed mid-run: chunks lost": lambda d: killed_workers(d, 2 if quick else 10),
        # Last, as it loads napari, whose threads do not go with forks.
        "layer to file to layer: neither identical nor refused in a sentence": round_trips,
        "peak anonymous memory for a stack 4x a 1 GB budget: over budget + bare process": memory_peaks,
    }
    if quick:
        del jobs["peak anonymous memory for a stack 4x a 1 GB budget: over budget + bare process"]
    for name, job in jobs.items():
        if only not in name:
            continue
        with tempfile.TemporaryDirectory() as folder:
            found = job(Path(folder))
        row(name, found.cases, len(found.wrong))
        for problem in found.wrong[:10]:
            print(f"  - {problem}")


# Kills and failing calls ---------------------------------------------------------------------------------------------


def injected(job: Callable[[], object], injection: str) -> int:
    """Run a job in a fork under strace; its exit status (3: it gave a sentence), or minus the signal that killed it."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(write)
        os.read(read, 1)
        os._exit(_outcome(job))
    os.close(read)
    inject = f"inject={CALLS}:{injection}"
    strace = subprocess.Popen(
        ["strace", "-qq", "-f", "-o", "/dev/null", "-e", f"trace={CALLS}", "-e", inject, "-p", str(child)]
    )
    _wait_until_traced(child)
    os.write(write, b"x")
    os.close(write)
    _, status = os.waitpid(child, 0)
    strace.wait()
    return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def _outcome(job: Callable[[], object]) -> int:
    try:
        job()
    except GenReconError:
        return 3
    except BaseException:
        return 4
    return 0


def _wait_until_traced(pid: int) -> None:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        if "TracerPid:\t0" not in Path(f"/proc/{pid}/status").read_text():
            return
        time.sleep(0.002)
    raise SystemExit("strace could not attach: it needs the right to trace processes (ptrace)")


def kill_tiff(folder: Path, *, step: int) -> Count:
    """Kill a writer that replaces a file at later and later calls, until a run survives."""
    old, new = _stack(0), _stack(1)
    source, target = folder / "raw.tif", folder / "result.ome.tif"
    source.write_bytes(b"raw data")
    count = Count()
    for way in ({}, {"lazy": True}, {"pyramid": True}):
        n, status = 1, -signal.SIGKILL
        while status == -signal.SIGKILL:
            _write_tiff(target, old)
            status = injected(partial(_write_tiff, target, new, **way), f"signal=KILL:when={n}")
            same = _is(target, old) or _is(target, new)
            count.add(f"{way} {n}", "" if same else "neither old nor new", _changed(source, b"raw data"))
            _sweep(folder, {source, target})
            n += step
    return count


def failing_calls(folder: Path, *, step: int) -> Count:
    """Let each system call fail once; the writer must give a sentence or succeed."""
    old, new = _stack(0), _stack(1)
    source, target = folder / "raw.tif", folder / "result.ome.tif"
    source.write_bytes(b"raw data")
    count = Count()
    for error in ERRORS:
        survived = n = 0
        while survived < 3:  # the last calls may fail without harm
            n += step
            _write_tiff(target, old)
            status = injected(lambda: _write_tiff(target, new, pyramid=True), f"error={error}:when={n}")
            survived = survived + 1 if status == 0 else 0
            right = _is(target, new) if status == 0 else _is(target, old) or _is(target, new)
            left = _others(folder, {source, target})
            problems = ["" if status in (0, 3) else f"no sentence (status {status})", "" if right else "lost"]
            count.add(f"TIFF, {error} at {n}", *problems, f"left {left}" if left else "", _changed(source, b"raw data"))
            _sweep(folder, {source, target})
    for error in ERRORS:
        _failing_zarr(folder, error, step * 24, count)
    return count


def _failing_zarr(folder: Path, error: str, step: int, count: Count) -> None:
    whole, target = folder / "whole.zarr", folder / "result.zarr"
    if not whole.exists():
        _in_child(lambda: _write_zarr(whole))
    status, n = 3, 1
    while status:
        status = injected(lambda: _write_zarr(target), f"error={error}:when={n}")
        finished = target.exists()
        problems = ["" if status in (0, 3) else f"no sentence (status {status})"]
        if not finished:
            problems.append("" if _in_child(lambda: _write_zarr(target, resume=True)) == 0 else "cannot be resumed")
        problems.append("" if _chunks(target) == _chunks(whole) else "other chunks")
        count.add(f"Zarr, {error} at {n}", *problems)
        _sweep(folder, {whole, folder / "raw.tif", folder / "result.ome.tif"})
        n += step


def kill_zarr(folder: Path, *, step: int) -> Count:
    """Kill a writer; its store must not open as finished, and must resume to that of an undisturbed run."""
    whole, target = folder / "whole.zarr", folder / "result.zarr"
    _in_child(lambda: _write_zarr(whole))
    count, n, status = Count(), 1, -signal.SIGKILL
    while status == -signal.SIGKILL:
        status = injected(lambda: _write_zarr(target), f"signal=KILL:when={n}")
        silent = target.exists() and _chunks(target) != _chunks(whole)
        again = _in_child(lambda: _write_zarr(target, resume=True)) if not target.exists() else 0
        same = _chunks(target) == _chunks(whole)
        count.add(
            f"at {n}", "passes for finished" if silent else "", "cannot be resumed" if again else "",
            "" if same else "other chunks",
        )  # fmt: skip
        _sweep(folder, {whole})
        n += step
    return count


def _stack(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 4000, (2, 540, 530)).astype("u2")


def _write_tiff(path: Path, stack: np.ndarray, *, lazy: bool = False, pyramid: bool = False) -> None:
    import dask.array as da

    data = da.from_array(stack, chunks=(1, 540, 530)) if lazy else stack
    finish(write_tiff_steps(path, data, ABOUT, pyramid=pyramid, overwrite=True))


def _write_zarr(path: Path, *, resume: bool = False) -> None:
    import dask.array as da

    finish(write_zarr_steps(path, da.from_array(_stack(0), chunks=(1, 280, 280)), ABOUT, resume=resume))


def _in_child(job: Callable[[], object]) -> int:
    """Run a job in a child process: Zarr's threads do not survive a fork, so this process never starts them."""
    child = os.fork()
    if child == 0:
        os._exit(_outcome(job))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _is(path: Path, stack: np.ndarray) -> bool:
    try:
        return np.array_equal(open_image(path).data, stack) and verify(path) == []
    except GenReconError:
        return False


def _chunks(store: Path) -> dict[str, str]:
    files = (p for p in store.rglob("*") if p.is_file() and p.name != "zarr.json")
    return {str(p.relative_to(store)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def _changed(path: Path, content: bytes) -> str:
    return "" if path.read_bytes() == content else "the source was changed"


def _others(folder: Path, known: set[Path]) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p not in known)


def _sweep(folder: Path, keep: set[Path]) -> None:
    for path in set(folder.iterdir()) - keep:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


# Overwriting ---------------------------------------------------------------------------------------------------------


def overwrites(folder: Path) -> Count:
    """Write to every name of the source, and over existing files, with and without permission."""
    count = Count()
    for number, (name, source, target, allowed) in enumerate(_targets(folder)):
        before = _snapshot(folder)
        write = write_zarr_steps if target.name.endswith(".zarr") else write_tiff_steps
        try:
            finish(write(target, _stack(number), ABOUT, overwrite=allowed, sources=[source]))
            problem = "was written"
        except OutputError:
            problem = ""
        count.add(name, problem, "" if _snapshot(folder) == before else "something changed")
    return count


def _targets(folder: Path) -> Iterator[tuple[str, Path, Path, bool]]:
    inner = folder / "in"
    inner.mkdir()
    for kind in ("raw.tif", "raw.zarr"):
        source = inner / kind
        if kind.endswith(".tif"):
            _write_tiff(source, _stack(0))
        else:
            finish(write_zarr_steps(source, _stack(0), ABOUT))
        (folder / f"link {kind}").symlink_to(source)
        (folder / f"second link {kind}").symlink_to(folder / f"link {kind}")
        (folder / f"folder {kind}").symlink_to(inner)
        if source.is_file():
            os.link(source, folder / f"hard {kind}")
        names = {
            "same": source,
            "dotted": inner / ".." / "in" / kind,
            "link": folder / f"link {kind}",
            "second link": folder / f"second link {kind}",
            "linked folder": folder / f"folder {kind}" / kind,
            "inside": source / "a.tif",
            "inside, Zarr": source / "a.zarr",
            "the folder around": inner,
            "relative": Path(os.path.relpath(source)),
            **({"hard link": folder / f"hard {kind}"} if source.is_file() else {}),
        }
        for name, target in names.items():
            for allowed in (False, True):
                yield f"{kind}, {name}, overwrite={allowed}", source, target, allowed
        for name in ("other.tif", "other.zarr", "notes.zarr"):
            other = folder / name
            if not other.exists():
                other.write_text("precious")
            yield f"{kind}, existing {name}", source, other, False


def _snapshot(folder: Path) -> dict[str, str]:
    files = (p for p in folder.rglob("*") if p.is_file())
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


# Hostile files -------------------------------------------------------------------------------------------------------


def hostile_weights(folder: Path) -> Count:
    from napari_genrecon.models.tensors import read_tensors

    canary, count = folder / "canary", Count()
    for name, content in hostile_models.contents(canary):
        path = folder / "weights"
        path.write_bytes(content)
        status, growth, _ = _watched(lambda path=path: read_tensors(path), WeightsError, len(content))
        problems = ["code was run" if canary.exists() else "", "" if status == 3 else f"no sentence (status {status})"]
        count.add(name, *problems, f"+{growth >> 20} MB" if growth > LARGEST_GROWTH else "")
    return count


def broken_images(folder: Path) -> Count:
    pixels, count = hostile_images.pixels(), Count()

    def read(path: Path) -> None:
        image = open_image(path)
        found, half = np.asarray(image.data), pixels[0, ::2, ::2]
        if not (np.array_equal(found, pixels) or np.array_equal(found, pixels[0])):
            raise AssertionError("garbage")
        if not all(np.array_equal(np.asarray(level), half) for level in image.levels):
            raise AssertionError("garbage in a level")

    made: list[tuple[str, Path]] = []
    _in_child(lambda: list(hostile_images.make_all(folder)))
    made = list(hostile_images.make_all(folder / "again")) if (folder / "again").mkdir() is None else made
    for name, path in made:
        before = _snapshot(path) if path.is_dir() else {"": hashlib.sha256(path.read_bytes()).hexdigest()}
        status, _, seconds = _watched(lambda path=path: read(path), ImageError, 0)
        after = _snapshot(path) if path.is_dir() else {"": hashlib.sha256(path.read_bytes()).hexdigest()}
        problems = ["" if status in (0, 3) else "crash or silent garbage", "slow" if seconds > SLOWEST else ""]
        count.add(name, *problems, "" if before == after else "the file was changed")
    return count


def _watched(job: Callable[[], object], expected: type[Exception], own: int) -> tuple[int, int, float]:
    """Run in a child; return exit status, growth of anonymous memory beyond `own` bytes, and seconds."""
    started, child = time.monotonic(), os.fork()
    if child == 0:
        os.close(2)  # libraries complain there
        try:
            job()
        except expected:
            os._exit(3)
        except BaseException:
            os._exit(4)
        os._exit(0)
    first, peak = _anonymous(child), 0
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status), max(0, peak - first - own), time.monotonic() - started
        peak = max(peak, _anonymous(child))
        if time.monotonic() - started > 3 * SLOWEST:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.001)


def _anonymous(pid: int) -> int:
    from bench.memory import anonymous

    return anonymous(pid)


# Layers and numbers --------------------------------------------------------------------------------------------------


def layer_matrix(folder: Path, *, step: int) -> Count:
    """Run a task on dtype x storage x shape x values: same shape, source unchanged."""
    from napari_genrecon.tasks.denoise import DenoiseOptions, denoise_steps

    count = Count()
    for number, (name, array, source) in enumerate(_layers(folder)):
        if number % step:
            continue
        before = array.tobytes()
        try:
            result = finish(denoise_steps(source, DenoiseOptions(keep_dtype=number % 2 == 0)))
            problem = _problem(np.asarray(result.data), array)
        except GenReconError as error:
            problem = "" if len(str(error)) > 20 else f"no sentence: {error}"
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"
        count.add(name, problem, "" if array.tobytes() == before else "the source was changed")
    return count


def _problem(result: np.ndarray, array: np.ndarray) -> str:
    if result.shape != array.shape:
        return f"shape {array.shape} became {result.shape}"
    if array.dtype.kind == "f" and not np.array_equal(np.isfinite(result), np.isfinite(array)):
        return "other pixels are finite"
    finite = np.isfinite(array) if array.dtype.kind == "f" else np.ones(array.shape, bool)
    if not finite.any():
        return ""
    values = array[finite].astype(float)
    span = max(np.ptp(values), 1e-6 * np.abs(values).max(), 1e-30)
    moved = abs(float(result[finite].astype(float).mean()) - float(values.mean()))
    return "" if moved <= 0.1 * span else f"the mean moved by {moved:.3g}"


def _layers(folder: Path) -> Iterator[tuple[str, np.ndarray, object]]:
    shapes = {
        "1x1": (1, 1), "row": (1, 7), "column": (7, 1), "odd": (33, 41), "stack": (2, 24, 24), "5D": (1, 2, 2, 16, 16),
        "RGB": (24, 24, 3), "RGBA": (24, 24, 4), "empty": (0, 5),
    }  # fmt: skip
    dtypes = ["u1", "i1", "u2", ">u2", "i4", "u8", "f2", "f4", ">f8", "?", "c8"]
    for shape_name, shape in shapes.items():
        for dtype in dtypes:
            rng = np.random.default_rng(0)
            array = rng.poisson(30, shape).astype(dtype) if dtype != "?" else rng.random(shape) > 0.5
            for storage, source in _stored(array, folder / f"{shape_name}-{dtype.strip('>?')}-{len(dtype)}"):
                yield f"{shape_name} {dtype} {storage}", array, source
    for values in ("constant 0", "constant max", "one NaN", "all NaN", "infinite", "negative", "denormal", "1e30"):
        array = _special(values)
        for storage, source in _stored(array, folder / values.replace(" ", "-")):
            yield f"{values} {storage}", array, source


def _stored(array: np.ndarray, path: Path) -> Iterator[tuple[str, object]]:
    import dask.array as da
    import zarr

    yield "C", array
    yield "Fortran", np.asfortranarray(array)
    if array.size:
        read_only = array.copy()
        read_only.flags.writeable = False
        yield "read-only", read_only
        yield "dask", da.from_array(array, chunks=5)
    if array.size and array.dtype.isnative:
        yield "Zarr", zarr.array(array, store=str(path) + ".zarr", chunks=tuple(min(16, n) for n in array.shape))


def _special(values: str) -> np.ndarray:
    noisy = np.random.default_rng(0).normal(100, 5, (40, 40)).astype("f4")
    if values.startswith("constant"):
        return np.full((40, 40), 0 if values.endswith("0") else 65535, "u2")
    if values == "all NaN":
        return np.full((40, 40), np.nan, "f4")
    if values == "one NaN":
        noisy[3, 4] = np.nan
    if values == "infinite":
        noisy[3, 4], noisy[5, 6] = np.inf, -np.inf
    return noisy * {"negative": -1, "denormal": 1e-40, "1e30": 1e30}.get(values, 1)


def casts(n: int) -> Count:
    """Cast random arrays far beyond every range: values must land at the nearest end, never at the other."""
    count, rng = Count(), np.random.default_rng(0)
    for number in range(n):
        dtype = np.dtype(("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8")[number % 8])
        limits = np.iinfo(dtype)
        values = rng.normal(0, 10.0 ** rng.uniform(0, 22), 64)
        found, clipped = to_dtype(values, dtype)
        right = np.clip(np.rint(values), float(limits.min), float(limits.max))
        outside = int(((np.rint(values) < limits.min) | (np.rint(values) > limits.max)).sum())
        far = np.abs(found.astype(float) - right) > 1e-9 * np.abs(right)
        count.add(str(number), "wrapped" if far.any() else "", "" if clipped == outside else "clipping not reported")
    return count


def round_trips(folder: Path) -> Count:
    from bench import round_trip

    count = Count()
    for name, problems in round_trip.cases(folder):
        count.add(name, *problems)
    return count


def memory_peaks(folder: Path) -> Count:
    from bench import memory

    count = Count()
    bare, jobs = memory.peaks(folder)
    for name, peak in jobs.items():
        print(f"  {name}: {peak / 1e9:.2f} GB; budget {memory.BUDGET / 1e9:.2f}, bare process {bare / 1e9:.2f} GB")
        count.add(name, "" if peak <= memory.BUDGET + bare else f"{peak / 1e9:.2f} GB")
    return count


# Workers -------------------------------------------------------------------------------------------------------------


def killed_workers(folder: Path, times: int) -> Count:
    """Kill one of two workers while it computes; the store must equal that of an undisturbed run."""
    count = Count()
    script = "import sys; from bench import faults; faults.run_on_workers(sys.argv[1], sys.argv[2])"
    tools = Path(__file__).parents[1]
    for number in range(times + 1):
        target = folder / f"{number}.zarr"
        mode = "leave" if number == 0 else "kill"
        done = subprocess.run(["python3", "-c", script, str(target), mode], cwd=tools, env=_with_python(), check=False)
        if number:
            same = target.exists() and _chunks(target) == _chunks(folder / "0.zarr")
            count.add(f"run {number}", "" if done.returncode == 0 else "it failed", "" if same else "chunks were lost")
    return count


def _with_python() -> dict[str, str]:
    import sys

    return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def run_on_workers(target: str, mode: str) -> None:
    """Run in a process of its own: dask's threads do not survive a fork."""
    import dask.array as da

    from napari_genrecon.engine.cluster import connected

    data = da.from_array(_stack(0), chunks=(1, 100, 100)).map_blocks(_slowly, dtype="u2")
    with connected("local", 2) as client:
        steps = write_zarr_steps(target, data, ABOUT, client=client)
        for number, _ in enumerate(steps):
            if mode == "kill" and number == 3:
                pid = min(client.run(os.getpid).values())
                os.kill(pid, signal.SIGKILL)


def _slowly(block: np.ndarray) -> np.ndarray:
    time.sleep(0.02)
    return block
