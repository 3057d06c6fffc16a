"""Model files: what goes in comes out, and what is not one of ours gets a sentence."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from napari_genrecon.errors import GenReconError, OutputError, UnknownModelError, WeightsError
from napari_genrecon.models import files, find_model, list_models, load_model, load_network, registry
from napari_genrecon.models.card import ModelCard, PerAxis, check_name
from napari_genrecon.models.files import read_card, save_model
from napari_genrecon.models.registry import BUNDLED, MODELS, export_model, import_model, remove_model
from napari_genrecon.models.runtime import build_network, read_weights

pytestmark = pytest.mark.usefixtures("models_folder")


SHAPES = {"dcgan": {"size": 32, "latent": 3, "width": 4}}
SHAPES["vae"] = {**SHAPES["dcgan"], "likelihood": "logistic"}


def _card(**changed: Any) -> ModelCard:
    values = {
        "name": "cells",
        "task": "sample",
        "network": "vae",
        "shape": SHAPES["vae"],
        "nature": "synthetic",
        "low": (0.0,),
        "high": (255.0,),
        "dtype": "uint8",
    }
    return ModelCard(**{**values, **changed})


def _weights(card: ModelCard) -> dict[str, np.ndarray]:
    torch.manual_seed(0)
    return {name: weight.numpy() for name, weight in build_network(card).state_dict().items()}


def _file(path: Path, card: Any = None, weights: dict[str, np.ndarray] | None = None) -> Path:
    """A model file with any card, by hand."""
    values = _card().to_dict() if card is None else card
    text = values if isinstance(values, str) else json.dumps(values)
    save_file(_weights(_card()) if weights is None else weights, path, metadata={"napari-genrecon": text})
    return path


@pytest.mark.parametrize("kind", ["vae", "dcgan"])
def test_saved_model_is_read_back(tmp_path: Path, kind: str) -> None:
    card = _card(
        network=kind,
        shape=SHAPES[kind],
        warnings=("few crops",),
        calibration={"bound": [1.5, 2.0]},
        pixel_size=(0.2, 0.2),
    )
    save_model(card, _weights(card), tmp_path / "m.safetensors", overwrite=False)
    assert read_card(tmp_path / "m.safetensors") == card
    model = load_model(tmp_path / "m.safetensors", "cpu")
    for name, weight in _weights(card).items():
        assert np.array_equal(weight, model.weights()[name])


def test_exported_and_imported_model_makes_the_same_samples(tmp_path: Path, models_folder: Path) -> None:
    models_folder.mkdir()
    save_model(_card(), _weights(_card()), models_folder / "cells.safetensors", overwrite=False)
    export_model("cells", tmp_path / "sent.safetensors")
    imported = import_model(tmp_path / "sent.safetensors", name="cells-2")
    assert [card.name for card in list_models() if card.path] == ["cells", "cells-2"]
    assert imported.name == "cells-2"
    assert np.array_equal(load_model("cells").sample(2, seed=0), load_model("cells-2").sample(2, seed=0))
    remove_model("cells")
    assert "cells" not in [card.name for card in list_models()]


def test_imported_model_never_replaces_another(tmp_path: Path) -> None:
    path = _file(tmp_path / "m.safetensors")
    import_model(path)
    with pytest.raises(OutputError, match="there is a model named 'cells' already"):
        import_model(path)
    with pytest.raises(OutputError, match="bundled"):
        import_model(path, name=BUNDLED[0])


def test_unknown_name_tells_the_nearest(tmp_path: Path) -> None:
    import_model(_file(tmp_path / "m.safetensors"))
    with pytest.raises(UnknownModelError, match="did you mean 'cells'"):
        find_model("cels")


@pytest.mark.parametrize("name", ["../cells", "", "a/b", "-x", "a" * 65, ".hidden", "nul\0"])
def test_name_that_is_no_file_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(WeightsError, match="a model cannot be named"):
        import_model(_file(tmp_path / "m.safetensors"), name=name)


def test_bundled_models_cannot_be_removed() -> None:
    with pytest.raises(UnknownModelError, match="bundled and cannot be removed"):
        remove_model(BUNDLED[0])


HOSTILE: dict[str, tuple[dict[str, Any], str]] = {
    "unknown key": ({"run": "__import__('os')"}, "this version does not know 'run'"),
    "other network": ({"network": "os.system"}, "network must be one of"),
    "huge latent": ({"shape": {**SHAPES["vae"], "latent": 10**9}}, "latent must lie between 1 and 1024"),
    "huge width": ({"shape": {**SHAPES["vae"], "width": 10**9}}, "width must lie between 1 and 256"),
    "width as text": ({"shape": {**SHAPES["vae"], "width": "4"}}, "width must lie between 1 and 256"),
    "odd size": ({"shape": {**SHAPES["vae"], "size": 33}}, "size must be one of"),
    "size as text": ({"shape": {**SHAPES["vae"], "size": 32.0}}, "size must be one of"),
    "many channels": ({"channels": 10**6}, "channels must lie between"),
    "empty range": ({"high": [0.0]}, "low and high must give a range"),
    "range of two channels": ({"low": [0.0, 0.0]}, "low and high must give a range"),
    "infinite range": ({"high": [float("inf")]}, "high must be a number"),
    "not synthetic": ({"nature": "data"}, "synthetic"),
    "text for a table": ({"losses": "none"}, "losses must be a table"),
    "endless list": ({"warnings": ["x"] * 10_000}, "warnings must be a list"),
    "deep table": ({"versions": {"a": [[[[[[1]]]]]]}}, "versions must be plain and short"),
    "shape of another network": ({"shape": SHAPES["dcgan"]}, "shape must give"),
    "likelihood of its own": ({"shape": {**SHAPES["vae"], "likelihood": "x"}}, "likelihood must be one of"),
    "endless halo": ({"halo": [0, 0, 10**9, 0]}, "halo must lie between"),
    "halo of two axes": ({"halo": [1, 1]}, "halo must give T, Z, Y and X"),
    "no stride": ({"stride": [1, 1, 0, 1]}, "stride must lie between"),
    "told code": ({"told": ["__import__"]}, "told may hold sigma, rho and factor"),
    "of the future": ({"format": "genrecon-model/9"}, "a newer version"),
    "name with a path": ({"name": "../../x"}, "a model cannot be named"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_card_gets_a_sentence(tmp_path: Path, case: str) -> None:
    changed, sentence = HOSTILE[case]
    path = _file(tmp_path / "m.safetensors", {**_card().to_dict(), **changed})
    with pytest.raises(WeightsError, match=sentence) as caught:
        import_model(path)
    assert len(str(caught.value)) < 600


def test_text_of_a_card_is_plain_and_short(tmp_path: Path) -> None:
    text = "\x1b[31m<b>red</b>\n" + 10_000 * "x"
    card = read_card(_file(tmp_path / "m.safetensors", {**_card().to_dict(), "licence": text, "warnings": [text]}))
    for said in (card.licence, card.warnings[0]):
        assert len(said) == 500
        assert said.isprintable()


@pytest.mark.parametrize("text", ["", "[]", "null", "{", "[" * 100_000], ids=["empty", "list", "null", "cut", "deep"])
def test_card_that_is_no_table_gets_a_sentence(tmp_path: Path, text: str) -> None:
    with pytest.raises(WeightsError, match="model card"):
        read_card(_file(tmp_path / "m.safetensors", text))


@pytest.mark.parametrize("change", ["lacks one", "one too many", "other shape", "other dtype", "not a number"])
def test_weights_that_do_not_fit_the_card_get_a_sentence(tmp_path: Path, change: str) -> None:
    weights = _weights(_card())
    if change == "lacks one":
        del weights["last.bias"]
    elif change == "one too many":
        weights["more"] = np.zeros(3, np.float32)
    else:
        bias = weights["last.bias"]
        changed = {"other shape": bias[:2], "other dtype": bias.astype(np.float64), "not a number": bias * np.nan}
        weights["last.bias"] = changed[change]
    with pytest.raises(WeightsError, match=r"does not hold the weights|its network needs|NaN or infinite"):
        import_model(_file(tmp_path / "m.safetensors", weights=weights))


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.999])
def test_model_cut_short_gets_a_sentence(tmp_path: Path, share: float) -> None:
    path = _file(tmp_path / "m.safetensors")
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(GenReconError, match=r"cut short|not a readable|neither a safetensors file"):
        import_model(path)


@pytest.mark.parametrize("content", [b"PK\x03\x04" + 100 * b"x", b"\x80\x04K*.", 64 * b"\xff", b"GIF89a" + 90 * b"0"])
def test_file_of_another_kind_gets_a_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"neither a safetensors file|damaged archive"):
        import_model(path)


def test_weights_without_a_card_are_no_model() -> None:
    with pytest.raises(WeightsError, match="holds no model card"):
        read_card(registry.weights_path(MODELS[0]))


def test_card_of_version_1_is_read() -> None:
    old = {
        "name": "cells", "kind": "vae", "size": 32, "channels": 1, "latent": 3, "low": [0.0], "high": [255.0],
        "dtype": "uint8", "options": {"width": 4, "likelihood": "logistic", "r1": 0.02}, "nature": "synthetic",
    }  # fmt: skip
    assert ModelCard.from_dict(old) == _card(recipe="vae", options=old["options"])


@pytest.mark.parametrize("card", MODELS, ids=lambda card: card.name)
def test_any_model_goes_into_a_file_and_is_found_and_run_as_the_bundled_one(tmp_path: Path, card: ModelCard) -> None:
    """A model that a user brings is no other than one that is shipped."""
    weights = {name: weight.numpy() for name, weight in read_weights(card).items()}
    save_model(replace(card, name="mine"), weights, tmp_path / "sent.safetensors", overwrite=False)
    import_model(tmp_path / "sent.safetensors")
    mine = find_model("mine", card.task)
    assert replace(mine, name=card.name, sha256=card.sha256) == card
    assert "mine" in [each.name for each in list_models(card.task)]
    assert find_model("auto", card.task).name != "mine"
    image = np.random.default_rng(0).normal(size=(card.channels, 16, 24)).astype(np.float32)
    told = [{"sigma": 1.0, "rho": (0.1, 0.2), "factor": 3}[what] for what in card.told]
    expected = load_network(card, "cpu")(image, *told)
    assert np.array_equal(load_network(mine, "cpu")(image, *told), expected)
    assert expected.shape[-2:] == ((48, 72) if "factor" in card.told else (16, 24))


def test_command_lists_a_denoiser_that_was_imported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from napari_genrecon.cli import main

    weights = {name: weight.numpy() for name, weight in read_weights(MODELS[0]).items()}
    path = tmp_path / "sent.safetensors"
    save_model(replace(MODELS[0], name="mine", summary="", licence=""), weights, path, overwrite=False)
    assert main(["models", "--import", str(path)]) == 0
    assert main(["models", "--task", "denoise"]) == 0
    assert "mine  (denoise, yours)" in capsys.readouterr().out


def test_model_that_was_changed_since_it_was_found_is_not_loaded(tmp_path: Path, models_folder: Path) -> None:
    models_folder.mkdir()
    save_model(_card(), _weights(_card()), models_folder / "cells.safetensors", overwrite=False)
    found = find_model("cells")
    save_model(_card(steps=5), _weights(_card()), models_folder / "cells.safetensors", overwrite=True)
    with pytest.raises(WeightsError, match="are damaged"):
        read_weights(found)


def test_one_list_knows_every_model() -> None:
    assert [card.name for card in list_models()] == list(BUNDLED)
    assert len(list_models("sample")) == 2
    assert load_model("denoise-2d", "cpu")(np.zeros((8, 8)), 1.0, (0.0, 0.0)).shape == (8, 8)
    assert load_model("nuclei-vae-32", "cpu").sample(1, seed=0).shape == (1, 32, 32)


def test_geometry_follows_the_axes_of_an_image() -> None:
    assert PerAxis(1, 2, 3, 4).along("CZTYX", 9) == (9, 2, 1, 3, 4)


def test_huge_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LARGEST_FILE", 1000)
    with pytest.raises(WeightsError, match="a model has at most"):
        import_model(_file(tmp_path / "m.safetensors"))


def test_full_disk_leaves_no_part_of_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _file(tmp_path / "m.safetensors")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match="the disk is full"):
        import_model(path)
    assert not list(registry.models_folder().iterdir())


def test_model_that_has_hardly_learnt_says_so() -> None:
    (caution,) = _card(steps=14).cautions
    assert "only 14 steps" in caution
    assert _card(steps=5000).cautions == ()
    assert _card(steps=0).cautions == (), "not known"
    assert len(_card(steps=14, warnings=["odd"]).cautions) == 2


@pytest.mark.parametrize("name", ["con", "NUL", "com1", "aux.v2", "cells."])
def test_names_that_windows_cannot_store_are_refused(name):
    with pytest.raises(WeightsError, match="Windows cannot make such a file; choose another name"):
        check_name(name)


def test_names_that_only_begin_like_reserved_ones_are_allowed():
    assert [check_name(name) for name in ("console", "com", "nul-2", "prnt.v1")]
