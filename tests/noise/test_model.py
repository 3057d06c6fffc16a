import json

import numpy as np
import pytest

from napari_genrecon.errors import OptionError
from napari_genrecon.noise import NoiseModel, describe_channels

CAMERA = NoiseModel(
    gain=0.5,
    offset=100,
    read_noise=2,
    rho_x=0.5,
    rho_y=0.1,
    curve=((100.0, 4.0), (200.0, 54.0)),
    levels=(100, 150, 300),
    saturated_fraction=0.02,
    saturation_level=4095,
    method="flat blocks",
    pixels_sampled=65536,
)


def test_variance_is_the_photon_transfer_line():
    np.testing.assert_allclose(CAMERA.variance_at([0, 100, 200]), [4, 4, 54])


def test_variance_follows_the_curve_where_no_line_fits():
    model = NoiseModel(affine=False, curve=((0, 4), (10, 2), (20, 1)))
    np.testing.assert_allclose(model.variance_at([-5, 5, 15, 30]), [4, 3, 1.5, 1])


def test_model_survives_json():
    assert NoiseModel.from_dict(json.loads(json.dumps(CAMERA.to_dict()))) == CAMERA


def test_noise_free_model_is_valid_json():
    model = NoiseModel(levels=(0, 1, 2))
    assert model.snr == float("inf")
    assert NoiseModel.from_dict(json.loads(json.dumps(model.to_dict(), allow_nan=False))) == model


def test_unknown_key_is_refused_by_name():
    with pytest.raises(OptionError, match="a noise model has no 'sgima'"):
        NoiseModel.from_dict({"sgima": 3})


@pytest.mark.parametrize("sigma", [-3.0, 0])
def test_white_noise_needs_a_positive_sigma(sigma):
    with pytest.raises(OptionError, match=f"the s.d. of noise must be above 0, got {sigma}"):
        NoiseModel.white(sigma)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gain": float("nan")}, "gain must be a finite number, got nan"),
        ({"gain": "2"}, "gain must be a number, got '2'"),
        ({"read_noise": -1}, "read_noise must be 0 or more, got -1"),
        ({"rho_x": 1.2}, "rho_x is a correlation and must lie between -1 and 1, got 1.2"),
        ({"saturated_fraction": 2}, "saturated_fraction is a fraction and must lie between 0 and 1, got 2"),
        ({"method": "guess"}, "method must be one of flat blocks, high-pass, residual, counts, given; got 'guess'"),
        ({"affine": False}, "needs a curve of at least two"),
        ({"curve": [(2, 1), (1, 1)]}, "curve must have finite, ascending means"),
        ({"curve": "steep"}, "curve must be a list of"),
        ({"levels": (3, 2, 1)}, "levels must be finite and ascending"),
        ({"levels": 3}, "levels must be three numbers"),
        ({"textured": 1}, "textured must be true or false, got 1"),
    ],
)
def test_bad_option_is_named_with_its_value(options, message):
    with pytest.raises(OptionError, match=message):
        NoiseModel(**options)


def test_report_speaks_of_electrons_correlation_and_saturation():
    report = str(CAMERA)
    for words in ("2.00 e-/DN", "4.00 e-", "strong (x +0.50, y +0.10)", "saturated: 2 %", "→ Noise is correlated"):
        assert words in report


def test_report_of_channels_says_advice_once_and_names_the_channels_it_is_for():
    grainy, clean = (
        NoiseModel(read_noise=5, rho_x=0.5, levels=(0, 40, 100)),
        NoiseModel(read_noise=1, levels=(0, 9, 900)),
    )
    alike = describe_channels([grainy, grainy, grainy])
    assert alike.count("→ Noise is correlated") == alike.count("Noise is correlated") == 1
    assert [f"channel {i}" in alike for i in range(4)] == [True, True, True, False]
    mixed = describe_channels([grainy, clean, grainy])
    assert "→ Channels 0, 2: Noise is correlated" in mixed
    assert "→ Channel 1: The contrast-to-noise ratio is above 50" in mixed


def test_report_gives_the_unit_of_every_level():
    report = str(NoiseModel(gain=2.0, offset=100, read_noise=5, levels=(100, 200, 5000)))
    assert "at the darkest level, grey value 100: 5.00 DN" in report
    assert "at the median level, grey value 200" in report


def test_report_says_when_denoising_will_change_little():
    assert (
        "contrast-to-noise ratio is above 50: denoising will change little"
        in NoiseModel(read_noise=1, levels=(0, 10, 100)).describe()
    )


def test_report_of_a_structured_image_says_what_was_not_measured_and_what_to_do():
    report = NoiseModel(read_noise=1, textured=True).describe()
    for words in ("could not be measured", "hardly any empty or even patch", "If grain stays", "with less strength"):
        assert words in report


def test_report_of_altered_grey_values_gives_no_gain_but_the_reason():
    report = NoiseModel(affine=False, curve=((0, 4), (10, 2)), levels=(0, 5, 10)).describe()
    assert "e-/DN" not in report
    for words in ("2.00 to 1.41 DN from dark to bright", "no gain can be given", "after a gamma", "original data"):
        assert words in report


def test_report_of_the_same_noise_everywhere_says_it_once():
    assert "2.00 DN at every grey level" in NoiseModel(read_noise=2, levels=(0, 5, 10)).describe()


@pytest.mark.parametrize(
    ("median", "sentence"),
    [(50.0, "hardly any empty or even patch"), (3.0, "The background is not even: it holds smooth grain")],
)
def test_a_dark_background_is_not_called_structure_everywhere(median, sentence):
    assert sentence in str(NoiseModel(read_noise=1.0, levels=(0.0, median, 100.0), textured=True))


def test_missing_levels_are_said():
    assert "missing: 12 % of the pixels" in str(NoiseModel(missing_levels=(65535,), missing_fraction=0.12))


def test_report_gives_no_electrons_where_grey_values_are_no_counts():
    """An image of 0.46 e-/DN that was divided by 65535."""
    camera = NoiseModel(gain=2.0, offset=100, read_noise=5, levels=(100, 200, 5000))
    assert "gain: 0.5 e-/DN" in str(camera)
    scale = 1 / 65535
    scaled = NoiseModel(gain=2 * scale, offset=100 * scale, read_noise=5 * scale, levels=(0.0015, 0.003, 0.076))
    assert "e-" not in str(scaled).replace("e-05", "")
    assert "no detector's count" in str(scaled)


def test_report_of_a_flat_field_says_that_the_gain_cannot_be_told():
    assert "cannot be told" in str(NoiseModel(read_noise=2, levels=(98, 100, 102), method="high-pass"))
    assert "as strong in the dark" in str(NoiseModel(read_noise=2, levels=(90, 100, 150), method="high-pass"))
