"""Hidden pixels: how wide they are, what fills them, and that nothing of their centres is seen."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_genrecon.noise import NoiseModel
from napari_genrecon.training.data.blind import blind_reach, distance, hide, least_size
from napari_genrecon.training.data.dataset import Dataset
from napari_genrecon.training.data.pairs import BlindBatches
from napari_genrecon.training.options import TrainOptions


def planes(n=2, side=64, seed=0):
    return np.random.default_rng(seed).normal(size=(n, 1, side, side)).astype(np.float32)


@pytest.mark.parametrize(
    ("noise", "reach"),
    [
        ({}, (0, 0)),
        ({"rho_x": 0.09}, (0, 0)),
        ({"rho_x": 0.3}, (0, 1)),
        ({"rho_y": 0.78}, (3, 0)),
        ({"rho_x": -0.3}, (0, 1)),
        ({"rho_x": 0.6}, (0, 2)),
        ({"rho_x": 0.6, "far_x": (0.36, 0.2, 0.04)}, (0, 4)),
        ({"rho_x": 0.6, "far_x": (0.36, 0.2, 0.1)}, (0, 5)),
    ],
    ids=["white", "scatter", "weak", "rows", "negative", "gauss", "far", "coarse"],
)
def test_blind_spot_is_as_wide_as_the_measured_correlation(noise, reach):
    assert blind_reach([NoiseModel(read_noise=2.0, **noise)]) == reach


def test_channel_with_the_widest_correlation_decides():
    assert blind_reach([NoiseModel(read_noise=2.0, rho_x=0.3), NoiseModel(read_noise=2.0, rho_y=0.78)]) == (3, 1)


@settings(max_examples=30, deadline=None)
@given(st.tuples(st.integers(0, 5), st.integers(0, 5)), st.integers(0, 10**6))
def test_nothing_of_a_blind_spot_is_seen(reach, seed):
    rng = np.random.default_rng(seed)
    first = [int(rng.integers(distance(each))) for each in reach]
    x = planes(seed=seed)
    hidden, centres = hide(x, reach, first)
    grown = np.zeros_like(centres, bool)
    for y, column in zip(*np.nonzero(centres[0, 0]), strict=True):
        grown[..., y - reach[0] : y + reach[0] + 1, column - reach[1] : column + reach[1] + 1] = True
    assert centres.any()
    np.testing.assert_array_equal(hidden[~grown], x[~grown])  # what is not hidden is as recorded
    other = np.where(grown, rng.normal(size=x.shape).astype(np.float32), x)
    again, same = hide(other, reach, first)
    np.testing.assert_array_equal(again, hidden)
    np.testing.assert_array_equal(same, centres)


def test_blind_spot_is_the_median_of_what_is_around_it_without_its_centre():
    x = planes()
    hidden, centres = hide(x, (0, 1), (3, 2))
    y, column = np.argwhere(centres[1, 0])[1]
    window = x[1, 0, y - 2 : y + 3, column - 3 : column + 4]
    outside = np.delete(window.ravel(), [2 * 7 + 2, 2 * 7 + 3, 2 * 7 + 4])
    assert hidden[1, 0, y, column] == pytest.approx(np.median(outside))
    assert (hidden[1, 0, y, column - 1 : column + 2] == hidden[1, 0, y, column]).all()


@pytest.mark.parametrize("reach", [(0, 0), (1, 3), (5, 5)])
def test_smallest_crop_holds_a_blind_spot_wherever_the_grid_begins(reach):
    side = least_size(reach)
    last = [distance(each) - 1 for each in reach]
    assert hide(planes(side=side), reach, last)[1].any()


def test_batch_turns_planes_and_blind_spots_together_and_depends_on_the_step_alone():
    x, zeros = planes(12), np.zeros(12, np.int64)
    told = np.tile(np.array([1.0, 0.7, 0.0], np.float32), (12, 1))
    found = Dataset(
        x=x, told=told, source=zeros, place=np.zeros((12, 3), np.int64), label=zeros, held_out=zeros > 0, options={},
        measured={"blind": [0, 2]},
    )  # fmt: skip
    batches = [BlindBatches(found, TrainOptions(batch=32), None, torch.device("cpu")) for _ in range(2)]
    hidden, seen, centres, numbers = batches[0](5, 0)
    for one, other in zip((hidden, seen, centres, numbers), batches[1](5, 0), strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(batches[0](6, 0)[2], centres)
    changed, along_x = (hidden != seen)[:, 0], numbers[:, 1] > 0.5
    assert changed[(centres > 0)[:, 0]].all()
    assert 0 < along_x.sum() < 32
    beside_in_x = (changed[:, :, 1:] & changed[:, :, :-1]).any(dim=(1, 2))
    assert torch.equal(beside_in_x, along_x)  # five pixels along the axis of the correlation, one across
