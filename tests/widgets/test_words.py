"""What the windows say, without a window."""

import os
from pathlib import Path

import numpy as np
import pytest

from napari_genrecon.engine.run import Progress
from napari_genrecon.training.options import TrainOptions, TrainProgress
from napari_genrecon.training.runs.run import Run
from napari_genrecon.training.runs.status import Status, write_status
from napari_genrecon.widgets.train.run_snapshot import RunSnapshot, curves, state_words
from napari_genrecon.widgets.words import TimeLeft

RUN = Run(Path("/nowhere"), "cells", "vae", "2026-01-01T10:00:00+00:00", TrainOptions().to_dict())
SAMPLES = np.zeros((36, 1, 32, 32), np.float32)


def snapshot(state, step=14, **more):
    return RunSnapshot(
        runs=((RUN, state),), chosen=RUN, state=state, progress=TrainProgress(step, 600, 14.0, {}), **more
    )


@pytest.mark.parametrize("state", ["stopped", "finished"])
def test_model_that_has_hardly_learnt_is_no_good_news(state):
    words, style = state_words(snapshot(state, model="cells"))
    assert "14 steps in 14 s" in words
    assert "only 14 steps" in words
    assert style == "bad"
    words, style = state_words(snapshot(state, step=9000, model="cells"))
    assert "Beware" not in words
    assert style == "good"


def test_stopped_run_says_how_far_it_was():
    assert "14 steps in 14 s, of about 600 that were planned" in state_words(snapshot("stopped"))[0]


def test_run_that_goes_on_says_nothing_of_few_steps_yet():
    assert state_words(snapshot("running")) == state_words(snapshot("running", model="cells"))
    assert "Beware" not in state_words(snapshot("running"))[0]


@pytest.mark.parametrize("state", ["starting", "running"])
def test_resumed_run_tells_no_time_left_before_its_first_step(state):
    words, _ = state_words(snapshot(state, loading=state == "running"))
    assert "starting" in words
    assert "14 steps" in words
    assert "left" not in words


def test_progress_of_an_earlier_process_is_known_as_such(tmp_path, monkeypatch):
    run = Run(tmp_path, "cells", "vae", "", TrainOptions().to_dict())
    monkeypatch.setattr(Run, "state", lambda _: "running")
    write_status(tmp_path, Status(state="running"))
    assert run.is_loading(), "nothing was noted"
    for name, time in (("progress.json", 100), ("status.json", 200)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (time, time))
    assert run.is_loading()
    os.utime(tmp_path / "progress.json", (300, 300))
    assert not run.is_loading()
    monkeypatch.setattr(Run, "state", lambda _: "stopped")
    assert not run.is_loading()


def test_only_curves_with_points_are_named():
    log = {"seconds": np.arange(3.0), "nats": np.arange(3.0), "held_out": np.full(3, np.nan)}
    (found,) = curves(snapshot("running", log=log, samples=SAMPLES))
    assert list(found.lines) == ["training crops"]
    log["held_out"] = np.array([np.nan, np.nan, 5.0])
    (found,) = curves(snapshot("running", log=log, samples=SAMPLES))
    assert list(found.lines) == ["training crops", "held-out crops"]


def test_time_left_grows_while_a_step_takes_longer_than_those_before():
    left = TimeLeft()
    said = [left.seconds(Progress(done, 10), 10.0 * done) for done in range(10)]
    assert said[9] == pytest.approx(10)
    waited = [left.seconds(Progress(9, 10), now) for now in (91, 120, 300, 900)]
    assert waited == sorted(waited)
    assert waited[0] == pytest.approx(10, rel=0.1)
    assert waited[-1] > 100


def test_time_left_follows_a_computer_that_becomes_slower_or_faster():
    for first, later in ((1.0, 60.0), (60.0, 1.0)):
        left = TimeLeft()
        for done in range(17):
            seconds = left.seconds(Progress(done, 20), first * min(done, 8) + later * max(0, done - 8))
        assert seconds == pytest.approx(4 * later, rel=0.1)


def test_time_left_of_one_part_is_not_told_from_another():
    left = TimeLeft()
    assert left.of(Progress(0, 12), 0.0) == ""
    assert left.of(Progress(6, 12), 600.0) == "about 10 min left"
    assert left.of(Progress(0, 100), 1200.0) == ""
    assert left.of(Progress(50, 100), 1210.0) == "about 10 s left"
    assert left.of(Progress(40, 90), 1220.0) == "", "what was there before tells nothing"
    assert left.of(Progress(65, 90), 1230.0) == "about 10 s left"
