"""Point spread functions: simulated from the optics, measured, checked. NumPy and SciPy only."""

from .measured import MeasuredPSF
from .objective import Optics
from .psf import as_psf, gaussian_psf, simulate_psf

__all__ = ["MeasuredPSF", "Optics", "as_psf", "gaussian_psf", "simulate_psf"]
