import numpy as np
import pytest

from napari_genrecon.noise.strength import fit_line, make_bins

DOF = 147.0


def _energies(rng, means, slope, level=1.0):
    return (level + slope * means) * rng.chisquare(DOF, len(means)) / DOF


def test_every_block_is_in_one_bin_and_bins_ascend():
    means = np.random.default_rng(0).exponential(0.1, 500)
    bins = make_bins(means)
    assert sorted(np.concatenate(bins)) == list(range(500))
    tops, bottoms = [means[b].max() for b in bins], [means[b].min() for b in bins]
    assert all(top <= bottom for top, bottom in zip(tops[:-1], bottoms[1:], strict=True))


def test_bright_blocks_far_from_the_dark_ones_have_a_bin_of_their_own():
    means = np.concatenate([np.full(300, 0.01), np.linspace(0.5, 1, 12)])
    means[:300] += np.linspace(0, 0.01, 300)
    assert means[make_bins(means)[-1]].min() >= 0.5


@pytest.mark.parametrize("slope", [0.0, 1.0, 10.0, 100.0])
@pytest.mark.parametrize("structured", [0.0, 0.4])
def test_line_is_found_though_few_blocks_are_bright_and_some_hold_structure(slope, structured):
    rng = np.random.default_rng(0)
    means = np.concatenate([rng.uniform(0, 0.02, 900), rng.uniform(0.02, 1, 100)])
    energies = _energies(rng, means, slope)
    energies[rng.random(1000) < structured] *= 4
    line = fit_line(means, energies, DOF, make_bins(means))
    assert float(line.at(0.01)) == pytest.approx(1 + 0.01 * slope, rel=0.08)
    assert float(line.at(0.9)) == pytest.approx(1 + 0.9 * slope, rel=0.2)
