import subprocess
import sys

import pytest

SCRIPT = """
import napari
import numpy as np

viewer = napari.Viewer()
viewer.add_image(np.zeros((32, 32)))
viewer.screenshot(flash=False)  # the first drawing loads what draws

from napari_genrecon import train
from napari_genrecon.training.recipes.vae import VAEOptions

cells = np.random.default_rng(0).normal(100, 10, (256, 256)).astype("f4")
options = VAEOptions(width=4, latent=4, steps=2, batch=8, device="cpu")
train("vae", cells, name="beside-a-window", options=options)
print("trained")
"""


@pytest.mark.slow
def test_training_in_the_process_of_a_window_does_not_end_it(own_folders):
    """Python code in napari's console trains there; that of the window itself is a process of its own."""
    ran = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False, timeout=240)
    assert "trained" in ran.stdout, f"exit code {ran.returncode}: {ran.stderr[-2000:]}"
