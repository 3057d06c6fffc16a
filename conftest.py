"""Settings of all tests, those in docstrings included."""

import pytest


@pytest.fixture(autouse=True, scope="session")
def _float32_on_the_processor():
    """Laws are those of float32, whatever the processor has; tests of the precision ask for bfloat16."""
    from napari_genrecon.models import precision

    native = precision.bfloat16_is_native
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(precision, "bfloat16_is_native", lambda device: str(device) != "cpu" and native(device))
        yield


@pytest.fixture(autouse=True, scope="session")
def _no_folders_of_the_user(tmp_path_factory):
    """Trainings and models of tests stay away from those of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("GENRECON_RUNS", "GENRECON_MODELS"):
            patch.setenv(name, str(tmp_path_factory.mktemp(name.lower())))
        yield


collect_ignore = ["tests/device/on_fake_gpu.py"]  # a program of its own: a device can be registered once per process
