"""Point spread functions, blurring, and the numerics that undo it. NumPy and SciPy only."""

from .blur import Blur
from .measured import MeasuredPSF
from .objective import Optics
from .plug_and_play import Prior, plug_and_play, schedule
from .psf import as_psf, gaussian_psf, simulate_psf
from .richardson_lucy import richardson_lucy

__all__ = [
    "Blur",
    "MeasuredPSF",
    "Optics",
    "Prior",
    "as_psf",
    "gaussian_psf",
    "plug_and_play",
    "richardson_lucy",
    "schedule",
    "simulate_psf",
]
