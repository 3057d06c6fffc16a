"""Values of options that have another type than the field declares, and the words that explain options."""

import re
import typing
from dataclasses import dataclass, fields
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pytest

from napari_genrecon import NoiseModel
from napari_genrecon.axes import Axes
from napari_genrecon.errors import OptionError
from napari_genrecon.options import check_options, hints_of
from napari_genrecon.tasks import TASKS
from napari_genrecon.tasks.files import array_options
from napari_genrecon.tasks.sample import SampleOptions
from napari_genrecon.training import all_recipes
from napari_genrecon.training.data.dataset import CropOptions

ALL = [*(task.options for task in TASKS), SampleOptions, CropOptions, *(recipe.options for recipe in all_recipes())]
ARRAYS = {name for task in TASKS for name in array_options(task)}
OPTIONS = [(kind, field.name) for kind in ALL for field in fields(kind) if field.name not in ARRAYS]


@dataclass(frozen=True, slots=True)
class Options:
    number: Annotated[float, {"min": 0, "max": 9.5}] = 1.0
    whole: int = 1
    maybe: int | tuple[int, int] | None = None
    flag: bool = False
    word: Literal["a", "b"] = "a"
    noise: NoiseModel | tuple[NoiseModel, ...] | float | None = None
    anything: Any = None
    of_the_class: ClassVar[str] = ""

    choice: Annotated[str, {"choices": ("x", "y")}] = "x"

    __post_init__ = check_options


@pytest.mark.parametrize("wrong", [object(), b"hi", {"a": 1}], ids=["object", "bytes", "dict"])
@pytest.mark.parametrize(("options", "name"), OPTIONS, ids=lambda v: getattr(v, "__name__", v))
def test_value_of_another_type_gets_a_sentence(options, name, wrong):
    with pytest.raises(OptionError, match=f"^{name} must be .*, got "):
        options(**{name: wrong})


@pytest.mark.parametrize(
    ("name", "given", "kept"),
    [
        ("number", 2, 2.0),
        ("number", np.float32(0.5), 0.5),
        ("whole", 2.0, 2),
        ("whole", np.int64(3), 3),
        ("maybe", [4, np.int32(5)], (4, 5)),
        ("maybe", None, None),
        ("flag", np.True_, True),
        ("word", "b", "b"),
        ("noise", 3, 3.0),
        ("noise", [NoiseModel()], (NoiseModel(),)),
        ("anything", "hi", "hi"),
    ],
)
def test_value_becomes_one_of_the_declared_type(name, given, kept):
    found = getattr(Options(**{name: given}), name)
    assert found == kept
    assert type(found) is type(kept)


@pytest.mark.parametrize(
    ("name", "given", "sentence"),
    [
        ("number", "hi", "number must be a number, got 'hi'"),
        ("number", True, "number must be a number, got True"),
        ("number", -0.5, "number must lie between 0 and 9.5, got -0.5"),
        ("number", float("nan"), "number must lie between 0 and 9.5, got nan"),
        ("choice", "z", "choice must be 'x' or 'y', got 'z'"),
        ("whole", 2.5, "whole must be a whole number, got 2.5"),
        ("whole", float("nan"), "whole must be a whole number, got nan"),
        ("maybe", "x", "maybe must be a whole number or a tuple of 2 numbers or None, got 'x'"),
        ("maybe", (1, 2, 3), "got \\(1, 2, 3\\)"),
        ("flag", 1, "flag must be True or False, got 1"),
        ("word", 1, "word must be text, got 1"),
        ("noise", "x", "noise must be a NoiseModel or a tuple of NoiseModel or a number or None, got 'x'"),
    ],
)
def test_sentence_says_what_is_allowed(name, given, sentence):
    with pytest.raises(OptionError, match=sentence):
        Options(**{name: given})


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_axes_are_letters_or_those_of_a_layer(task):
    for axes in ("ZYX", Axes("ZYX", assumed=True), None):
        assert task.options(axes=axes).axes == axes


def tooltips(kind):
    found = {name: typing.get_args(hint) for name, hint in hints_of(kind).items()}
    return {name: hint[1]["tooltip"] for name, hint in found.items() if len(hint) > 1}


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_tooltips_begin_in_plain_words(kind):
    """Field terms may follow in brackets, or after the first sentence."""
    jargon = re.compile(r"\b(DN|latents?|diverg\w+|decoder|discriminator|elastic|weights|seed|FWHM)\b")
    for name, tooltip in tooltips(kind).items():
        plain = re.split(r"[.(]", tooltip)[0]
        assert not jargon.search(plain), f"{name}: {tooltip}"
        assert len(tooltip.split()) > 3, f"{name}: {tooltip}"


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_options_need_and_replace_options_that_exist(task):
    hints = {name: typing.get_args(hint)[1] for name, hint in hints_of(task.options).items()}
    named = {found[key] for found in hints.values() for key in ("needs", "unless") if key in found}
    assert named <= hints.keys()
    assert all(set(found.get("needs_axis", "")) <= set("TCZ") for found in hints.values())
