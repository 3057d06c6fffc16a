"""Describe the dimensions of an array by axis letters, given or inferred from the shape.

An image is described by one capital letter per dimension: ``T`` time, ``C`` channel, ``Z`` depth, ``Y`` rows,
``X`` columns, ``S`` colour samples (RGB or RGBA, always last), and any other letter for a dimension that is only
looped over (such as ``P`` for position).

**The rule when no axes are given** (`infer_axes`):

- the last two dimensions are ``YX``, except that a last dimension of at most 8 behind two dimensions of more than
  that holds colours or channels: ``(512, 512, 3)`` and ``(512, 512, 4)`` are ``YXS``, an RGB or RGBA image,
  ``(512, 512, 2)`` is ``YXC``;
- dimensions before these are ``Z`` for one, ``TZ`` for two, ``TZC`` for three. So ``(3, 512, 512)`` is a stack of
  three planes that share one noise model, not three channels: write ``axes="CYX"`` if they are channels.

If another reading is about as likely, `assumption` states what was assumed and how to choose the other; every record of
a task holds that sentence.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from napari_genrecon.errors import ImageError

__all__ = ["COLOUR_SAMPLES", "MOST_CHANNELS", "RGB", "RGB_NAMES", "Axes", "assumption", "infer_axes", "resolve_axes"]

# Number of leading dimensions -> their letters. More than three have no usual meaning.
_LEADING = {0: "", 1: "Z", 2: "TZ", 3: "TZC"}
RGB = 3
"""Channels of a colour image that hold grey values; alpha is left out."""
RGB_NAMES = ("red", "green", "blue")
"""Names of the channels of what was learnt from RGB images; by them, new pictures are known to be RGB, too."""
COLOUR_SAMPLES = (RGB, RGB + 1)
"""Samples of a pixel: RGB and RGBA."""
MOST_CHANNELS = 8
"""Channels that an image has at most: a last dimension up to this length holds them, as no image is so narrow."""
_NUMBER_LETTERS = "QPRNVWABDEFGHIJKLMOU"  # for a dimension that counts images; OME has Q, P and R
_FEW_PLANES = range(2, COLOUR_SAMPLES[-1] + 1)  # lengths that are channels as often as planes or frames
_WHOLE_FIELD = 128  # px; a few planes of smaller images are examples or crops, whose author knows their axes
_STRIP = 8  # ratio of height to width from which the last dimension may hold channels after all


@dataclass(frozen=True, slots=True)
class Axes:
    """Meaning of the dimensions of one array.

    Attributes
    ----------
    letters : str
        One capital letter per dimension, such as ``"TZCYX"`` or ``"YXS"``.
    assumed : bool
        Whether the letters were inferred from the shape rather than given.
    """

    letters: str
    assumed: bool = False

    def __len__(self) -> int:
        return len(self.letters)

    def __str__(self) -> str:
        return self.letters

    @property
    def y(self) -> int:
        """Index of the row dimension."""
        return self.letters.index("Y")

    @property
    def x(self) -> int:
        """Index of the column dimension."""
        return self.letters.index("X")

    @property
    def channel(self) -> int | None:
        """Index of the dimension whose entries have a noise model of their own (``C``, else ``S``), or None."""
        for letter in "CS":
            if letter in self.letters:
                return self.letters.index(letter)
        return None

    @property
    def rgb(self) -> bool:
        """Whether the last dimension holds colour samples."""
        return self.letters.endswith("S")

    @property
    def outer(self) -> tuple[int, ...]:
        """Indices of all dimensions but Y and X, in order."""
        return tuple(i for i, letter in enumerate(self.letters) if letter not in "YX")

    def spread(self, y: int, x: int, other: int) -> tuple[int, ...]:
        """Return one integer per dimension: `y` for Y, `x` for X, and `other` elsewhere."""
        return tuple({"Y": y, "X": x}.get(letter, other) for letter in self.letters)

    def numbered(self, n: int) -> Axes:
        """Return these axes behind a dimension that counts `n` results, with the first letter that is free.

        >>> Axes("TCZYX").numbered(2).letters, Axes("TCZYX").numbered(1).letters
        ('QTCZYX', 'TCZYX')
        """
        if n == 1:
            return self
        letter = next(letter for letter in _NUMBER_LETTERS if letter not in self.letters)
        return Axes(letter + self.letters, self.assumed)

    def with_channels(self, n: int) -> Axes:
        """Return these axes for `n` channels, behind a dimension for them if there is none and several are to come.

        >>> Axes("ZYX").with_channels(2).letters, Axes("ZYX").with_channels(1).letters
        ('CZYX', 'ZYX')
        """
        return self if n == 1 or self.channel is not None else Axes("C" + self.letters, self.assumed)

    def n_channels(self, shape: Sequence[int]) -> int:
        """Return how many channels an array of this shape has."""
        return 1 if self.channel is None else int(shape[self.channel])

    def n_planes(self, shape: Sequence[int]) -> int:
        """Return how many YX planes an array of this shape has."""
        return math.prod(int(shape[i]) for i in self.outer)


def infer_axes(shape: Sequence[int], *, rgb: bool | None = None) -> Axes:
    """Infer the axes of an array from its shape, by the rule in the module's docstring.

    Parameters
    ----------
    shape : sequence of int
        Shape of the array.
    rgb : bool, optional
        Whether the last dimension holds colour samples; inferred from the shape if not given.

    >>> infer_axes((3, 512, 512)).letters
    'ZYX'
    >>> infer_axes((512, 512, 3)).letters
    'YXS'
    """
    if len(shape) < 2:
        raise ImageError(f"image has shape {tuple(shape)}: at least two dimensions (Y, X) are needed")
    # Three short sides are a small volume or a batch of crops, not an image with channels behind it.
    plane_last = len(shape) < 3 or min(shape[-3:-1]) <= MOST_CHANNELS
    # A layer may deny the colours that its shape suggests: `rgb` of napari wins over the shape.
    colour = (not plane_last and shape[-1] in COLOUR_SAMPLES) if rgb is None else rgb
    channels_last = not plane_last and not colour and shape[-1] <= MOST_CHANNELS
    spatial = "YXS" if colour else "YXC" if channels_last else "YX"
    if len(shape) - len(spatial) not in _LEADING:
        raise ImageError(
            f"image has {len(shape)} dimensions, shape {tuple(shape)}: say what they mean (axes), for example 'PTZCYX'"
        )
    # A letter may appear only once: with C or S last, the third leading dimension becomes P.
    leading = _LEADING[len(shape) - 2] if spatial == "YX" else _before(len(shape) - 3)
    return Axes(leading + spatial, assumed=True)


def assumption(axes: Axes, shape: Sequence[int], *, eight_bit: bool = False) -> str:
    """Return a sentence about inferred axes if another reading is about as likely, else an empty text.

    Parameters
    ----------
    axes : Axes
        Axes of the array; there is no sentence about axes that were given.
    shape : sequence of int
        Shape of the array.
    eight_bit : bool
        Whether its dtype is uint8, as is usual for RGBA images.

    >>> assumption(infer_axes((2, 512, 512)), (2, 512, 512))
    "assumed axes 'ZYX' for the shape (2, 512, 512); if dimension 0 holds channels, set 'CYX' (axes)"
    """
    other, reason = _other_reading(axes.letters, tuple(int(n) for n in shape), eight_bit) if axes.assumed else ("", "")
    shown = tuple(int(n) for n in shape)
    return other and f"assumed axes '{axes}' for the shape {shown}; if {reason}, set '{other}' (axes)"


def _other_reading(letters: str, shape: tuple[int, ...], eight_bit: bool) -> tuple[str, str]:
    """Return the letters of another likely reading, and the condition for it; empty texts if there is none."""
    # A narrow image, fewer than nine pixels wide, has the same shape. None is one pixel wide.
    if letters.endswith("YXC") and shape[-1] > 1:
        return f"{_LEADING[len(shape) - 2]}YX", "the last dimension is X"
    # RGBA comes in 8 bits; four samples of a wider dtype may be four stains.
    if letters.endswith("YXS") and shape[-1] == 4 and not eight_bit:
        return f"{letters[:-1]}C", "the last dimension holds four channels and not colours and transparency"
    # Two to four whole fields of view are channels about as often as planes, and the rule has taken them for planes.
    few = [i for i, letter in enumerate(letters) if letter in "TZ" and shape[i] in _FEW_PLANES]
    if few and letters.endswith("ZYX") and min(shape[-2:]) >= _WHOLE_FIELD:
        return f"{letters[: few[0]]}C{letters[few[0] + 1 :]}", f"dimension {few[0]} holds channels"
    # More channels than the rule allows for: the "image" is then far narrower than high.
    if len(shape) > 2 and letters.endswith("YX") and shape[-1] * _STRIP <= min(shape[-3:-1]):
        return f"{_before(len(shape) - 3)}YXC", "the last dimension holds channels"
    return "", ""


def _before(ndim: int) -> str:
    """Return the letters of the first dimensions: as by the rule, with P for C, as C or S is among the last ones."""
    return _LEADING[ndim].replace("C", "P")


def resolve_axes(axes: str | Axes | None, shape: Sequence[int]) -> Axes:
    """Check given axes against a shape, or infer them.

    Parameters
    ----------
    axes : str, Axes or None
        One letter per dimension in the order of the array, upper or lower case. None infers them.
    shape : sequence of int
        Shape of the array.

    Raises
    ------
    ImageError
        If the letters do not fit the shape, repeat, or lack Y or X.
    """
    # An empty text is an empty field of a form: nothing was given.
    if axes is None or axes == "":
        return infer_axes(shape)
    letters = str(axes).upper()
    problem = _problem(letters, tuple(shape))
    if problem:
        raise ImageError(f"axes {str(axes)!r} do not fit an image of shape {tuple(shape)}: {problem}")
    # Axes that were inferred before stay marked, so that the record still says that they were assumed.
    return Axes(letters, axes.assumed if isinstance(axes, Axes) else False)


def _problem(letters: str, shape: tuple[int, ...]) -> str:
    """Return what is wrong with the letters, or an empty text."""
    if not letters.isalpha() or not letters.isascii():
        return "only letters are allowed, one per dimension, such as 'ZYX' or 'TCYX'"
    if len(letters) != len(shape):
        return f"it names {len(letters)} dimensions but the image has {len(shape)}"
    if len(set(letters)) != len(letters):
        return "a letter appears twice"
    if "Y" not in letters or "X" not in letters:
        return "Y and X must both be named"
    # Every task cuts planes out as (Y, X); transposing here would hide from the user that the result is turned.
    if letters.index("Y") > letters.index("X"):
        return "Y must come before X: transpose the image first"
    if "S" in letters:
        return _colour_problem(letters, shape)
    return ""


def _colour_problem(letters: str, shape: tuple[int, ...]) -> str:
    if not letters.endswith("YXS"):
        return "colour samples (S) must come last, behind Y and X"
    if "C" in letters:
        return "an image has either channels (C) or colour samples (S), not both"
    if shape[-1] not in COLOUR_SAMPLES:
        return f"S must have length 3 (RGB) or 4 (RGBA), got {shape[-1]}"
    return ""
