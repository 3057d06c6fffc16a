import hashlib

import numpy as np
import pytest

from napari_genrecon.engine.run import finish, one_step, run_tiles
from napari_genrecon.engine.tiles import TileGrid
from napari_genrecon.errors import UnknownModelError, WeightsError
from napari_genrecon.models import MODELS, find_model, list_models, load_network, registry, runtime

DENOISERS = list_models("denoise")
by_name = pytest.mark.parametrize("spec", DENOISERS, ids=lambda s: s.name)


def noisy(shape, seed=0, sigma=1.0):
    """A smooth scene of several sigma contrast, with white noise of this s.d."""
    y, x = np.indices(shape)
    scene = 6 * np.sin(x / 9) * np.cos(y / 14) + 4 * (np.hypot(x - 90, y - 70) < 30)
    return (scene + np.random.default_rng(seed).normal(0, sigma, shape)).astype(np.float32)


@pytest.mark.parametrize("spec", MODELS, ids=lambda s: s.name)
def test_weights_match_their_sha256(spec):
    assert hashlib.sha256(registry.weights_path(spec).read_bytes()).hexdigest() == spec.sha256


def test_model_names_are_unique_and_lower_case():
    names = [spec.name for spec in MODELS]
    assert len(set(names)) == len(names)
    assert all(name == name.lower() for name in names)


@by_name
@pytest.mark.parametrize("rho", [(0.0, 0.0), (0.6, 0.5)], ids=["white", "correlated"])
@pytest.mark.parametrize("shape", [pytest.param((360, 344), marks=pytest.mark.slow), (317, 451)], ids=str)
def test_tiled_equals_whole(spec, rho, shape):
    """Whatever the tile: at most 1e-4 of the noise s.d., which is 1 here."""
    run, image = load_network(spec, "cpu"), noisy(shape)
    whole = run(image, 1.0, rho)
    grid = TileGrid(shape, (104, 120), spec.halo[2:], (1, 1), spec.stride[2:])
    tiled = finish(run_tiles(one_step(lambda block, tile: run(block, 1.0, rho)), image, grid)).array
    assert np.abs(tiled - whole).max() <= 1e-4


@by_name
@pytest.mark.parametrize("scale", [1e-3, 0.5, 40.0, 1e4])
def test_denoiser_is_equivariant_to_scale(spec, scale):
    """f(a*y, a*sigma) = a*f(y, sigma), to 1e-3 sigma."""
    run, image = load_network(spec, "cpu"), noisy((128, 128))
    expected = run(image, 1.0, (0.2, 0.2))
    got = run(image * np.float32(scale), scale, (0.2, 0.2)) / scale
    assert np.abs(got - expected).max() <= 1e-3


@by_name
def test_denoiser_removes_most_of_white_noise(spec):
    noise = np.random.default_rng(3).normal(size=(256, 256)).astype(np.float32)
    clean = noisy((256, 256), sigma=0.0)
    assert np.abs(load_network(spec, "cpu")(clean + noise, 1.0, (0.0, 0.0)) - clean).std() < 0.3


def test_auto_is_the_tasks_default():
    assert find_model("auto", "denoise") is DENOISERS[0]


def test_unknown_model_suggests_the_nearest():
    with pytest.raises(UnknownModelError, match=r"no 'denoise' model named 'denoise2d'; did you mean 'denoise-2d'"):
        find_model("denoise2d", "denoise")


def test_damaged_weights_are_refused(monkeypatch, tmp_path):
    spec = DENOISERS[0]
    content = bytearray(registry.weights_path(spec).read_bytes())
    content[5000] ^= 1
    (tmp_path / registry.weights_path(spec).name).write_bytes(content)
    monkeypatch.setattr(registry, "WEIGHTS", tmp_path)
    with pytest.raises(WeightsError, match=r"are damaged: .* has sha256 .*; reinstall"):
        runtime.Model(spec, "cpu")


def test_missing_weights_are_named(monkeypatch, tmp_path):
    monkeypatch.setattr(registry, "WEIGHTS", tmp_path)
    with pytest.raises(WeightsError, match=r"cannot be read from .*denoise-2d.safetensors"):
        runtime.Model(DENOISERS[0], "cpu")
