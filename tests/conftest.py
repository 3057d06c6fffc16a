"""Settings of all tests."""

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings

if sys.platform == "win32":  # its libraries cannot be loaded once those of Qt are, and pytest-qt loads them next
    import torch  # noqa: F401

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))  # the benchmarks' hostile files and faults

# Tests neither know nor change the settings of who runs them; read when napari is imported.
_SETTINGS = TemporaryDirectory()
os.environ["NAPARI_CONFIG"] = str(Path(_SETTINGS.name) / "settings.yaml")

# Processes that test side by side (pytest-xdist) take a thread each: more would wait for each other.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# No test is timed: machines are shared, and benchmarks measure speed (tools/benchmark.py).
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture
def own_folders(tmp_path, monkeypatch):
    """Keep the models and the runs of a test, and the files that it names, in its own folder."""
    monkeypatch.setenv("GENRECON_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("GENRECON_MODELS", str(tmp_path / "models"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def models_folder(own_folders, tmp_path):
    """Return the folder of the models of a test."""
    return tmp_path / "models"
