"""Number formats: how far bfloat16 is from float32, where it is taken, and that the record names it."""

import numpy as np
import pytest
import torch

from napari_genrecon.engine.run import finish
from napari_genrecon.errors import OptionError
from napari_genrecon.models import MODELS, precision
from napari_genrecon.models.runtime import Model
from napari_genrecon.noise.same import SAME, bound_of, compare
from napari_genrecon.tasks.denoise import DenoiseOptions, denoise_steps

ALLOWING = [card for card in MODELS if card.bfloat16]
by_card = pytest.mark.parametrize("card", ALLOWING, ids=lambda card: card.name)


def scene(kind, contrast, side=96):
    """An image whose largest value is this many noise s.d., which is 1."""
    y, x = np.indices((side, side))
    rng = np.random.default_rng(0)
    spots = np.where(rng.random((side, side)) < 0.01, 1.0, 0.0)
    clean = {
        "smooth": np.sin(x / 9) * np.cos(y / 14),
        "steps": ((x // 24 + y // 32) % 2) * 2.0 - 1,
        "ramp": x / side * 2 - 1,
        "spots": spots + np.roll(spots, 1, 0),
        "flat": np.zeros((side, side)),
    }[kind]
    noise = rng.normal(0, 1, (side, side))
    low, high = 0.0, float(contrast)
    for _ in range(40):  # the amplitude that gives the contrast, noise included
        middle = (low + high) / 2
        low, high = (low, middle) if np.abs(middle * clean + noise).max() > contrast else (middle, high)
    return (low * clean + noise).astype(np.float32)


@by_card
@pytest.mark.parametrize("kind", ["smooth", "steps", "ramp", "spots", "flat"])
@pytest.mark.parametrize("part", [0.3, 1.0], ids=["low", "at the limit"])
@pytest.mark.parametrize("rho", [(0.0, 0.0), (0.6, 0.5)], ids=["white", "correlated"])
def test_bfloat16_stays_within_its_bound(card, kind, part, rho):
    """At most 0.05 noise s.d., and 0.01 root mean square, up to the contrast on the card."""
    image = scene(kind, max(part * card.bfloat16, 4.5))
    lower, full = (Model(card, "cpu", precision=p)(image, 1.0, rho) for p in ("bfloat16", "float32"))
    error = np.abs(lower - full)
    assert 0 < error.max() <= 0.05
    assert np.sqrt(np.square(error).mean()) <= 0.01


@by_card
def test_larger_contrast_runs_in_float32(card):
    image = scene("steps", 2 * card.bfloat16)
    lower, full = (Model(card, "cpu", precision=p)(image, 1.0, (0.0, 0.0)) for p in ("bfloat16", "float32"))
    np.testing.assert_array_equal(lower, full)


@by_card
def test_auto_takes_bfloat16_where_it_is_native_only(card, monkeypatch):
    for native, expected in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(precision, "bfloat16_is_native", lambda device, native=native: native)
        assert precision.resolve_precision("auto", card, "cpu") == expected
        assert precision.resolve_precision("float32", card, "cpu") == "float32"


def test_auto_leaves_models_alone_whose_card_does_not_allow_it(monkeypatch):
    monkeypatch.setattr(precision, "bfloat16_is_native", lambda device: True)
    others = [card for card in MODELS if not card.bfloat16]
    assert others
    assert {precision.resolve_precision("auto", card, "cpu") for card in others} == {"float32"}


def test_record_names_the_precision_and_float32_is_had_on_request(monkeypatch):
    monkeypatch.setattr(precision, "bfloat16_is_native", lambda device: True)
    image = np.random.default_rng(0).normal(100, 5, (48, 48)).astype(np.float32)
    fast, full = (finish(denoise_steps(image, DenoiseOptions(precision=p))) for p in ("auto", "float32"))
    assert (fast.record["precision"], full.record["precision"]) == ("bfloat16", "float32")
    assert fast.record["machines"][0].endswith(", bfloat16")
    assert 0 < np.abs(fast.data - full.data).max() <= 0.05 * 5 * 1.1
    noise = full.record["noise"]
    assert not compare(fast.data, full.data, noise).same
    assert compare(fast.data, full.data, noise, bound_of(fast.record, full.record)).same
    assert bound_of(full.record) == SAME


def test_worker_computes_in_the_precision_of_the_record(monkeypatch):
    image = np.random.default_rng(0).normal(100, 5, (48, 48)).astype(np.float32)
    planned = finish(denoise_steps(image, DenoiseOptions(), lazy=True))
    here = np.asarray(planned.data)
    monkeypatch.setattr(precision, "bfloat16_is_native", lambda device: True)  # as on a worker
    assert planned.record["precision"] == "float32"
    np.testing.assert_array_equal(np.asarray(planned.data), here)


def test_precision_that_does_not_exist_is_refused():
    with pytest.raises(OptionError, match="precision must be 'auto' or 'float32', got 'half'"):
        DenoiseOptions(precision="half")


@pytest.mark.parametrize(("limit", "native"), [("AVX2", False), ("ALL", True), ("avx512_core_amx", True)])
def test_processor_counts_with_the_instructions_that_it_may_use(monkeypatch, limit, native):
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    assert NATIVE("cpu") is native


NATIVE = precision.bfloat16_is_native  # before the tests' own settings replace it
