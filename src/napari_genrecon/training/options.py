"""Training options that all recipes share, for form, flags and record. Importing this loads no torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, ClassVar, Self

from napari_genrecon.options import check_options

__all__ = ["PRECISIONS", "TrainOptions", "TrainProgress"]

PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """Options of every training; each recipe adds its own. The limits are part of the types.

    Attributes
    ----------
    minutes, steps : float, int
        Training time, and number of training steps; steps, if not 0, decide when to end.
    batch : int
        Crops per step.
    rate : float
        Learning rate; 0 takes the recipe's default.
    flips, intensity, elastic : bool, float, float
        Augmentation of the crops; see `training.data.augment`.
    ema : float
        Factor of the moving average of the weights; the averaged weights become the model.
    seed : int
        Seed of the first weights and of all batches.
    device, precision : str
        Where to compute, and in which number format.
    licence : str
        Licence of the weights, written on the model's card.
    """

    recipe: ClassVar[str] = ""
    """Name of the recipe whose options these are."""

    minutes: Annotated[
        float, {"min": 0.1, "max": 100_000.0, "tooltip": "Training time; more is better, less and less so"}
    ] = 10.0
    steps: Annotated[
        int, {"min": 0, "max": 100_000_000, "advanced": True, "tooltip": "Steps instead of minutes; 0: minutes"}
    ] = 0
    batch: Annotated[
        int,
        {"min": 2, "max": 4096, "advanced": True, "tooltip": "Crops per step; more is steadier and takes more memory"},
    ] = 64
    rate: Annotated[
        float,
        {
            "min": 0.0,
            "max": 0.1,
            "step": 1e-4,
            "advanced": True,
            "tooltip": "How far each step goes: less is slower, too much diverges. 0: the default",
        },
    ] = 0.0
    flips: Annotated[bool, {"advanced": True, "tooltip": "Train on mirrored and turned crops, too"}] = True
    intensity: Annotated[
        float, {"min": 0.0, "max": 0.5, "step": 0.05, "advanced": True, "tooltip": "Random changes of brightness"}
    ] = 0.0
    elastic: Annotated[
        float,
        {"min": 0.0, "max": 3.0, "step": 0.1, "advanced": True, "tooltip": "Random elastic deformation in pixels"},
    ] = 0.0
    ema: Annotated[
        float,
        {
            "min": 0.0,
            "max": 0.99999,
            "step": 0.001,
            "advanced": True,
            "tooltip": "Averaging of the weights; more is smoother",
        },
    ] = 0.999
    seed: Annotated[int, {"min": 0, "max": 2**31 - 1, "advanced": True, "tooltip": "Seed of weights and batches"}] = 0
    device: Annotated[
        str, {"choices": "devices", "advanced": True, "tooltip": "Where to compute; 'auto': a GPU if there is one"}
    ] = "auto"
    precision: Annotated[
        str, {"choices": PRECISIONS, "advanced": True, "tooltip": "bfloat16 is faster on recent GPUs"}
    ] = "float32"
    licence: Annotated[str, {"advanced": True, "tooltip": "Licence of the weights, written on the model's card"}] = ""

    def __post_init__(self) -> None:
        check_options(self)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values, with the recipe's name under ``"kind"``; see `training.read_options`."""
        return {"kind": self.recipe, **asdict(self)}

    def continued(self, minutes: float) -> Self:
        """Return these options with another training time."""
        return replace(self, minutes=minutes, steps=0)


@dataclass(frozen=True, slots=True)
class TrainProgress:
    """How far a training has come.

    Attributes
    ----------
    step, total : int
        Steps done, and an estimate of all steps.
    seconds : float
        Training time so far, in seconds.
    losses : dict of str to float
        Mean losses since the last progress.
    note : str
        Sentence for the user; mostly empty.
    """

    step: int
    total: int
    seconds: float
    losses: dict[str, float]
    note: str = ""
