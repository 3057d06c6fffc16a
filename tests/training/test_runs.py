"""Runs are folders: what their processes leave there, whatever happens to them."""

import contextlib
import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import psutil
import pytest
from safetensors.numpy import load_file

from napari_genrecon.errors import ImageError, OptionError, OutputError, UnknownModelError, WeightsError
from napari_genrecon.models.registry import list_models, models_folder
from napari_genrecon.training import session
from napari_genrecon.training.data.cut import cut_crops
from napari_genrecon.training.loop import checkpoint
from napari_genrecon.training.runs.log import exit_reason
from napari_genrecon.training.runs.status import Status, is_alive, note_process, write_status
from napari_genrecon.training.runs.store import create_run, find_run, find_runs, runs_folder, start_run
from napari_genrecon.training.runs.worker import work_steps

TINY = {"kind": "vae", "latent": 3, "width": 4, "batch": 4, "steps": 12, "device": "cpu"}

pytestmark = pytest.mark.usefixtures("own_folders")


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch):
    """Sums over another number of threads end in other last digits: here and in other processes it is one."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def crops():
    return cut_crops(np.random.default_rng(0).poisson(20, (120, 32, 32)).astype("uint16"))


def work(run, steps=None):
    """Work on a run in this process, up to the end or for some steps."""
    with contextlib.closing(work_steps(run.folder)) as going:
        for number, _ in enumerate(going, 1):
            if number == steps:
                break
    return run


def wait(run, *states, seconds=120):
    until = time.monotonic() + seconds
    while run.state() not in states and time.monotonic() < until:
        time.sleep(0.05)
    assert run.state() in states, run.error() or (run.folder / "child.log").read_text()


def child(run, before=""):
    """A process that works on a run as `Run.launch` starts it, with something done before."""
    script = (
        f"{before}\nimport sys\nfrom napari_genrecon.training.runs.worker import main\nsys.exit(main(sys.argv[1:]))"
    )
    with (run.folder / "child.log").open("ab") as log:
        process = subprocess.Popen([sys.executable, "-c", script, str(run.folder)], stdout=log, stderr=log)
    note_process(run.folder, process.pid)
    return process


# --- a process of its own ---


@pytest.mark.slow
def test_run_in_another_process_is_found_again_and_leaves_a_model(crops):
    start_run(crops, TINY, name="cells")
    run = find_run("cells")  # as a window does that was opened later
    wait(run, "finished")
    assert run.model() == "cells" == list_models()[-1].name
    assert run.samples().shape == (36, 1, 32, 32)
    assert run.log()["step"][-1] == 12 == run.progress().step
    assert run.crops().fingerprint == crops.fingerprint
    assert run.error() == ""


@pytest.mark.slow
def test_stop_saves_and_resume_ends_like_a_run_that_was_never_stopped(crops):
    run = start_run(crops, TINY | {"steps": 100_000}, name="cells")
    with pytest.raises(OptionError, match=r"is (starting|running) already: stop it first"):
        run.resume()
    wait(run, "running")
    while run.progress() is None or run.progress().step < 3:
        time.sleep(0.02)
    run.stop()
    wait(run, "stopped")
    done = run.progress().step
    assert run.model() == "cells"
    record = json.loads((run.folder / "run.json").read_text())
    record["options"]["steps"] = done + 5
    (run.folder / "run.json").write_text(json.dumps(record))
    wait(find_run("cells").resume(), "finished")
    straight = work(create_run(crops, TINY | {"steps": done + 5}, name="straight"))
    assert_same_weights(run, straight)
    assert run.model() == "cells"  # in the place of its own older model


def assert_same_weights(run, other):
    ours, theirs = (load_file(r.folder / "last.safetensors") for r in (run, other))
    for name, weight in ours.items():
        np.testing.assert_array_equal(weight, theirs[name])


@pytest.mark.slow
def test_kills_at_random_moments_lose_nothing_that_was_saved(crops):
    options = TINY | {"steps": 60}
    run = create_run(crops, options, name="killed")
    saving = "from napari_genrecon.training import session\nsession.SAVE_EVERY = 0.0"
    moment, killed = random.Random(0), 0
    for _ in range(4):
        process = child(run, saving)
        while not killed and process.poll() is None and not list(run.folder.glob("step-*")):
            time.sleep(0.002)  # the first one right after the first checkpoint, long before the end
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(moment.uniform(0.5, 8) if killed else moment.uniform(0, 0.05))
        killed += process.poll() is None
        process.kill()
        process.wait()
        if run.state() == "finished":
            break
        assert run.state() == "failed"
        assert "can be resumed" in run.error()
        run = run.prepared()
    assert killed
    if run.state() != "finished":
        assert child(run).wait() == 0
    assert_same_weights(run, work(create_run(crops, options, name="straight")))
    assert find_run("killed").log()["step"][-1] == 60


@pytest.mark.skipif(sys.platform == "win32", reason="no limits of file sizes")
@pytest.mark.slow
def test_full_disk_gives_a_sentence_and_the_last_checkpoint_is_whole(crops):
    run = create_run(crops, TINY | {"steps": 10_000}, name="full")
    work(run, steps=3)
    saved = sorted(path.name for path in run.folder.glob("step-*"))
    run = run.prepared()
    limit = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (70_000, 70_000))"
    fast = "from napari_genrecon.training import session\nsession.SAVE_EVERY = 0.0"
    assert child(run, f"{limit}\n{fast}").wait() == 1
    assert run.state() == "failed"
    assert "the disk is full" in run.error()
    assert set(saved) <= {path.name for path in run.folder.glob("step-*")}
    assert not list(run.folder.glob(".*.tmp"))  # nothing half written takes up space
    work(create := run.prepared(), steps=1)
    assert create.progress().step == 4  # goes on from the third


# --- the same in this process ---


def test_run_that_cannot_work_says_why(crops):
    run = create_run(crops, TINY, name="broken")
    (run.folder / "crops.npz").write_bytes(b"no crops")
    with pytest.raises(ImageError, match="does not hold crops that can be read"):
        work(run)
    assert run.state() == "failed"
    assert "does not hold crops that can be read" in run.error()


def test_two_starts_under_one_name_get_two(crops):
    names = [create_run(crops, TINY, name="cells").name for _ in range(3)]
    assert names == ["cells", "cells-2", "cells-3"]
    assert {run.name for run in find_runs()} == set(names)


def test_starts_at_the_same_moment_do_not_share_a_folder(crops):
    with ThreadPoolExecutor(6) as pool:
        names = list(pool.map(lambda _: create_run(crops, TINY, name="cells").name, range(6)))
    assert len(set(names)) == 6
    assert {run.name for run in find_runs()} == set(names)


def test_model_is_never_put_over_another(crops):
    run = create_run(crops, TINY, name="cells")
    models_folder().mkdir(parents=True)
    other = models_folder() / "cells.safetensors"
    other.write_bytes(b"of somebody else")
    work(run)
    assert other.read_bytes() == b"of somebody else"
    assert run.model() == "cells-2"


def test_number_of_a_process_that_is_gone_is_not_mistaken_for_it(crops):
    run = create_run(crops, TINY, name="cells")
    write_status(run.folder, Status(state="running"))
    me = psutil.Process()
    facts = {"pid": me.pid, "started": me.create_time(), "host": os.uname().nodename}
    (run.folder / "process.json").write_text(json.dumps(facts))
    assert is_alive(run.folder)
    (run.folder / "process.json").write_text(json.dumps(facts | {"started": me.create_time() - 3600}))
    assert not is_alive(run.folder)
    assert run.state() == "failed"


def test_two_processes_cannot_work_on_one_run(crops):
    run = create_run(crops, TINY, name="cells")
    going = work_steps(run.folder)
    next(going)
    with pytest.raises(OptionError, match="another process trains 'cells' already"):
        next(work_steps(run.folder))
    going.close()
    assert run.state() == "stopped"


def test_full_disk_here_gives_the_same_sentence(crops, monkeypatch):
    run = work(create_run(crops, TINY, name="full"), steps=3)

    def full(path, *_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    again = run.prepared()
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "write_file", full)
        with pytest.raises(OutputError, match="the disk is full"):
            work(again)
    assert run.state() == "failed"
    assert run.error().startswith("the disk is full")
    assert work(run.prepared()).state() == "finished"


def test_last_words_fit_on_a_disk_that_is_full(crops, monkeypatch):
    from napari_genrecon.training.runs import status as run_status

    run = work(create_run(crops, TINY, name="full"), steps=2)
    real = run_status.write_file

    def full(path, data, **options):
        if (run.folder / "reserve").exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(path, data, **options)

    monkeypatch.setattr(run_status, "write_file", full)
    write_status(run.folder, Status(state="failed", error="the disk is full"))
    assert run.error() == "the disk is full"


def test_finished_run_goes_on_only_with_more_minutes(crops):
    run = work(create_run(crops, TINY, name="cells"))
    with pytest.raises(OptionError, match="is finished: to continue, give more minutes"):
        run.prepared()
    assert run.prepared(minutes=30).options["minutes"] == 30
    assert find_run("cells").options["steps"] == 0


def test_less_than_a_minute_lies_between_two_checkpoints():
    assert session.SAVE_EVERY < 60


def test_removed_run_leaves_its_model(crops):
    run = work(create_run(crops, TINY, name="cells"))
    run.remove()
    assert find_runs() == []
    assert list(runs_folder().iterdir()) == []
    assert next(card.name for card in list_models() if card.path) == "cells"


def test_reason_of_an_end_is_the_last_line_of_the_log(tmp_path):
    (tmp_path / "child.log").write_text("Traceback (most recent call last):\n  ...\nMemoryError: too large\n\n")
    assert exit_reason(tmp_path, -9).endswith("; its log ends with: MemoryError: too large")


def test_log_shows_every_step_once_after_a_kill(crops):
    run = create_run(crops, TINY, name="cells")
    lines = ["step,seconds,nats", "1,0.1,5", "9,0.9,4", "5,0.5,4.5", "8,0.8,4.1", "11,1.1,3"]
    (run.folder / "log.csv").write_text("\n".join(lines))  # the last line was cut short
    assert run.log()["step"].tolist() == [1, 5, 8]


def test_unreadable_folders_are_no_runs(crops):
    create_run(crops, TINY, name="good")
    (runs_folder() / "empty").mkdir()
    (runs_folder() / "odd").mkdir()
    (runs_folder() / "odd" / "run.json").write_text('{"format": "genrecon-run/1", "name": "../good"}')
    assert [run.name for run in find_runs()] == ["good"]


def test_full_disk_at_the_start_leaves_nothing(crops, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OutputError, match="the disk is full"):
        create_run(crops, TINY, name="cells")
    assert list(runs_folder().iterdir()) == []


@pytest.mark.parametrize(
    ("options", "name", "error", "sentence"),
    [
        ({"kind": "vae", "leaning": 3}, "cells", OptionError, "there is no training option 'leaning'"),
        ({"kind": "transformer"}, "cells", OptionError, "kind must be 'vae' or 'dcgan'"),
        (TINY, "../cells", WeightsError, "a model cannot be named"),
    ],
    ids=["option", "kind", "name"],
)
def test_start_that_cannot_work_gets_a_sentence(crops, options, name, error, sentence):
    with pytest.raises(error, match=sentence):
        start_run(crops, options, name=name)


def test_unknown_run_is_named_with_the_nearest(crops):
    create_run(crops, TINY, name="cells")
    with pytest.raises(UnknownModelError, match="did you mean 'cells'"):
        find_run("cels")


@pytest.mark.slow
def test_request_to_end_saves(crops):
    run = create_run(crops, TINY | {"steps": 100_000}, name="cells")
    process = child(run)
    while run.progress() is None and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    process.wait()
    assert run.state() == ("stopped" if sys.platform != "win32" else "failed")


def test_run_of_version_1_is_found_with_its_options(crops):
    """Its options were those of all recipes, whichever it was."""
    run = create_run(crops, TINY, name="old")
    path = run.folder / "run.json"
    facts = json.loads(path.read_text())
    facts["options"] |= {"r1": 0.5, "spectral": True, "loss": "hinge", "augment": False}
    path.write_text(json.dumps(facts))
    found = find_run("old")
    assert found.options == run.options
    assert work(found, steps=2).state() == "stopped"
