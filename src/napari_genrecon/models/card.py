"""What is known about a trained generative model: the card, kept inside its file as JSON."""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from napari_genrecon.errors import WeightsError

__all__ = ["ENOUGH_STEPS", "KINDS", "SIZES", "ModelCard", "check_name", "few_steps", "step_of"]

KINDS = ("dcgan", "vae")
SIZES = (32, 64, 128)
ENOUGH_STEPS = 1000
"""Steps of training below which a model has hardly begun to learn; good ones take several thousand."""

_LARGEST_LATENT = 1024
_LARGEST_WIDTH = 256
_LONGEST_TEXT = 500  # characters of any text in a card; it may come from anywhere
_MOST_ENTRIES = 2000  # of any list or table in a card
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """One trained model: what it makes, from what, and how.

    Attributes
    ----------
    name : str
        Letters, digits, dot, underscore and hyphen, at most 64.
    kind : {"dcgan", "vae"}
        Which network.
    size, channels, latent : int
        Side of the pictures in px, their channels, length of the latent.
    channel_names : tuple of str
        One per channel, or none.
    low, high : tuple of float
        Per channel, the grey values that are mapped to -1 and 1.
    dtype : str
        Of the training data.
    pixel_size : tuple of float
        Y and X.
    units : tuple of str
        Of the pixel size.
    n_train, n_held_out : int
        Crops.
    data : str
        sha256 of the crops.
    options : dict
        How it was trained; ``"width"`` and, of a VAE, ``"likelihood"`` belong to the network.
    losses : dict of str to float
        The last ones.
    calibration : dict
        What was measured on held-out crops; see `models.generative` and `checks.memorisation`.
    steps : int
        Training steps.
    seconds : float
        Training time.
    versions : dict of str to str
        Of the software.
    licence, created : str
        Licence of the weights, as the user gave it; UTC time.
    warnings : tuple of str
        What the user of the model should know.
    nature : str
        Always ``"synthetic"``: of what it makes.
    """

    name: str
    kind: str
    size: int
    channels: int
    latent: int
    low: tuple[float, ...]
    high: tuple[float, ...]
    dtype: str
    channel_names: tuple[str, ...] = ()
    pixel_size: tuple[float, ...] = (1.0, 1.0)
    units: tuple[str, ...] = ("pixel", "pixel")
    n_train: int = 0
    n_held_out: int = 0
    data: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    losses: dict[str, float] = field(default_factory=dict)
    calibration: dict[str, Any] = field(default_factory=dict)
    steps: int = 0
    seconds: float = 0.0
    versions: dict[str, str] = field(default_factory=dict)
    licence: str = ""
    created: str = ""
    warnings: tuple[str, ...] = ()
    nature: str = "synthetic"

    def __post_init__(self) -> None:
        problem = _problem(self)
        if problem:
            raise WeightsError(f"the model card cannot be used: {problem}")

    @property
    def cautions(self) -> tuple[str, ...]:
        """The warnings, and whether it was trained for too few steps to be of use."""
        few = few_steps(self.steps)
        return (*self.warnings, few) if few else self.warnings

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return json.loads(json.dumps(asdict(self)))

    @classmethod
    def from_dict(cls, values: Any) -> ModelCard:
        """A card from JSON values of any origin.

        Raises
        ------
        WeightsError
            If a key is missing or unknown, or a value is of the wrong type or out of range.
        """
        if not isinstance(values, dict):
            raise WeightsError(f"the model card cannot be used: it is a {type(values).__name__}, not a table")
        known = {entry.name: entry for entry in fields(cls)}
        unknown = sorted(_short(key) for key in values if key not in known)
        needed = ("name", "kind", "size", "channels", "latent", "low", "high", "dtype")
        missing = [key for key in needed if key not in values]
        if unknown or missing:
            what = f"does not know {', '.join(unknown[:3])}" if unknown else f"lacks {', '.join(missing)}"
            raise WeightsError(f"the model card cannot be used: this version {what}")
        return cls(**{key: _plain(key, value, str(known[key].type)) for key, value in values.items()})


