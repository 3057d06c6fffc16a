"""How a model is trained, as a form, flags and a record: what all recipes share. Importing this loads no torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, ClassVar, Self, get_type_hints

from napari_genrecon.errors import OptionError
from napari_genrecon.options import check_types

__all__ = ["PRECISIONS", "TrainOptions", "TrainProgress"]

PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """Options of every training; each recipe adds its own. The limits are part of the types.

    Attributes
    ----------
    minutes, steps : float, int
        When to end: training time, or training steps if not 0.
    batch : int
        Crops per step.
    rate : float
        Learning rate; 0 takes the recipe's own.
    flips, intensity, elastic : bool, float, float
        Changes of the crops; see `training.data.augment`.
    ema : float
        Factor of the moving average of the weights, which is what is kept.
    seed : int
        Of the weights and of all batches.
    device, precision : str
        Where and how to compute.
    licence : str
        Written on the model's card.
    """

    recipe: ClassVar[str] = ""
    """Name of the recipe whose options these are."""

    minutes: Annotated[float, {"min": 0.1, "max": 100_000.0, "tooltip": "Training time"}] = 10.0
    steps: Annotated[
        int, {"min": 0, "max": 100_000_000, "advanced": True, "tooltip": "Steps instead of minutes; 0: minutes"}
    ] = 0
    batch: Annotated[int, {"min": 2, "max": 4096, "advanced": True, "tooltip": "Crops per step"}] = 64
    rate: Annotated[
        float, {"min": 0.0, "max": 0.1, "step": 1e-4, "advanced": True, "tooltip": "Learning rate; 0: the usual one"}
    ] = 0.0
    flips: Annotated[bool, {"advanced": True, "tooltip": "Also learn from mirrored and turned crops"}] = True
    intensity: Annotated[
        float, {"min": 0.0, "max": 0.5, "step": 0.05, "advanced": True, "tooltip": "Changes of brightness"}
    ] = 0.0
    elastic: Annotated[
        float, {"min": 0.0, "max": 3.0, "step": 0.1, "advanced": True, "tooltip": "Bending of the crops in pixels"}
    ] = 0.0
    ema: Annotated[
        float, {"min": 0.0, "max": 0.99999, "step": 0.001, "advanced": True, "tooltip": "Averaging of the weights"}
    ] = 0.999
    seed: Annotated[int, {"min": 0, "max": 2**31 - 1, "advanced": True, "tooltip": "Of weights and batches"}] = 0
    device: Annotated[
        str, {"choices": "devices", "advanced": True, "tooltip": "Where to compute; 'auto': a GPU if there is one"}
    ] = "auto"
    precision: Annotated[
        str, {"choices": PRECISIONS, "advanced": True, "tooltip": "bfloat16 is faster on recent GPUs"}
    ] = "float32"
    licence: Annotated[str, {"advanced": True, "tooltip": "Licence of the weights, written on the model's card"}] = ""

    def __post_init__(self) -> None:
        check_types(self)
        for name, hint in get_type_hints(type(self), include_extras=True).items():
            if hasattr(hint, "__metadata__"):
                _check(name, getattr(self, name), hint.__metadata__[0])

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values, the recipe's name among them; see `training.read_options`."""
        return {"kind": self.recipe, **asdict(self)}

    def continued(self, minutes: float) -> Self:
        """Return the same training with another end."""
        return replace(self, minutes=minutes, steps=0)


@dataclass(frozen=True, slots=True)
class TrainProgress:
    """How far a training has come.

    Attributes
    ----------
    step, total : int
        Steps done, and steps in all as far as can be told from the time left.
    seconds : float
        Training time so far.
    losses : dict of str to float
        Means since the last time.
    note : str
        What the user should know, in words; empty mostly.
    """

    step: int
    total: int
    seconds: float
    losses: dict[str, float]
    note: str = ""


def _check(name: str, value: Any, annotation: dict[str, Any]) -> None:
    choices = annotation.get("choices")
    if isinstance(choices, tuple) and value not in choices:
        raise OptionError(f"{name} must be {' or '.join(map(repr, choices))}, got {value!r}")
    if "min" in annotation and not annotation["min"] <= value <= annotation["max"]:
        raise OptionError(f"{name} must lie between {annotation['min']:g} and {annotation['max']:g}, got {value:g}")
