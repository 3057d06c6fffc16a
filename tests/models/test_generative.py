"""Laws of using a generative model, with small networks of random weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_genrecon.errors import ImageError, OptionError
from napari_genrecon.models.card import ModelCard
from napari_genrecon.models.generative import GenerativeModel
from napari_genrecon.models.runtime import build_network


def _model(kind: str, channels: int = 1, **known: object) -> GenerativeModel:
    torch.manual_seed(3)
    card = ModelCard(
        name="test",
        task="sample",
        network=kind,
        nature="synthetic",
        shape={"size": 32, "latent": 5, "width": 4} | ({"likelihood": "logistic"} if kind == "vae" else {}),
        channels=channels,
        low=(100.0,) * channels,
        high=(1000.0,) * channels,
        dtype="uint16",
        **known,
    )
    network = build_network(card)
    for parameter in network.parameters():
        parameter.data *= 3  # so that the latents are seen in the pictures
    return GenerativeModel(card, network, "cpu")


@pytest.mark.parametrize("kind", ["dcgan", "vae"])
def test_sample_is_reproducible_and_does_not_depend_on_how_many(kind: str) -> None:
    model = _model(kind)
    many = model.sample(300, seed=7)
    assert np.array_equal(many, model.sample(300, seed=7))
    np.testing.assert_allclose(many[:3], model.sample(3, seed=7), atol=0.01)
    assert not np.array_equal(many[:3], model.sample(3, seed=8))
    assert not np.array_equal(model.sample(3), model.sample(3))


@pytest.mark.parametrize("kind", ["dcgan", "vae"])
@pytest.mark.parametrize("channels", [1, 3])
def test_sample_is_in_the_range_and_the_channels_of_the_training_data(kind: str, channels: int) -> None:
    samples = _model(kind, channels).sample(4, seed=0)
    assert samples.shape == ((4, 32, 32) if channels == 1 else (4, 3, 32, 32))
    assert samples.dtype == np.float32
    assert samples.min() >= 100
    assert samples.max() <= 1000


def test_truncation_to_nothing_gives_one_picture_and_less_gives_less_variety() -> None:
    model = _model("dcgan")
    none, half, whole = (model.sample(50, seed=0, truncation=t).std(0).mean() for t in (0.0, 0.5, 1.0))
    assert none < 1e-3
    assert none < half < whole


def test_vae_refuses_truncation() -> None:
    with pytest.raises(OptionError, match="truncation is for GANs"):
        _model("vae").sample(2, truncation=0.5)


@pytest.mark.parametrize("kind", ["dcgan", "vae"])
def test_interpolation_begins_and_ends_at_its_ends(kind: str) -> None:
    model = _model(kind)
    a, b = model.latents(2, seed=0)
    way = model.interpolate(a, b, 5)
    np.testing.assert_allclose(way[[0, -1]], model.decode([a, b]), atol=0.01)
    assert len(way) == 5


def test_way_of_a_gan_keeps_the_length_of_its_latents(monkeypatch: pytest.MonkeyPatch) -> None:
    model = _model("dcgan")
    seen: list[np.ndarray] = []
    monkeypatch.setattr(model, "decode", lambda z: seen.append(z))
    a, b = model.latents(2, seed=0)
    b *= np.linalg.norm(a) / np.linalg.norm(b)
    model.interpolate(a, b, 9)
    np.testing.assert_allclose(np.linalg.norm(seen[0], axis=1), np.linalg.norm(a), rtol=1e-5)


def test_vae_interpolates_between_pictures() -> None:
    model = _model("vae")
    first, last = model.sample(2, seed=0)
    way = model.interpolate(first, last, 3)
    np.testing.assert_allclose(way[[0, -1]], model.reconstruct([first, last]), atol=0.01)


def test_traverse_changes_one_number_of_the_latent() -> None:
    model = _model("vae")
    start = model.latents(1, seed=0)[0]
    walk = model.traverse(start, 2, [start[2], 3.0])
    np.testing.assert_allclose(walk[0], model.decode([start])[0], atol=0.01)
    assert np.abs(walk[1] - walk[0]).max() > 1


def test_posterior_samples_of_a_certain_encoder_are_its_reconstruction() -> None:
    model = _model("vae")
    latent = model.card.latent
    model._network.code.bias.data[latent:] = -14.0
    model._network.code.weight.data[latent:] = 0
    picture = model.sample(1, seed=0)[0]
    expected = np.repeat(model.reconstruct(picture), 4, axis=0)
    np.testing.assert_allclose(model.posterior_samples(picture, 4, seed=1), expected, atol=3.0)


def test_scores_use_the_cards_calibration() -> None:
    model = _model("vae", calibration={"bound": [-5000.0, 10.0], "pixel_error_99": [50.0]})
    pictures = model.sample(3, seed=0)
    np.testing.assert_allclose(model.outlier_scores(pictures), (-5000 - model.bound(pictures, 8)) / 10)
    expected = np.abs(model.reconstruct(pictures) - pictures) / 50
    np.testing.assert_allclose(model.anomaly_map(pictures), expected, rtol=1e-5)


def test_bound_of_a_picture_is_the_same_every_time() -> None:
    model = _model("vae")
    pictures = model.sample(40, seed=0)
    assert np.array_equal(model.bound(pictures, 4), model.bound(pictures, 4))


@pytest.mark.parametrize("method", ["encode", "reconstruct", "posterior_samples", "bound", "anomaly_map"])
def test_gan_says_that_it_knows_no_way_back(method: str) -> None:
    with pytest.raises(OptionError, match=r"is a GAN, which cannot .*: take a VAE"):
        getattr(_model("dcgan"), method)(np.zeros((32, 32)))


def test_scores_without_held_out_crops_are_refused() -> None:
    with pytest.raises(OptionError, match="trained without held-out crops"):
        _model("vae").outlier_scores(np.zeros((32, 32)))


@pytest.mark.parametrize("shape", [(31, 32), (2, 2, 32, 32), (0, 32, 32)])
def test_pictures_that_do_not_fit_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ImageError, match=r"takes pictures of shape \(32, 32\)"):
        _model("vae").encode(np.zeros(shape))


def test_pictures_with_nan_are_refused() -> None:
    with pytest.raises(ImageError, match="all of them finite"):
        _model("vae").encode(np.full((32, 32), np.nan))


def test_latents_that_do_not_fit_are_refused() -> None:
    with pytest.raises(OptionError, match=r"latents must be finite numbers of shape \(N, 5\)"):
        _model("vae").decode(np.zeros((2, 4)))
