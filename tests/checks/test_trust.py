import numpy as np
import pytest
from bundled.degrade import poisson_gaussian

from napari_genrecon import NoiseModel
from napari_genrecon.checks.trust import check_plane, verdict

WHITE = NoiseModel.white(10.0)


def scene(shape=(256, 256)):
    y, x = np.indices(shape)
    return 100.0 + 40 * np.sin(y / 17) * np.cos(x / 23)


def spots(places, height, shape=(256, 256)):
    y, x = np.indices(shape)
    return sum(height * np.exp(-((y - a) ** 2 + (x - b) ** 2) / 8) for a, b in places)


def noise(seed, shape=(256, 256)):
    return np.random.default_rng(seed).normal(0, 10, shape)


def checked(noisy, restored, model=WHITE, step=0.0):
    figures, _ = check_plane(noisy, restored, model, step=step, plane=())
    return verdict([figures])


@pytest.mark.parametrize("seed", range(4))
def test_the_truth_passes(seed):
    found = checked(scene() + noise(seed), scene())
    assert found.passed
    assert found.variance == pytest.approx(1, abs=0.03)
    assert abs(found.light) < found.chance
    assert "isolated changes: none found" in str(found)


PLACES = [(40, 50), (120, 200), (200, 90)]


@pytest.mark.parametrize(("sign", "kind"), [(1, "erased"), (-1, "added")])
def test_places_that_were_changed_are_counted_and_named(sign, kind):
    change = spots(PLACES, 25.0)
    found = checked(scene() + noise(0) + max(sign, 0) * change, scene() + max(-sign, 0) * change)
    assert getattr(found, kind) == len(PLACES)
    assert found.erased + found.added == len(PLACES)
    for place in found.places:
        assert min(np.hypot(place.y - a, place.x - b) for a, b in PLACES) < 4
        assert np.sign(place.z) == sign


def test_light_that_a_result_holds_none_of_is_found():
    """Without light there is no shot noise, and nothing to divide what was erased by."""
    truth = np.full((256, 256), 0.5)
    noisy = np.random.default_rng(2).poisson(truth + spots(PLACES, 4.0)).astype(float)
    restored = truth.copy()
    for y, x in PLACES:
        restored[y - 8 : y + 9, x - 8 : x + 9] = 0
    found = checked(noisy, restored, NoiseModel(gain=1.0))
    assert not found.passed
    assert np.isfinite(found.variance)
    assert {(round(place.y, -1), round(place.x, -1)) for place in found.places} == {(y, x) for y, x in PLACES}


@pytest.mark.parametrize("photons", [0.03, 0.3, 3.0])
def test_single_photons_are_no_structures(photons):
    """Where few arrive, the noise is skewed, and one photon alone is many standard deviations."""
    rng, truth = np.random.default_rng(1), np.full((512, 512), photons)
    noisy = poisson_gaussian(rng, truth, gain=30.0, offset=5.0, read_noise=2.0)
    model = NoiseModel(gain=30.0, offset=5.0, read_noise=2.0)
    assert checked(noisy, 30 * truth + 5, model).passed


def test_a_faint_spot_is_still_found_among_single_photons():
    rng, truth = np.random.default_rng(2), np.full((256, 256), 0.2)
    noisy = poisson_gaussian(rng, truth + spots([(100, 60)], 3.0), gain=30.0, offset=5.0, read_noise=2.0)
    found = checked(noisy, 30 * truth + 5, NoiseModel(gain=30.0, offset=5.0, read_noise=2.0))
    assert found.erased >= 1
    assert np.hypot(found.places[0].y - 100, found.places[0].x - 60) < 4


def test_rounding_is_not_taken_for_structure():
    truth = scene() + np.linspace(0, 0.9, 256)
    rounded = np.round(truth)
    assert checked(rounded, truth, NoiseModel.white(0.01), step=1.0).passed
    assert not checked(rounded, truth, NoiseModel.white(0.01), step=0.0).passed


def test_what_a_gaussian_filter_takes_away_is_told_from_noise():
    from scipy.ndimage import gaussian_filter

    noisy = scene() + spots([(y, x) for y in range(20, 250, 24) for x in range(20, 250, 24)], 60.0) + noise(3)
    found = checked(noisy, gaussian_filter(noisy, 3))
    assert found.erased > 50
    assert "structure may be in it" in str(found)


def test_pixels_that_are_not_finite_are_left_out():
    noisy, restored = scene() + noise(4), scene()
    noisy[3, 4], restored[9, 9] = np.nan, np.inf
    found = checked(noisy, restored)
    assert found.passed
    assert np.isfinite(found.variance)


def test_a_gain_is_told_by_the_light():
    found = checked(scene() + noise(5), 0.9 * scene())
    assert found.light == pytest.approx(0.1, abs=0.01)
    assert not found.passed
    assert "intensity was not kept" in str(found)


def test_light_that_was_added_evenly_does_not_pass():
    """Half again as many photons as there were: no place stands out."""
    truth = np.full((256, 256), 0.05)
    noisy = poisson_gaussian(np.random.default_rng(0), truth, gain=30.0, offset=5.0, read_noise=2.0)
    model = NoiseModel(gain=30.0, offset=5.0, read_noise=2.0)
    assert checked(noisy, 30 * truth + 5, model).passed
    brighter = checked(noisy, 30 * 1.53 * truth + 5, model)
    assert not brighter.places
    assert not brighter.passed


def test_more_removed_than_the_noise_does_not_pass():
    many = np.random.default_rng(1).normal(0, 8, (256, 256))  # structure of single pixels, each below the limit
    found = checked(scene() + many + noise(6), scene())
    assert found.variance == pytest.approx(1.64, abs=0.05)
    assert not found.passed


def test_the_limit_follows_all_pixels_that_are_checked():
    one, of_many = (
        check_plane(scene() + noise(7), scene(), WHITE, step=0.0, plane=(), pixels=n)[0] for n in (None, 10**8)
    )
    assert one.limit < of_many.limit
    assert f"19 of 20 isolated changes from {one.limit + 2.2:.1f} s.d. on" in str(verdict([one]))


def test_stacks_add_up():
    planes = [check_plane(scene() + noise(i), scene(), WHITE, step=0.0, plane=(i,))[0] for i in range(3)]
    whole = verdict(planes)
    assert whole.variance == pytest.approx(np.mean([verdict([plane]).variance for plane in planes]))
    assert whole.worst == max(plane.worst for plane in planes)


def test_the_outcome_in_short_says_where_to_look():
    right = checked(scene() + noise(8), scene())
    spot = checked(scene() + noise(8) + spots(PLACES, 40.0), scene())
    dim = checked(scene() + noise(8), 0.9 * scene() + 9)
    assert right.in_short("the layer") == "nothing was found"
    assert spot.in_short("the layer") == "the layer shows what stands out"
    assert not dim.passed
