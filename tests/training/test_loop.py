from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from napari_genrecon.training.loop.checkpoint import load_latest, save_checkpoint
from napari_genrecon.training.loop.loop import State, train_steps
from napari_genrecon.training.loop.muon import Muon, _orthogonal
from napari_genrecon.training.loop.schedule import warm_up


def _state(optimiser: str = "adamw") -> State:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.ReLU(), nn.Conv2d(4, 1, 3, padding=1, bias=False))
    net = net.to(memory_format=torch.channels_last)
    make = {"adamw": torch.optim.AdamW, "muon": Muon}[optimiser]
    return State(net, make(net.parameters(), lr=1e-2))


def _loss(net: nn.Module, step: int, skipped: int) -> dict[str, Tensor]:
    clean = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(1000 * skipped + step))
    return {"loss": (net(clean) - clean).abs().mean()}


def _train(state: State, folder: Path, steps: int, loss=_loss) -> list[float]:
    running = train_steps(state, loss, lambda step: warm_up(step, 1e-2, 2), folder)
    losses = [step.loss for step in itertools.islice(running, steps)]
    running.close()
    return losses


@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
def test_resumed_run_equals_an_uninterrupted_one_bit_for_bit(tmp_path: Path, optimiser: str) -> None:
    whole = _state(optimiser)
    _train(whole, tmp_path / "whole", 6)
    _train(_state(optimiser), tmp_path / "cut", 3)
    resumed = _state(optimiser)
    assert load_latest(resumed, tmp_path / "cut")
    _train(resumed, tmp_path / "cut", 3)
    assert resumed.step == whole.step == 6
    for name, weight in whole.net.state_dict().items():
        assert torch.equal(weight, resumed.net.state_dict()[name])
        assert torch.equal(whole.average[name], resumed.average[name])


@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
def test_training_lowers_the_loss(tmp_path: Path, optimiser: str) -> None:
    losses = _train(_state(optimiser), tmp_path, 150)
    assert sum(losses[-10:]) < 0.8 * sum(losses[:5])


@pytest.mark.parametrize("damage", ["tensors cut short", "record cut short", "no record yet"])
def test_previous_checkpoint_is_used_when_the_newest_is_damaged(tmp_path: Path, damage: str) -> None:
    state = _state()
    _train(state, tmp_path, 3)
    _train(state, tmp_path, 2)
    tensors, record = tmp_path / "step-00000005.safetensors", tmp_path / "step-00000005.json"
    if damage == "tensors cut short":
        tensors.write_bytes(tensors.read_bytes()[:-40])
    elif damage == "record cut short":
        record.write_bytes(record.read_bytes()[:20])
    else:
        record.unlink()
    resumed = _state()
    assert load_latest(resumed, tmp_path)
    assert resumed.step == 3


def test_crash_while_saving_keeps_both_older_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = _state()
    _train(state, tmp_path, 3)

    def crash(*_: object) -> None:
        raise OSError("power cut")

    monkeypatch.setattr("os.replace", crash)
    state.step = 4
    with pytest.raises(OSError, match="power cut"):
        save_checkpoint(state, tmp_path)
    monkeypatch.undo()
    resumed = _state()
    assert load_latest(resumed, tmp_path)
    assert resumed.step == 3


def test_two_generations_are_kept(tmp_path: Path) -> None:
    state = _state()
    for _ in range(4):
        _train(state, tmp_path, 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "step-00000003.json",
        "step-00000003.safetensors",
        "step-00000004.json",
        "step-00000004.safetensors",
    ]


def test_loss_that_is_not_finite_returns_to_the_checkpoint_with_other_data(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []

    def sometimes_nan(net: nn.Module, step: int, skipped: int) -> Tensor:
        seen.append((step, skipped))
        loss = _loss(net, step, skipped)["loss"]
        return {"loss": loss * torch.nan if (step, skipped) == (2, 0) else loss}

    state = _state()
    losses = _train(state, tmp_path, 4, sometimes_nan)
    assert seen == [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1)]
    assert all(loss == loss for loss in losses)
    assert all(torch.isfinite(weight).all() for weight in state.net.state_dict().values())


def test_folder_without_checkpoint_is_told(tmp_path: Path) -> None:
    assert not load_latest(_state(), tmp_path)


@pytest.mark.parametrize("shape", [(8, 40), (40, 8)], ids=["wide", "tall"])
def test_muon_direction_is_nearly_orthogonal(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    values = torch.linalg.svdvals(_orthogonal(torch.randn(shape)))
    assert values.min() > 0.5
    assert values.max() < 1.3


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="Linux tells what is mapped")
def test_loaded_checkpoint_is_not_mapped(tmp_path: Path) -> None:
    """Windows would not let a mapped file be replaced or removed."""
    state = _state()
    _train(state, tmp_path, 2)
    assert load_latest(state, tmp_path)
    assert str(tmp_path) not in Path("/proc/self/maps").read_text()
