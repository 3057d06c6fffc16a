"""The card of a model: all that is known about it without loading it, whoever made it.

Importing this loads no torch.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any, NamedTuple

from napari_genrecon.errors import WeightsError
from napari_genrecon.models.card_values import check_name, from_version_1, plain, problem_of, short
from napari_genrecon.models.networks import NETWORKS, Network

__all__ = ["ENOUGH_STEPS", "FACTORS", "ModelCard", "PerAxis", "check_name", "few_steps", "step_of"]

ENOUGH_STEPS = 1000
"""Training steps below which users are warned: pictures of GANs and VAEs are blobs before, and good models take
several thousand. Larger, and short trainings of small models that are already of use would be warned about."""

FACTORS = (2, 3, 4)
"""How many times more pixels networks give; beyond 4 nearly all detail would be invented."""

_FORMAT = "genrecon-model/2"


class PerAxis(NamedTuple):
    """A whole number for each dimension in which a network works: time, depth, height, width."""

    t: int
    z: int
    y: int
    x: int

    @classmethod
    def planes(cls, side: int, other: int) -> PerAxis:
        """Return `side` along Y and X, and `other` along the dimensions that are looped over.

        Examples
        --------
        >>> PerAxis.planes(96, 0)
        PerAxis(t=0, z=0, y=96, x=96)
        """
        return cls(other, other, side, side)

    def along(self, letters: str, other: int) -> tuple[int, ...]:
        """Return one number per dimension of an image: `other` for those in which no network works.

        Examples
        --------
        >>> PerAxis.planes(96, 0).along("TCYX", 0)
        (0, 0, 96, 96)
        """
        known = dict(zip("TZYX", self, strict=True))
        return tuple(known.get(letter, other) for letter in letters)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """A model: what it does, how the engine runs it, and how it was trained.

    Attributes
    ----------
    name : str
        At most 64 letters, digits, dots, underscores and hyphens; stable, never reused for another model.
    task : str
        The task it serves, such as ``"denoise"`` or ``"sample"``.
    network : str
        A key of `networks.NETWORKS`.
    shape : dict
        Keywords of the network's constructor, except its channels.
    recipe : str
        Name of the recipe that trained it; empty where that is not known.
    summary, licence : str
        One sentence for people who choose a model; licence of the weights.
    nature : str
        ``"synthetic"`` where what it makes shows nothing that was measured; empty where the task says it.
    channels : int
        Number of channels of the network's input.
    told : tuple of str
        Inputs of the network beside the image, in this order: ``"sigma"`` (noise s.d.), ``"rho"``
        (correlations of the noise along x and y, at lag 1 or at several), ``"factor"`` (how many times larger).
    denoiser : str
        Name of the model that denoises before this one runs; empty for none.
    halo, stride, scale : PerAxis
        Pixels around a tile beyond which the influence on the tile is below 1e-4 noise s.d.; tiles start at multiples
        of the stride; output pixels per input pixel (the task chooses the factor of a network that has several).
    bytes_per_pixel : int
        Peak memory per pixel of a tile while it runs in float32.
    work : float
        MFLOP per pixel of the input; limits the size of a tile, so that a run can be cancelled in time.
    bfloat16 : float
        Largest contrast, in noise s.d., up to which the network may run in bfloat16: its results then stay within 0.05
        noise s.d. (0.01 root mean square) of those in float32. 0: never.
    bfloat16_coarse : float
        The same, where only its layers of coarse resolution do.
    tile_pixels : int, optional
        Largest number of pixels of a tile on a CPU, halo included, for networks whose larger tiles do not fit into its
        caches and cost more time than the halos of smaller ones.
    whole : bool
        Whether it takes whole planes only, because tiles would change its result.
    scaling : str
        How a model of others takes grey values, see `SCALINGS`; empty for our own.
    low, high : tuple of float
        Grey values that are mapped to -1 and 1, per channel; empty for networks that take grey values unchanged.
    result_low, result_high, result_names : tuple
        For a model that makes other images than it is given: grey values of its results that the network gives as -1
        and 1, and the names of their channels; one each.
    dtype : str
        Dtype of the training data; empty where it does not matter.
    channel_names : tuple of str
        Names of the channels, one each, or empty.
    pixel_size, units : tuple
        Pixel size of the training data and its units, along Y and X.
    n_train, n_held_out : int
        Numbers of crops that were trained on and held out.
    data : str
        Checksum (sha256) of the training data.
    options : dict
        Options of the training.
    losses : dict of str to float
        Last values of the losses.
    calibration : dict
        Measurements on held-out data.
    steps : int
        Number of training steps.
    seconds : float
        Training time in seconds.
    versions : dict of str to str
        Versions of the software.
    origin : dict of str to str
        Where a model of others comes from: its file, the sha256 of that, its architecture; empty for our own.
    created : str
        Time of the training, in UTC.
    warnings : tuple of str
        Sentences that a user of the model should know.
    sha256 : str
        Checksum of the weight file, checked before loading; empty where it was not computed.
    path : str
        The weight file; empty for one in the package's own folder.
    """

    name: str
    task: str
    network: str
    # Tables have no hash, and a card must have one: it is the key of caches, see `runtime.load_network`.
    shape: dict[str, Any] = field(default_factory=dict, hash=False)
    recipe: str = ""
    summary: str = ""
    licence: str = ""
    nature: str = ""
    channels: int = 1
    told: tuple[str, ...] = ()
    denoiser: str = ""
    halo: PerAxis = PerAxis.planes(0, 0)  # noqa: RUF009 - a tuple cannot be changed
    stride: PerAxis = PerAxis.planes(1, 1)  # noqa: RUF009
    scale: PerAxis = PerAxis.planes(1, 1)  # noqa: RUF009
    bytes_per_pixel: int = 500
    work: float = 0.21
    bfloat16: float = 0.0
    bfloat16_coarse: float = 0.0
    tile_pixels: int | None = None
    whole: bool = False
    scaling: str = ""
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    result_low: tuple[float, ...] = ()
    result_high: tuple[float, ...] = ()
    result_names: tuple[str, ...] = ()
    dtype: str = ""
    channel_names: tuple[str, ...] = ()
    pixel_size: tuple[float, ...] = (1.0, 1.0)
    units: tuple[str, ...] = ("pixel", "pixel")
    n_train: int = 0
    n_held_out: int = 0
    data: str = ""
    options: dict[str, Any] = field(default_factory=dict, hash=False)
    losses: dict[str, float] = field(default_factory=dict, hash=False)
    calibration: dict[str, Any] = field(default_factory=dict, hash=False)
    steps: int = 0
    seconds: float = 0.0
    versions: dict[str, str] = field(default_factory=dict, hash=False)
    origin: dict[str, str] = field(default_factory=dict, hash=False)
    created: str = ""
    warnings: tuple[str, ...] = ()
    sha256: str = ""
    # Not compared: the same model in another folder is the same, and shares the cached network.
    path: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        # Also runs for `dataclasses.replace` and for our own cards, so that no card exists that was not checked.
        problem = problem_of(self)
        if problem:
            raise WeightsError(f"the model card cannot be used: {problem}")

    @property
    def about(self) -> Network:
        """The entry of its network in `NETWORKS`."""
        return NETWORKS[self.network]

    @property
    def size(self) -> int:
        """Side in pixels of the pictures that it makes."""
        return int(self.shape["size"])

    @property
    def latent(self) -> int:
        """Length of its latents."""
        return int(self.shape["latent"])

    @property
    def cautions(self) -> tuple[str, ...]:
        """The warnings, and one more if a generative model was trained for too few steps."""
        few = few_steps(self.steps) if self.task == "sample" else ""
        return (*self.warnings, few) if few else self.warnings

    def facts(self) -> dict[str, Any]:
        """Return the entries about the model in the record of a result."""
        facts: dict[str, Any] = {"name": self.name, "sha256": self.sha256, "licence": self.licence}
        if self.origin:
            facts["origin"] = dict(self.origin)
        if self.recipe:
            facts["training"] = {"recipe": self.recipe, "steps": self.steps, "items": self.n_train, "sha256": self.data}
        return facts

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values, except those that belong to the file (checksum and path)."""
        values = {key: value for key, value in asdict(self).items() if key not in ("sha256", "path")}
        # Through JSON, so that tuples become lists, as they are in a card that was read.
        return json.loads(json.dumps({"format": _FORMAT, **values}))

    @classmethod
    def from_dict(cls, values: Any) -> ModelCard:
        """Make a card from JSON values of any origin, those of older versions included.

        Raises
        ------
        WeightsError
            If a key is missing or unknown, or a value is of the wrong type or out of range.
        """
        if not isinstance(values, dict):
            raise WeightsError(f"the model card cannot be used: it is a {type(values).__name__}, not a table")
        # A copy, as keys are taken out below and the table is the caller's.
        values = dict(values)
        if "format" not in values:
            values = from_version_1(values)
        elif values.pop("format") != _FORMAT:
            raise WeightsError("the model card cannot be used: it was written by a newer version of napari-genrecon")
        # A file does not vouch for itself: its checksum and its path are never taken from what it says.
        known = {entry.name: entry for entry in fields(cls) if entry.name not in ("sha256", "path")}
        # Unknown keys are refused: a newer version may mean something by them that would be lost without a word.
        unknown = sorted(short(key) for key in values if key not in known)
        missing = [key for key in ("name", "task", "network") if key not in values]
        if unknown or missing:
            what = f"does not know {', '.join(unknown[:3])}" if unknown else f"lacks {', '.join(missing)}"
            raise WeightsError(f"the model card cannot be used: this version {what}")
        # The types are text here, because of `from __future__ import annotations`.
        return cls(**{key: _typed(key, value, str(known[key].type)) for key, value in values.items()})


