"""What keeps a window from waiting leaves the process as it was, also where several threads want it at once."""

import gc
import sys
import threading

import pytest

from napari_genrecon.engine.responsive import short_turns, uncollected


@pytest.fixture
def collecting():
    """Put the state of the process back, whatever a test has made of it."""
    turn, on = sys.getswitchinterval(), gc.isenabled()
    yield
    sys.setswitchinterval(turn)
    (gc.enable if on else gc.disable)()


def test_state_ends_with_the_last_that_wants_it(collecting):
    turn = sys.getswitchinterval()
    first, second = short_turns(), short_turns()
    first.__enter__()
    second.__enter__()
    assert sys.getswitchinterval() < turn / 10
    first.__exit__(None, None, None)
    assert sys.getswitchinterval() < turn / 10
    second.__exit__(None, None, None)
    assert sys.getswitchinterval() == pytest.approx(turn)


@pytest.mark.parametrize("on", [True, False])
def test_collector_is_as_it_was_also_after_an_error(collecting, on):
    (gc.enable if on else gc.disable)()
    inside = []

    def fail():
        with uncollected():
            inside.append(gc.isenabled())
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011  # it is the one above
        fail()
    assert inside == [False]
    assert gc.isenabled() is on


def test_many_threads_leave_nothing_behind(collecting):
    gc.enable()
    turn = sys.getswitchinterval()

    def work():
        for _ in range(200):
            with short_turns(), uncollected():
                pass

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert gc.isenabled()
    assert sys.getswitchinterval() == pytest.approx(turn)


def test_what_was_made_within_is_old_and_still_collected(collecting):
    class Ring:
        pass

    seen = []
    with uncollected():
        ring = Ring()
        ring.itself = ring
        ring.end = Watch(seen)
    assert not any(each is ring for each in gc.get_objects(generation=0))
    assert not gc.get_freeze_count()
    del ring
    gc.collect()
    assert seen == ["gone"]


class Watch:
    """Notes when it goes."""

    def __init__(self, seen):
        self.seen = seen

    def __del__(self):
        self.seen.append("gone")
