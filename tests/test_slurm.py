"""The SLURM job script, with everything real but srun, which runs its command here."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_genrecon import denoise
from napari_genrecon.axes import Axes
from napari_genrecon.engine.run import finish
from napari_genrecon.io.image_file import ImageMeta
from napari_genrecon.io.reader import open_image
from napari_genrecon.io.zarr.write import write_zarr_steps
from napari_genrecon.noise.same import bound_of, compare

SCRIPT = Path(__file__).parents[1] / "docs" / "slurm.sh"


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="clusters run Linux")
def test_job_script_runs(tmp_path):
    pytest.importorskip("distributed")
    noisy = np.random.default_rng(0).poisson(30, (2, 64, 72)).astype("u2")
    source = finish(write_zarr_steps(tmp_path / "in.ome.zarr", noisy, ImageMeta(axes=Axes("ZYX"))))
    srun = tmp_path / "srun"
    srun.write_text('#!/bin/bash\nexec "$@"\n')
    srun.chmod(0o755)
    path = os.pathsep.join([str(tmp_path), str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "SLURM_JOB_ID": "7"}
    command = ["bash", str(SCRIPT), str(source), "out.ome.zarr"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    result = open_image(tmp_path / "out.ome.zarr")
    record = result.record
    assert compare(result.data, denoise(noisy, axes="ZYX"), record["noise"], bound_of(record)).same
    assert not list(tmp_path.glob("*.json"))
