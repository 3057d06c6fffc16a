"""The noise of an image: measure it, describe it, make it uniform and come back."""

from .defects import fill_hot, measure_hot_fraction
from .low_light import conserve_light, is_low_light
from .measure import measure_channel
from .model import NoiseModel
from .report import describe_channels
from .saved import read_noise
from .stabilise import Stabiliser, stabiliser
from .verdict import verdict

__all__ = [
    "NoiseModel",
    "Stabiliser",
    "conserve_light",
    "describe_channels",
    "fill_hot",
    "is_low_light",
    "measure_channel",
    "measure_hot_fraction",
    "read_noise",
    "stabiliser",
    "verdict",
]
