"""Laws of generative trainings: they resume exactly, keep grey values, and say what goes wrong."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import nn

from napari_genrecon.errors import InferenceError
from napari_genrecon.models import load_model
from napari_genrecon.models.files import read_card
from napari_genrecon.training.data.batches import Batches
from napari_genrecon.training.data.cut import cut_crops
from napari_genrecon.training.data.dataset import CropOptions, Dataset
from napari_genrecon.training.data.differentiable import augment_differentiably
from napari_genrecon.training.loop import loop
from napari_genrecon.training.options import TrainOptions
from napari_genrecon.training.recipes import dcgan
from napari_genrecon.training.recipes.dcgan import DCGANOptions, gan_losses
from napari_genrecon.training.recipes.vae import VAEOptions
from napari_genrecon.training.session import train_steps

KINDS = {
    "vae": VAEOptions(latent=3, width=4, batch=8, steps=20, elastic=0.5, intensity=0.1),
    "dcgan": DCGANOptions(latent=3, width=4, batch=8, steps=20, r1=1.0, spectral=True, augment=True),
}


def _crops(dtype: type = np.uint16, factor: float = 1.0, offset: float = 0.0) -> Dataset:
    x = gaussian_filter(np.random.default_rng(0).normal(size=(64, 32, 32)), (0, 2, 2))
    grey = np.round(100 + 900 * (x - x.min()) / np.ptp(x)) * factor + offset
    return cut_crops(grey.astype(dtype), CropOptions(size=32, mode="whole"))


def _run(options: TrainOptions, folder: Path, steps: int | None = None, crops: Dataset | None = None) -> None:
    running = train_steps(crops or _crops(), options, folder, name="test")
    for _ in itertools.islice(running, steps):
        pass
    running.close()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_resumed_training_equals_an_uninterrupted_one_bit_for_bit(tmp_path: Path, kind: str) -> None:
    _run(KINDS[kind], tmp_path / "whole")
    _run(KINDS[kind], tmp_path / "cut", 10)
    torch.manual_seed(99)  # nothing depends on the global random state
    _run(KINDS[kind], tmp_path / "cut")
    name = "step-00000020.safetensors"  # weights, averages and moments
    assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "cut" / name).read_bytes()
    samples = [np.load(tmp_path / each / "samples.npy") for each in ("whole", "cut")]
    assert np.array_equal(*samples)


@pytest.mark.parametrize("kind", KINDS)
def test_folder_holds_what_the_window_shows(tmp_path: Path, kind: str) -> None:
    _run(KINDS[kind], tmp_path)
    header, *rows = (tmp_path / "log.csv").read_text().splitlines()
    assert header.startswith("step,seconds,")
    assert {row.count(",") for row in rows} == {header.count(",")}
    samples = np.load(tmp_path / "samples.npy")
    assert (samples.shape, samples.dtype) == ((36, 1, 32, 32), np.float32)
    assert read_card(tmp_path / "last.safetensors").steps == 20
    assert load_model(tmp_path / "best.safetensors", "cpu").sample(2, seed=0).shape == (2, 32, 32)


@pytest.mark.parametrize("kind", KINDS)
def test_samples_lie_in_the_grey_values_of_the_training_data(tmp_path: Path, kind: str) -> None:
    _run(KINDS[kind], tmp_path)
    samples = load_model(tmp_path / "last.safetensors", "cpu").sample(20, seed=0)
    assert samples.min() >= 100
    assert samples.max() <= 1000
    assert samples.mean() > 200


@pytest.mark.parametrize("kind", KINDS)
def test_data_times_a_plus_b_gives_samples_times_a_plus_b(tmp_path: Path, kind: str) -> None:
    options = replace(KINDS[kind], steps=4)
    samples = []
    for factor, offset in ((1.0, 0.0), (8.0, -512.0)):
        _run(options, tmp_path / str(factor), crops=_crops(np.float32, factor, offset))
        samples.append(load_model(tmp_path / str(factor) / "last.safetensors", "cpu").sample(8, seed=1))
    np.testing.assert_allclose(samples[1], 8 * samples[0] - 512, atol=1e-3 * 8 * 900)


def test_batches_keep_whole_grey_values_when_crops_are_bent() -> None:
    crops = _crops()
    step = 2 / (crops.high[0] - crops.low[0])
    options = TrainOptions(batch=32, elastic=1.0, intensity=0.2)
    levels = (Batches(crops, options, (step,), torch.device("cpu"))(0, 0).double() + 1) / step
    assert float((levels - levels.round()).abs().max()) < 1e-3
    assert float(levels.min()) >= 0


def test_batch_depends_on_the_step_alone() -> None:
    batches = Batches(_crops(), TrainOptions(batch=8), (0.01,), torch.device("cpu"))
    again = Batches(_crops(), TrainOptions(batch=8), (0.01,), torch.device("cpu"))
    batches(0, 0)
    assert torch.equal(batches(7, 0), again(7, 0))
    assert not torch.equal(batches(7, 0), batches(8, 0))
    assert not torch.equal(batches(7, 0), batches(7, 1))


class _Ramp(nn.Module):
    """A discriminator whose number is the sum of the pixels times 0.5: its slope is known."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(0.5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.slope * x.sum(dim=(1, 2, 3))


