"""The registry of training recipes, one line each. Importing this loads no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields, make_dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

from napari_genrecon.errors import OptionError
from napari_genrecon.options import hints_of

if TYPE_CHECKING:
    from napari_genrecon.training.options import TrainOptions
    from napari_genrecon.training.recipe import Recipe

__all__ = ["RECIPES", "all_options", "all_recipes", "cited", "find_recipe", "read_options", "task_recipe"]

RECIPES = {
    "vae": ".recipes.vae:RECIPE",
    "dcgan": ".recipes.dcgan:RECIPE",
    "care": ".recipes.care:RECIPE",
    "noise2noise": ".recipes.noise2noise:RECIPE",
    "noise2void": ".recipes.noise2void:RECIPE",
    "image2image": ".recipes.image2image:RECIPE",
    "click-detector": ".recipes.detector:RECIPE",
    "object-classifier": ".recipes.classifier:RECIPE",
}


def find_recipe(name: str) -> Recipe:
    """Return the recipe of this name.

    Raises
    ------
    OptionError
        If there is none.
    """
    if name not in RECIPES:
        raise OptionError(f"kind must be {' or '.join(map(repr, RECIPES))}, got {name!r}")
    # Imported when asked for: the list of names costs nothing, and one broken recipe does not break the others.
    module, _, attribute = RECIPES[name].partition(":")
    found: Recipe = getattr(import_module(module, __name__), attribute)
    return found


def cited(name: str) -> str:
    """Return short name and paper of a recipe, for the methods text; the bare name of one that is no more."""
    if name not in RECIPES:
        return name
    recipe = find_recipe(name)
    return f"{recipe.label}: {recipe.paper}"


def all_recipes() -> tuple[Recipe, ...]:
    """Return the recipes that are offered, the default one first: all but those that tasks run by themselves."""
    return tuple(recipe for recipe in map(find_recipe, RECIPES) if not recipe.by_task)


def task_recipe(task: str) -> Recipe:
    """Return the recipe that a task runs by itself."""
    return next(recipe for recipe in map(find_recipe, RECIPES) if recipe.by_task and recipe.serves == task)


def read_options(values: Mapping[str, Any]) -> TrainOptions:
    """Return the options of a recipe, made from values that may also belong to other recipes.

    Parameters
    ----------
    values : mapping
        Options by name; ``"kind"`` is the name of the recipe. Options of other recipes are ignored.

    Raises
    ------
    OptionError
        If there is no such recipe or option, or a value is not allowed.
    """
    own = find_recipe(str(values.get("kind", next(iter(RECIPES))))).options
    # A dict keeps the order for the message, in which an option of several recipes comes once.
    known = dict.fromkeys(["kind", *(field.name for recipe in all_recipes() for field in fields(recipe.options))])
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise OptionError(f"there is no training option {unknown[0]!r}; known: {', '.join(known)}")
    mine = {field.name for field in fields(own)}
    options: TrainOptions = own(**{key: value for key, value in values.items() if key in mine})
    return options


@cache
def all_options() -> type:
    """Return a dataclass with the options of all recipes, for the form and the flags.

    An option that only some recipes have names these in its metadata, under ``"kind"``.
    """
    # The types with their limits and tooltips; `fields` gives them as text only.
    known = {recipe.name: hints_of(recipe.options) for recipe in all_recipes()}
    titles = "; ".join(recipe.title for recipe in all_recipes())
    kind = Annotated[str, {"choices": tuple(known), "tooltip": titles}]
    found: dict[str, tuple[Any, Any]] = {"kind": (kind, next(iter(RECIPES)))}
    for recipe in all_recipes():
        for option in fields(recipe.options):
            base, metadata = known[recipe.name][option.name].__origin__, known[recipe.name][option.name].__metadata__[0]
            owners = tuple(name for name, hints in known.items() if option.name in hints)
            # The form hides what the chosen recipe does not have; what all have it always shows.
            owned = {} if len(owners) == len(known) else {"kind": owners}
            default = None if option.default is MISSING else option.default
            tooltip = metadata.get("tooltip", "") + _other_defaults(option.name, default)
            # The first recipe that has an option decides its default; the tooltip names the defaults of the others.
            found.setdefault(option.name, (Annotated[base, {**metadata, **owned, "tooltip": tooltip}], default))
    entries = [(name, hint, default) for name, (hint, default) in found.items()]
    return make_dataclass("AllTrainOptions", entries, frozen=True, kw_only=True)


def _other_defaults(name: str, default: Any) -> str:
    """Return the defaults of an option that differ from the one that is shown, in words."""
    # A default is also an attribute of the class. A recipe without the option gets the shown one, and is not named.
    defaults = {recipe.name: getattr(recipe.options, name, default) for recipe in all_recipes()}
    others = [f"{value} for {recipe}" for recipe, value in defaults.items() if value != default]
    return f" (by default {', '.join(others)})" if others else ""
