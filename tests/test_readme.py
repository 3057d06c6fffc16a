"""What the README promises can be run as it stands there."""

import shlex
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_genrecon.cli import main

README = (Path(__file__).parents[1] / "README.md").read_text()


def blocks(kind):
    fenced = (block.partition("\n") for block in README.split("```")[1::2])
    return [code for found, _, code in fenced if found == kind]


@pytest.mark.parametrize("code", blocks("python"))
def test_python_examples_run(code):
    exec(code, {})


def test_commands_run_as_written(tmp_path, monkeypatch):
    """Every ``genrecon`` line, in the order of the README, in a folder with the files it names."""
    commands = [
        line.split("#")[0] for block in blocks("") for line in block.splitlines() if line.startswith("genrecon ")
    ]
    assert len(commands) >= 5
    monkeypatch.chdir(tmp_path)
    noisy = np.random.default_rng(0).poisson(30, (64, 64)).astype("u2")
    for name in ("image.tif", "folder/a.tif", "folder/b.tif"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        tifffile.imwrite(path, noisy)
    assert [main(shlex.split(command)[1:]) for command in commands] == [0] * len(commands)
