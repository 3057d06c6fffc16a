"""The generative models that are shipped: small, with cards, and sampling at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_genrecon.models import find_model, list_models, load_model
from napari_genrecon.models.registry import CARDED, weights_path


@pytest.fixture(autouse=True)
def no_models_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENRECON_MODELS", str(tmp_path))


def test_bundled_models_have_at_most_6_mb_together() -> None:
    assert sum(weights_path(find_model(name)).stat().st_size for name in CARDED) <= 6_000_000


def test_bundled_models_are_listed() -> None:
    assert tuple(card.name for card in list_models("sample")) == tuple(CARDED)


@pytest.mark.parametrize("name", CARDED)
def test_card_says_what_the_model_was_made_from(name: str) -> None:
    card = find_model(name, "sample")
    assert card.name == name
    assert card.nature == "synthetic"
    assert card.licence
    assert len(card.data) == 64
    assert card.n_train > 10_000
    assert card.n_held_out > 500
    assert card.calibration


@pytest.mark.parametrize("name", CARDED)
def test_samples_are_bright_in_the_middle_and_dark_in_the_corners_as_nuclei_are(name: str) -> None:
    samples = load_model(name, "cpu").sample(200, seed=0)
    assert samples.shape == (200, 32, 32)
    corners = samples[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert samples[:, 12:20, 12:20].mean() > 1.5 * corners.mean()
    assert samples.std(0).mean() > 20  # and they differ


def test_noise_is_an_outlier_to_the_bundled_vae_and_its_own_samples_are_not() -> None:
    model = load_model("nuclei-vae-32", "cpu")
    noise = np.random.default_rng(0).integers(0, 256, (20, 32, 32)).astype(np.uint8)
    assert model.outlier_scores(noise).min() > 3
    assert np.median(model.outlier_scores(model.sample(20, seed=0).round())) < 1
