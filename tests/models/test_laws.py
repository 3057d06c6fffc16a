"""Laws of every model that ships and of every network: they build, keep shapes, repeat, and do not see the tiles."""

import numpy as np
import pytest

from napari_genrecon.engine.run import finish, one_step, run_tiles
from napari_genrecon.engine.tiles import TileGrid
from napari_genrecon.models import MODELS, ModelCard, find_model, load_model, load_network
from napari_genrecon.models.networks import NETWORKS
from napari_genrecon.models.registry import CARDED
from napari_genrecon.models.runtime import build_network

FACTOR = 3
TOLD = {"sigma": 1.0, "rho": (0.3, 0.2), "factor": FACTOR}
BUILT = [name for name, network in NETWORKS.items() if not network.from_weights]

every_model = pytest.mark.parametrize("card", MODELS, ids=lambda card: card.name)


def planes(card, shape):
    """A smooth scene with noise of s.d. 1 in every channel; positive, as variances are."""
    y, x = np.indices(shape)
    scene = 11 + 6 * np.sin(x / 9) * np.cos(y / 14)
    return (scene + np.random.default_rng(0).normal(size=(card.channels, *shape))).astype(np.float32)


def run_by(card):
    """The network of a card as a function of channels, (C, Y, X), which always returns channels."""
    network, told = load_network(card, "cpu"), [TOLD[what] for what in card.told]

    def run(image):
        made = network(image, *told)
        return made if made.ndim == 3 else made[None]

    return run


@every_model
@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (8, 8), (63, 65), (64, 200)], ids=str)
def test_any_shape_is_kept(card, shape):
    made = run_by(card)(planes(card, shape))
    scale = FACTOR if "factor" in card.told else 1
    assert made.shape[1:] == (scale * shape[0], scale * shape[1])
    assert np.isfinite(made).all()


@every_model
def test_running_twice_gives_the_same_bits(card):
    run, given = run_by(card), planes(card, (95, 97))
    np.testing.assert_array_equal(run(given), run(given))


@every_model
def test_tiled_equals_whole(card):
    """To 1e-4 of the noise s.d., which is 1 here: else the halo on the card is too small."""
    run, given = run_by(card), planes(card, (317, 331))
    whole = run(given)
    channels, scale = len(given), whole.shape[-1] // given.shape[-1]

    def tile_of(block, tile):
        # Tiles have as many channels as the image; results with fewer are repeated.
        made = run(block)
        return made[np.arange(channels) % len(made)]

    halo, stride = (0, *card.halo[2:]), (1, *card.stride[2:])
    grid = TileGrid(given.shape, (channels, 104, 120), halo, (1, scale, scale), stride)
    tiled = finish(run_tiles(one_step(tile_of), given, grid)).array
    assert len(whole) <= channels
    assert np.abs(tiled[: len(whole)] - whole).max() <= 1e-4


@pytest.mark.parametrize("name", CARDED)
def test_samples_of_one_seed_have_the_same_bits(name):
    card, model = find_model(name, "sample"), load_model(name, "cpu")
    made = model.sample(3, seed=5)
    assert made.shape == (3, card.size, card.size)
    np.testing.assert_array_equal(model.sample(3, seed=5), made)


@pytest.mark.parametrize("name", BUILT)
@pytest.mark.parametrize("which", [min, max], ids=["smallest", "largest"])
def test_network_builds_with_any_values_that_a_card_may_give(name, which):
    shape = {key: which(values) for key, values in NETWORKS[name].shape.items()}
    channels = shape.pop("channels", 1)
    card = ModelCard(name="any", task="denoise", network=name, channels=channels, shape=shape)
    assert all(weight.isfinite().all() for weight in build_network(card).state_dict().values())
