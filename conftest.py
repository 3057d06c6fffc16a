"""Settings of all tests, those in docstrings included."""

import pytest


@pytest.fixture(autouse=True, scope="session")
def _no_folders_of_the_user(tmp_path_factory):
    """Trainings and models of tests stay away from those of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("GENRECON_RUNS", "GENRECON_MODELS"):
            patch.setenv(name, str(tmp_path_factory.mktemp(name.lower())))
        yield