class _Dark(nn.Module):
    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(z), 1, 4, 4)


def _losses(options: TrainOptions, step: int) -> tuple[float, float]:
    net = nn.ModuleDict({"generator": _Dark(), "discriminator": _Ramp()})
    turns = gan_losses(lambda *_: torch.full((4, 1, 4, 4), 0.25), None, options, torch.enable_grad)
    return tuple(float(loss.detach()) for turn in turns for loss in turn(net, step, 0).values())


def test_losses_of_the_game_are_those_of_the_papers() -> None:
    on_real, on_fake = 2.0, 0.0  # 0.5 * 16 pixels * 0.25, and of a dark picture
    plain = DCGANOptions(r1=0.0, augment=False)
    softplus = [np.log1p(np.exp(value)) for value in (-on_real, on_fake, -on_fake)]
    assert _losses(plain, 1) == pytest.approx((softplus[0] + softplus[1], softplus[2]))
    hinge = DCGANOptions(r1=0.0, augment=False, loss="hinge")
    assert _losses(hinge, 1) == pytest.approx((0.0 + 1.0, 0.0))


def test_r1_penalises_the_squared_slope_on_data_every_16th_step() -> None:
    options = DCGANOptions(r1=3.0, augment=False)
    difference = _losses(options, 16)[0] - _losses(options, 17)[0]
    assert difference == pytest.approx(16 * 3.0 / 2 * 16 * 0.5**2)


def test_differentiable_augmentation_lets_gradients_through_and_differs_between_pictures() -> None:
    x = torch.rand(6, 2, 32, 32).mul(2).sub(1).requires_grad_()
    changed = augment_differentiably(x, torch.Generator().manual_seed(0))
    changed.sum().backward()
    assert changed.shape == x.shape
    assert float((x.grad != 0).float().mean()) > 0.6
    same = augment_differentiably(x[:1].expand(6, -1, -1, -1), torch.Generator().manual_seed(0))
    assert float((same[0] - same[1]).detach().abs().max()) > 0.1


def test_collapse_is_said_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dcgan, "_SETTLED", 0)
    _run(KINDS["dcgan"], tmp_path)  # 20 steps: its samples are all alike still
    assert "has collapsed to a few pictures" in read_card(tmp_path / "best.safetensors").warnings[0]


def test_training_that_diverges_again_and_again_ends_with_a_sentence(tmp_path: Path) -> None:
    net = nn.Linear(1, 1)
    state = loop.State(net, torch.optim.Adam(net.parameters()))
    steps = loop.train_steps(state, lambda net, *_: {"loss": net.weight.sum() * torch.nan}, lambda _: 1e-3, tmp_path)
    with pytest.raises(InferenceError, match="take a lower learning rate"):
        next(steps)
