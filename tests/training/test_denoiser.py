from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from bundled.denoiser import _ERRORS, DenoiserRecipe, loss_of, new_state
from bundled.patches import Sources
from bundled.phases import constant_rate, falling_rate
from safetensors.torch import load_file, save_file

from napari_genrecon.models.networks.unet import GrainUNet
from napari_genrecon.training.loop.checkpoint import load_latest

TINY = DenoiserRecipe(size=1, patch=16)


@pytest.fixture
def sources() -> Sources:
    rng = np.random.default_rng(0)
    planes = [rng.random((24, 24)).astype(np.float16)]
    return Sources([rng.integers(0, 256, (60, 60, 3), dtype=np.uint8)], planes, planes, planes, planes)


def test_decay_leaves_the_constant_phase_to_continue_from(tmp_path: Path, sources: Sources) -> None:
    state = new_state(TINY)
    list(constant_rate(state, TINY, loss_of(TINY, sources, tmp_path), tmp_path, 0.2 / 60))
    before = state.step
    list(falling_rate(state, TINY, loss_of(TINY, sources, tmp_path), tmp_path, 0.2 / 60))
    assert state.step > before
    resumed = new_state(TINY)
    assert load_latest(resumed, tmp_path)
    assert resumed.step == before


def test_decay_ends_with_weights_the_network_takes(tmp_path: Path, sources: Sources) -> None:
    rates = [
        step.rate for step in falling_rate(new_state(TINY), TINY, loss_of(TINY, sources, tmp_path), tmp_path, 0.2 / 60)
    ]
    assert rates == sorted(rates, reverse=True)
    final = load_file(tmp_path / "final.safetensors")
    GrainUNet().load_state_dict(final)
    assert all(tensor.dtype == torch.float32 for tensor in final.values())


def test_init_starts_from_known_weights_with_fresh_moments(tmp_path: Path) -> None:
    known = {name: weight + 1 for name, weight in new_state(TINY).net.state_dict().items()}
    save_file({name: weight.contiguous() for name, weight in known.items()}, tmp_path / "known.safetensors")
    state = new_state(TINY, tmp_path / "known.safetensors")
    assert all(torch.equal(weight, known[name]) for name, weight in state.net.state_dict().items())
    assert not state.optimiser.state
    assert state.step == 0


@pytest.mark.parametrize(("loss", "best"), [("l1", 1.0), ("l2", 0.75)])
def test_a_constant_learnt_from_two_values_is_their_median_or_their_mean(loss: str, best: float) -> None:
    """Three of four pixels are 1, one is 0: what costs least is 1 for the absolute error, 3/4 for the squared one."""
    clean = torch.tensor([1.0, 1.0, 1.0, 0.0]).view(1, 1, 2, 2)
    guesses = torch.linspace(0, 1, 101)
    costs = [float(_ERRORS[loss](guess - clean, torch.tensor([0.1]))) for guess in guesses]
    assert float(guesses[int(np.argmin(costs))]) == pytest.approx(best, abs=0.011)
