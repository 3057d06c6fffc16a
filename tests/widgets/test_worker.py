import threading
import warnings

import pytest

from napari_genrecon.engine.run import Progress
from napari_genrecon.widgets.jobs.worker import Job


class Heard:
    """What a job tells, and in which thread."""

    def __init__(self):
        self.progress, self.outcome, self.threads = [], [], set()

    def on_progress(self, progress):
        self.threads.add(threading.current_thread())
        self.progress.append(progress)

    def on_done(self, kind, value):
        self.threads.add(threading.current_thread())
        self.outcome.append((kind, value))


def start(make_steps):
    heard = Heard()
    job = Job(make_steps, heard.on_progress, heard.on_done)
    job.start()
    return job, heard


def gated():
    """Steps that wait for an event; events that tell that they have begun, and that they were closed."""
    begun, gate, closed = threading.Event(), threading.Event(), threading.Event()

    def make():
        try:
            begun.set()
            for i in range(3):
                assert gate.wait(30)
                yield Progress(i, 3, "step")
        finally:
            closed.set()
        return "made"

    return make, begun, gate, closed


def test_everything_is_told_in_the_thread_of_the_window(qtbot):
    make, _, gate, _ = gated()
    job, heard = start(make)
    gate.set()
    qtbot.waitUntil(lambda: bool(heard.outcome), timeout=30_000)
    assert heard.outcome == [("ok", "made")]
    assert [progress.done for progress in heard.progress] == [0, 1, 2]
    assert heard.threads == {threading.current_thread()}
    assert not job.running


@pytest.mark.parametrize("error", [RuntimeError("of torch"), ValueError("of ours")])
@pytest.mark.parametrize("at_once", [True, False])
def test_every_error_comes_back(qtbot, error, at_once):
    def make():
        if at_once:
            raise error

        def steps():
            yield Progress(0, 1, "step")
            raise error

        return steps()

    _, heard = start(make)
    qtbot.waitUntil(lambda: bool(heard.outcome), timeout=30_000)
    assert heard.outcome == [("error", error)]


def test_cancel_closes_the_steps_and_abandon_tells_nobody(qtbot):
    for stop in ("cancel", "abandon"):
        make, begun, gate, closed = gated()
        job, heard = start(make)
        assert begun.wait(30)
        getattr(job, stop)()
        gate.set()
        qtbot.waitUntil(lambda job=job: not job.running, timeout=30_000)
        qtbot.wait(50)
        assert closed.is_set()
        assert heard.outcome == ([("cancelled", None)] if stop == "cancel" else [])


def test_overlapping_jobs_leave_the_warnings_of_napari_alone(qtbot):
    before = warnings.showwarning, list(warnings.filters)
    jobs = []
    for _ in range(2):
        make, begun, gate, _ = gated()
        jobs.append((gate, start(make)[1]))
        assert begun.wait(30)
    for gate, heard in jobs:  # the one that began first ends first
        gate.set()
        qtbot.waitUntil(lambda heard=heard: bool(heard.outcome), timeout=30_000)
    assert (warnings.showwarning, warnings.filters) == before
