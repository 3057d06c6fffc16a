import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_genrecon.errors import OptionError
from napari_genrecon.noise import NoiseModel, read_noise, verdict
from napari_genrecon.noise.verdict import noise_word

ORDER = ("none", "weak", "moderate", "strong")


def camera(snr, **more):
    return NoiseModel(read_noise=10.0, levels=(0.0, 10.0, 10.0 * snr), **more)


@pytest.mark.parametrize(
    ("snr", "word", "worth"),
    [
        (200, "weak", "Denoising will change little."),
        (20, "moderate", "Denoising will help."),
        (3, "strong", "Denoising will help much; the faintest details stay lost."),
    ],
)
def test_verdict_says_how_strong_the_noise_is_and_whether_denoising_helps(snr, word, worth):
    assert verdict(camera(snr), denoising=True) == f"Noise: {word}. {worth}"
    assert verdict(camera(snr)) == f"Noise: {word}."


@given(st.floats(1.1, 1e4), st.floats(1.1, 1e4))
def test_lower_snr_is_never_called_weaker(one, other):
    low, high = sorted((one, other))
    assert ORDER.index(noise_word(camera(low))) >= ORDER.index(noise_word(camera(high)))


def test_image_without_noise_has_none():
    assert verdict(NoiseModel(levels=(0, 5, 9)), denoising=True) == "Noise: none. Denoising leaves the image as it is."


def test_channels_are_named_where_they_differ():
    assert verdict([camera(3), camera(200)]) == "Noise: strong in channel 0, weak in channel 1."
    assert verdict([camera(20), camera(21)]) == "Noise: moderate."


def test_what_matters_besides_the_strength_is_said_in_words():
    words = verdict(camera(20, rho_x=0.5, hot_fraction=0.01), denoising=True)
    assert "grainy" in words
    assert "hot or dead pixels, which Inpaint fills" in words
    assert not any(word in words for word in ("DN", "rho", "photon transfer", "e-"))


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("record", [False, True])
def test_saved_report_is_read_back(tmp_path, several, record):
    models = (camera(20), camera(5, rho_x=0.3))[: 1 + several]
    saved = [model.to_dict() for model in models] if several else models[0].to_dict()
    (tmp_path / "noise.json").write_text(json.dumps({"noise": saved} if record else saved))
    assert read_noise(tmp_path / "noise.json") == (models if several else models[0])


@pytest.mark.parametrize("text", ["", "{}", "[]", "3", '{"loudness": 3}', "[3]", '{"noise": "x"}'])
def test_file_that_is_no_report_gets_a_sentence(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(OptionError, match=r"x\.json (is|holds) no noise report"):
        read_noise(tmp_path / "x.json")


def test_missing_report_is_said_to_be_missing(tmp_path):
    with pytest.raises(OptionError, match=r"^there is no noise report .*x\.json"):
        read_noise(tmp_path / "x.json")
