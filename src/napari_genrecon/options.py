"""Check the values of an options dataclass against what its fields declare: types, limits and choices."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from functools import cache
from numbers import Integral, Real
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import numpy as np

from napari_genrecon.errors import OptionError

__all__ = ["check_number", "check_options", "hints_of", "is_number"]

_WORDS = {
    float: "a number",
    int: "a whole number",
    bool: "True or False",
    str: "text",
    types.NoneType: "None",
}
# A marker of its own: None is a value that options may have.
_MISFIT = object()


def check_options(options: Any) -> None:
    """Check the types, then the limits (``min``, ``max``) and words to choose from in the metadata of the fields.

    Call it first in ``__post_init__``, so that the other checks can compare values. Limits of fields that hold anything
    but numbers, and choices that are numbers, are those of the form only.

    Raises
    ------
    OptionError
        If a value does not fit.
    """
    _check_types(options)
    for name, (kinds, words) in _declared(options.__class__).items():
        hint, value = hints_of(options.__class__)[name], getattr(options, name)
        # The metadata of `Annotated[type, {...}]` also describe the form: only limits and choices count here.
        declared = hint.__metadata__[0] if get_origin(hint) is Annotated else {}
        choices = declared.get("choices")
        if isinstance(choices, tuple) and isinstance(value, str) and value not in choices:
            raise OptionError(f"{name} must be {words}, got {value!r}")
        # Options such as a number or a file have limits for the spin box only: text has no order to check.
        if "min" in declared and value is not None and set(kinds) <= {int, float, types.NoneType}:
            check_number(name, value, declared["min"], declared.get("max", math.inf))


def check_number(name: str, value: float, low: float, high: float = math.inf) -> None:
    """Check that the number of an option lies between `low` and `high`.

    Raises
    ------
    OptionError
        If it does not.
    """
    # Written so that NaN, which compares false with everything, is refused too.
    if not low <= value <= high:
        limits = f"be {low:g} or more" if high == math.inf else f"lie between {low:g} and {high:g}"
        raise OptionError(f"{name} must {limits}, got {value}")


def _check_types(options: Any) -> None:
    """Refuse values whose type is not the declared one, and convert NumPy's numbers to Python's.

    A whole number is accepted as a number, and a number like 2.0 as a whole number; True and False are no numbers.
    Fields of the type ``Any`` are not checked.

    Parameters
    ----------
    options
        A dataclass, frozen or not.

    Raises
    ------
    OptionError
        If a value does not fit.
    """
    for name, (kinds, words) in _declared(options.__class__).items():
        value = getattr(options, name)
        # The types of a union are tried in order: the first one that fits decides what the value becomes.
        fitting = (found for kind in kinds if (found := _converted(value, kind)) is not _MISFIT)
        found = next(fitting, _MISFIT)
        if found is _MISFIT:
            raise OptionError(f"{name} must be {words}, got {value!r}")
        if found is not value:
            # Options are frozen: this is the way around it that dataclasses use themselves.
            object.__setattr__(options, name, found)


def hints_of(options: Any) -> dict[str, Any]:
    """Return the type hints of a dataclass with their metadata; evaluated once, as that takes milliseconds."""
    return _hints(options)


@cache
def _hints(options: Any) -> dict[str, Any]:
    return typing.get_type_hints(options, include_extras=True)


@cache
def _declared(options: type) -> dict[str, tuple[tuple[Any, ...], str]]:
    """Return, for every field, the allowed types and a description of an allowed value."""
    hints = hints_of(options)
    names = [field.name for field in dataclasses.fields(options)]  # a ClassVar has a hint too, but is no option
    return {name: (_alternatives(hints[name]), _words(hints[name])) for name in names}


def _words(hint: Any) -> str:
    metadata = hint.__metadata__[0] if get_origin(hint) is Annotated else {}
    choices = metadata.get("choices")
    if not isinstance(choices, tuple):
        return " or ".join(dict.fromkeys(map(_word, _alternatives(hint))))
    *most, last = map(repr, choices)
    return f"{', '.join(most)} or {last}" if most else last


def _alternatives(hint: Any) -> tuple[Any, ...]:
    if get_origin(hint) is Annotated:
        return _alternatives(get_args(hint)[0])
    if get_origin(hint) in (Union, types.UnionType):
        return tuple(kind for part in get_args(hint) for kind in _alternatives(part))
    # Whether the text is one of the words is checked apart, so that the sentence can list them.
    return (str,) if get_origin(hint) is Literal else (hint,)


def _converted(value: object, kind: Any) -> Any:
    """Return the value as one of this type, or `_MISFIT`."""
    if kind is Any:
        return value
    if get_origin(kind) is tuple:
        return _converted_tuple(value, get_args(kind))
    # Before the numbers: bool is a subclass of int, and 1 shall not pass for True, nor True for 1.
    if kind is bool:
        return bool(value) if isinstance(value, bool | np.bool_) else _MISFIT
    # NumPy's numbers are registered as Real and Integral, too. JSON cannot store them: they become Python's.
    if kind in (int, float) and isinstance(value, Real) and not isinstance(value, bool):
        if kind is float:
            return float(value)
        if isinstance(value, Integral):
            return int(value)
        # Spin boxes and JSON of other programs write whole numbers as 2.0.
        return int(float(value)) if float(value).is_integer() else _MISFIT
    return value if isinstance(value, kind) else _MISFIT


def _converted_tuple(value: object, kinds: tuple[Any, ...]) -> Any:
    """Return a list or tuple as a tuple, or `_MISFIT`; entries of ``tuple[X, ...]`` are not checked."""
    if not isinstance(value, list | tuple):
        return _MISFIT
    if kinds[-1] is Ellipsis:
        return tuple(value)
    if len(value) != len(kinds):
        return _MISFIT
    found = tuple(_converted(entry, kind) for entry, kind in zip(value, kinds, strict=True))
    return _MISFIT if _MISFIT in found else found


def _word(kind: Any) -> str:
    if get_origin(kind) is not tuple:
        return _WORDS.get(kind, f"a {kind.__name__}")
    first, *rest = get_args(kind)
    return f"a tuple of {first.__name__}" if rest == [Ellipsis] else f"a tuple of {len(rest) + 1} numbers"


def is_number(text: object) -> bool:
    """Return whether a text reads as a number."""
    try:
        float(str(text))
    except ValueError:
        return False
    return True