def check_name(name: str) -> str:
    """The name of a model, if it can be one (it becomes a file name).

    Raises
    ------
    WeightsError
        If it holds anything but letters, digits, dot, underscore and hyphen, or is longer than 64.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise WeightsError(
            f"a model cannot be named {_short(name)}: use letters, digits, '.', '_' and '-', at most 64, starting with "
            "a letter or a digit"
        )
    return name


def few_steps(steps: int) -> str:
    """A sentence for a model that has hardly learnt; empty for others, and where the number is not known (0)."""
    if not 0 < steps < ENOUGH_STEPS:
        return ""
    return (
        f"it learnt for only {steps} steps: with fewer than {ENOUGH_STEPS} the pictures are seldom usable, and good "
        "models take several thousand"
    )


def step_of(card: ModelCard) -> tuple[float, ...]:
    """Per channel, the width of one grey value on the model's scale of -1 to 1.

    Of whole numbers that is 1; of floats, which have no such thing, 1/255 of the range.
    """
    whole = card.dtype[:1] in "ui"
    return tuple(2.0 / (high - low if whole else 255.0) for low, high in zip(card.low, card.high, strict=True))


def _plain(key: str, value: Any, kind: str) -> Any:
    """The value in the type that the card declares, or a sentence."""
    if kind.startswith("tuple"):
        if not isinstance(value, list | tuple) or len(value) > _MOST_ENTRIES:
            raise _wrong(key, value, "a list")
        return tuple(_plain(key, each, "float" if "float" in kind else "str") for each in value)
    if kind.startswith("dict"):
        if not isinstance(value, dict) or len(value) > _MOST_ENTRIES:
            raise _wrong(key, value, "a table")
        return {_cut(str(name)): _tame(key, each, 0) for name, each in value.items()}
    if kind == "str":
        if not isinstance(value, str):
            raise _wrong(key, value, "text")
        return _cut(value)
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not number or (kind == "int" and value != int(value)):
        raise _wrong(key, value, "a whole number" if kind == "int" else "a number")
    return int(value) if kind == "int" else float(value)


def _tame(key: str, value: Any, depth: int) -> Any:
    """Values inside a table: plain JSON, not too long, not too deep."""
    if isinstance(value, str):
        return _cut(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, list | tuple) and len(value) <= _MOST_ENTRIES and depth < 3:
        return [_tame(key, each, depth + 1) for each in value]
    if isinstance(value, dict) and len(value) <= _MOST_ENTRIES and depth < 3:
        return {_cut(str(name)): _tame(key, each, depth + 1) for name, each in value.items()}
    raise _wrong(key, value, "plain and short")


def _problem(card: ModelCard) -> str:
    """Why no network can be built from a card; empty if one can."""
    check_name(card.name)
    width = card.options.get("width")
    if card.kind not in KINDS:
        return f"kind must be one of {', '.join(KINDS)}, got {_short(card.kind)}"
    if card.size not in SIZES or not 1 <= card.channels <= 4:
        return f"size must be one of {SIZES} and channels 1 to 4, got {card.size} and {card.channels}"
    if not 1 <= card.latent <= _LARGEST_LATENT:
        return f"latent must lie between 1 and {_LARGEST_LATENT}, got {card.latent}"
    if not isinstance(width, int) or not 1 <= width <= _LARGEST_WIDTH:
        return f"options must give a width between 1 and {_LARGEST_WIDTH}, got {_short(width)}"
    if card.kind == "vae" and card.options.get("likelihood") not in ("logistic", "gaussian", "bernoulli"):
        return f"options must give a likelihood, got {_short(card.options.get('likelihood'))}"
    return _problem_of_values(card)


def _problem_of_values(card: ModelCard) -> str:
    ranges = list(zip(card.low, card.high, strict=False))
    whole = len(card.low) == len(card.high) == card.channels
    if not whole or not all(low < high for low, high in ranges):
        return f"low and high must give a range for each of {card.channels} channels"
    if not re.fullmatch(r"(u?int(8|16|32|64)|float(16|32|64))", card.dtype):
        return f"dtype must be that of grey values, got {_short(card.dtype)}"
    if card.channel_names and len(card.channel_names) != card.channels:
        return f"{card.channels} channels have {len(card.channel_names)} names"
    if len(card.pixel_size) != 2 or len(card.units) != 2 or not all(side > 0 for side in card.pixel_size):
        return "pixel_size and units must be given along Y and X"
    if card.nature != "synthetic":
        return f"what a generative model makes is synthetic, not {_short(card.nature)}"
    return ""


def _cut(text: str) -> str:
    """Text as plain characters, not longer than is useful."""
    plain = "".join(letter if letter.isprintable() else " " for letter in text)
    return plain if len(plain) <= _LONGEST_TEXT else plain[: _LONGEST_TEXT - 1] + "…"


def _short(value: Any) -> str:
    return repr(_cut(str(value))[:60])


def _wrong(key: str, value: Any, wanted: str) -> WeightsError:
    return WeightsError(f"the model card cannot be used: {key} must be {wanted}, got {_short(value)}")
