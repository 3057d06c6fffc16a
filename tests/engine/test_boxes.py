import numpy as np
import pytest

from napari_genrecon.numerics.boxes import largest_box


def by_trying(good):
    """Area of the largest good box, by trying them all."""
    height, width = good.shape
    return max(
        (b - a) * (d - c)
        for a in range(height + 1)
        for b in range(a, height + 1)
        for c in range(width + 1)
        for d in range(c, width + 1)
        if good[a:b, c:d].all()
    )


@pytest.mark.parametrize("seed", range(8))
def test_no_good_box_is_larger(seed):
    rng = np.random.default_rng(seed)
    good = rng.random(rng.integers(1, 9, 2)) < rng.uniform(0.2, 1)
    found = good[largest_box(good)]
    assert found.all()
    assert found.size == by_trying(good)


def test_nothing_good_is_an_empty_box():
    assert np.zeros((5, 6))[largest_box(np.zeros((5, 6), bool))].size == 0
