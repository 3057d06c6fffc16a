"""Check the values on a model card, which may come from anywhere. Importing this loads no torch."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from napari_genrecon.errors import WeightsError
from napari_genrecon.models.networks import NETWORKS

if TYPE_CHECKING:
    from napari_genrecon.models.card import ModelCard

__all__ = ["SCALINGS", "WIDEST_TILE", "check_name", "from_version_1", "plain", "problem_of", "short"]

# Limits against hostile files, far above what an honest card holds: a window must be able to show the texts.
_LONGEST_TEXT = 500  # characters of any text in a card
_MOST_ENTRIES = 2000  # entries of any list or table in a card: with the longest texts, a million characters
_MOST_CHANNELS = 64  # of a network's input: 17 MB of memory for the image that a run is timed with
WIDEST_TILE = 1024  # pixels of a halo, a stride or a scale, so that one tile does not take all memory
SCALINGS = ("range", "moments", "trained")
"""How networks of others take grey values: 0 and 1 are the 0.1 and 99.9 percentile of the image (``"range"``), its mean
and one s.d. more (``"moments"``), or -1 and 1 are `ModelCard.low` and `high` (``"trained"``)."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# Devices of Windows, with any ending: a file of this name cannot be made there.
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def check_name(name: str) -> str:
    """Return the name of a model if it is allowed; it becomes a file name.

    Raises
    ------
    WeightsError
        If the name holds anything but letters, digits, dot, underscore and hyphen, or is longer than 64; or if Windows
        could not make a file or folder of this name.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise WeightsError(
            f"a model cannot be named {short(name)}: use letters, digits, '.', '_' and '-', at most 64, starting with "
            "a letter or a digit"
        )
    # Refused on every system: a model may be copied to a Windows machine later.
    if _RESERVED.fullmatch(name) or name.endswith("."):
        raise WeightsError(
            f"a model cannot be named {short(name)}: Windows cannot make such a file; choose another name"
        )
    return name


def from_version_1(values: dict[str, Any]) -> dict[str, Any]:
    """Translate a card of version 0.1, which described generative networks only."""
    needed = ("name", "kind", "size", "channels", "latent", "low", "high", "dtype")
    missing = [key for key in needed if key not in values]
    if missing:
        raise WeightsError(f"the model card cannot be used: this version lacks {', '.join(missing)}")
    options = values.get("options")
    options = options if isinstance(options, dict) else {}
    kind = values.pop("kind")
    network = NETWORKS.get(kind) if isinstance(kind, str) else None
    # Width and likelihood stood among the options of the training then.
    known = {**options, "size": values.pop("size"), "latent": values.pop("latent")}
    shape = {key: known.get(key) for key in (network.shape if network else ()) if key != "channels"}
    return {"nature": "synthetic", **values, "task": "sample", "network": kind, "recipe": kind, "shape": shape}


def plain(key: str, value: object, kind: str) -> Any:
    """Return the value in the type that the card declares, or raise with a sentence."""
    if kind.startswith("tuple"):
        if not isinstance(value, list | tuple) or len(value) > _MOST_ENTRIES:
            raise _wrong(key, value, "a list")
        # Of a type as text, such as "tuple[float, ...]".
        item = kind.removeprefix("tuple[").partition(",")[0]
        return tuple(plain(key, each, item) for each in value)
    if kind.startswith("dict"):
        if not isinstance(value, dict) or len(value) > _MOST_ENTRIES:
            raise _wrong(key, value, "a table")
        return {_cut(str(name)): _plain_json(key, each, 0) for name, each in value.items()}
    if kind == "bool":
        if not isinstance(value, bool):
            raise _wrong(key, value, "true or false")
        return value
    if kind == "str":
        if not isinstance(value, str):
            raise _wrong(key, value, "text")
        return _cut(value)
    return None if value is None and "None" in kind else _number(key, value, kind)


def _number(key: str, value: object, kind: str) -> float:
    whole = kind.startswith("int")
    kind_named = "a whole number" if whole else "a number"
    # True is an int to Python, and Python's JSON reads NaN and Infinity.
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _wrong(key, value, kind_named)
    # Not by type: JSON has one kind of number, and other programs may write 4 as 4.0.
    if whole and value != int(value):
        raise _wrong(key, value, kind_named)
    return int(value) if whole else float(value)


def _plain_json(key: str, value: object, depth: int) -> Any:
    """Return a value inside a table, if it is plain JSON, not too long and not too deep."""
    if isinstance(value, str):
        return _cut(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    # The depth is limited because this function calls itself: a file must not exhaust the stack.
    if isinstance(value, list | tuple) and len(value) <= _MOST_ENTRIES and depth < 3:
        return [_plain_json(key, each, depth + 1) for each in value]
    if isinstance(value, dict) and len(value) <= _MOST_ENTRIES and depth < 3:
        return {_cut(str(name)): _plain_json(key, each, depth + 1) for name, each in value.items()}
    raise _wrong(key, value, "plain and short")


def problem_of(card: ModelCard) -> str:
    """Return why no network can be built from a card; empty if one can."""
    check_name(card.name)
    if card.network not in NETWORKS:
        return f"network must be one of {', '.join(NETWORKS)}, got {short(card.network)}"
    if not 1 <= card.channels <= _MOST_CHANNELS:
        return f"channels must lie between 1 and {_MOST_CHANNELS}, got {card.channels}"
    allowed = NETWORKS[card.network].shape
    # The channels stand in the card itself; only some constructors take them.
    given = {**card.shape, **({"channels": card.channels} if "channels" in allowed else {})}
    if set(given) != set(allowed):
        return f"shape must give {', '.join(sorted(allowed)) or 'nothing'}, got {short(', '.join(sorted(given)))}"
    for key, value in given.items():
        # True is 1 and 4.0 is 4 to Python, but neither is a width
        if type(value) not in (int, str) or value not in allowed[key]:
            return f"{key} must {_words_for(allowed[key])}, got {short(value)}"
    return _problem_of_tiles(card) or _problem_of_values(card)


def _words_for(values: Any) -> str:
    if isinstance(values, range):
        return f"lie between {values[0]} and {values[-1]}"
    return f"be one of {', '.join(map(str, values))}"


def _problem_of_tiles(card: ModelCard) -> str:
    if not all(0 <= side <= WIDEST_TILE for side in card.halo):
        return f"halo must lie between 0 and {WIDEST_TILE} pixels, got {tuple(card.halo)}"
    for name in ("stride", "scale"):
        if not all(1 <= side <= WIDEST_TILE for side in getattr(card, name)):
            return f"{name} must lie between 1 and {WIDEST_TILE}, got {tuple(getattr(card, name))}"
    # Written with `not`, as NaN fails every comparison: `work <= 0` would let it pass.
    if card.bytes_per_pixel < 1 or not card.work > 0:
        return "bytes_per_pixel and work must be positive"
    for name in ("bfloat16", "bfloat16_coarse"):
        if not getattr(card, name) >= 0:
            return f"{name} must be a contrast of 0 or more, got {getattr(card, name):g}"
    unknown = [what for what in card.told if what not in ("sigma", "rho", "factor")]
    return f"told may hold sigma, rho and factor, not {short(unknown[0])}" if unknown else ""


def _problem_of_values(card: ModelCard) -> str:
    makes = card.task == "sample"
    # The lengths are compared below, so that a wrong one gets a sentence and no ValueError of `zip`.
    ranges = list(zip(card.low, card.high, strict=False))
    whole = len(card.low) == len(card.high) == card.channels
    if (makes or card.low or card.high) and (not whole or not all(low < high for low, high in ranges)):
        return f"low and high must give a range for each of {card.channels} channels"
    if (makes or card.dtype) and not re.fullmatch(r"(u?int(8|16|32|64)|float(16|32|64))", card.dtype):
        return f"dtype must be that of grey values, got {short(card.dtype)}"
    if card.scaling and card.scaling not in SCALINGS:
        return f"scaling must be one of {', '.join(SCALINGS)}, got {short(card.scaling)}"
    if card.scaling == "trained" and not ranges:
        return "scaling 'trained' needs low and high"
    if card.channel_names and len(card.channel_names) != card.channels:
        return f"{card.channels} channels have {len(card.channel_names)} names"
    if len(card.pixel_size) != 2 or len(card.units) != 2 or not all(side > 0 for side in card.pixel_size):
        return "pixel_size and units must be given along Y and X"
    if card.task == "predict":
        results = list(zip(card.result_low, card.result_high, strict=False))
        outputs = card.shape.get("outputs")
        sides = len(card.result_low) == len(card.result_high) == len(card.result_names) == outputs
        if not whole or not sides or not all(low < high for low, high in (*ranges, *results)):
            return f"a model that makes images needs a range for each of {card.channels} and {outputs} channels"
    if makes and card.nature != "synthetic":
        return f"what a generative model makes is synthetic, not {short(card.nature)}"
    return ""


def _cut(text: str) -> str:
    """Return text with printable characters only, shortened to `_LONGEST_TEXT`."""
    # Escape sequences and line breaks could forge what a terminal or a window shows.
    plain = "".join(letter if letter.isprintable() else " " for letter in text)
    return plain if len(plain) <= _LONGEST_TEXT else plain[: _LONGEST_TEXT - 1] + "…"


def short(value: object) -> str:
    """Return a value quoted for a message, at most 60 characters of it."""
    return repr(_cut(str(value))[:60])


def _wrong(key: str, value: object, wanted: str) -> WeightsError:
    return WeightsError(f"the model card cannot be used: {key} must be {wanted}, got {short(value)}")
