from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from bundled.patches import Sources
from bundled.phases import constant_rate, falling_rate
from bundled.upscaler import MicroscopeRecipe, UpscalerRecipe, loss_of, new_state
from safetensors.torch import load_file

from napari_genrecon.models.networks.srnet import UpscaleNet, UpscaleNets
from napari_genrecon.training.loop.checkpoint import load_latest

TINY = UpscalerRecipe(size=1, patch=8)


@pytest.fixture
def sources() -> Sources:
    rng = np.random.default_rng(0)
    planes = [rng.random((24, 24)).astype(np.float16)]
    return Sources([rng.integers(0, 256, (60, 60, 3), dtype=np.uint8)], planes, planes, planes, planes)


def test_a_run_is_resumed_where_it_was_saved(tmp_path: Path, sources: Sources) -> None:
    state = new_state(TINY)
    list(constant_rate(state, TINY, loss_of(TINY, sources, tmp_path), tmp_path, 0.3 / 60))
    assert state.step > 0
    resumed = new_state(TINY)
    assert load_latest(resumed, tmp_path)
    assert resumed.step == state.step
    for name, weight in state.net.state_dict().items():
        assert torch.equal(weight, resumed.net.state_dict()[name])


@pytest.mark.parametrize(
    ("recipe", "network"),
    [(TINY, UpscaleNets), (MicroscopeRecipe(size=1, patch=8), UpscaleNet)],
    ids=["bicubic", "microscope"],
)
def test_decay_ends_with_weights_the_network_takes(tmp_path: Path, sources: Sources, recipe, network) -> None:
    list(falling_rate(new_state(recipe), recipe, loss_of(recipe, sources, tmp_path), tmp_path, 0.3 / 60))
    network().load_state_dict(load_file(tmp_path / "final.safetensors"))


def test_training_one_factor_leaves_the_others_as_they_are(tmp_path: Path, sources: Sources) -> None:
    recipe = UpscalerRecipe(size=1, patch=8, factor=2)
    state = new_state(recipe)
    before = {name: weight.clone() for name, weight in state.net.state_dict().items()}
    list(constant_rate(state, recipe, loss_of(recipe, sources, tmp_path), tmp_path, 0.3 / 60))
    changed = {name.split(".")[0] for name, weight in state.net.state_dict().items() if (weight != before[name]).any()}
    assert changed == {"two"}
