"""Images of few photons: recognise counted ones, and keep the light of all."""

from .bias import conserve_light, is_low_light
from .counts import counted_photons

__all__ = ["conserve_light", "counted_photons", "is_low_light"]