def few_steps(steps: int) -> str:
    """Return a warning if there were too few training steps; empty if enough, or not known (0)."""
    if not 0 < steps < ENOUGH_STEPS:
        return ""
    return (
        f"it was trained for only {steps} steps: with fewer than {ENOUGH_STEPS} the pictures are seldom usable, and "
        "good models take several thousand"
    )


def step_of(card: ModelCard) -> tuple[float, ...]:
    """Return, per channel, the width of one grey value on the model's scale of -1 to 1.

    A grey value is 1 wide in integer data; in float data, which has no such width, 1/255 of the range is taken.
    """
    # `problem_of` sees to it that a generative card has a dtype, so that an empty one does not count as whole here.
    whole = card.dtype[:1] in "ui"
    return tuple(2.0 / (high - low if whole else 255.0) for low, high in zip(card.low, card.high, strict=True))


def _typed(key: str, value: object, kind: str) -> Any:
    # JSON has no named tuples: it is a list of four numbers there.
    if kind != "PerAxis":
        return plain(key, value, kind)
    numbers = plain(key, value, "tuple[int, ...]")
    if len(numbers) != 4:
        raise WeightsError(f"the model card cannot be used: {key} must give T, Z, Y and X, got {short(value)}")
    return PerAxis(*numbers)
