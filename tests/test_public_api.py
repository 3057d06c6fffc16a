import inspect

import pytest

import napari_genrecon
from napari_genrecon import errors
from napari_genrecon.tasks import TASKS


def test_every_public_name_resolves():
    for name in napari_genrecon.__all__:
        assert getattr(napari_genrecon, name) is not None
    assert set(dir(napari_genrecon)) == set(napari_genrecon.__all__)
    assert set(napari_genrecon._PUBLIC) | {"__version__"} == set(napari_genrecon.__all__)


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'denoice'"):
        napari_genrecon.denoice  # noqa: B018


@pytest.mark.parametrize("name", [n for n in napari_genrecon.__all__ if n != "__version__"])
def test_public_names_are_documented(name):
    assert len(inspect.getdoc(getattr(napari_genrecon, name))) > 40


@pytest.mark.parametrize("task", TASKS, ids=lambda t: t.name)
def test_function_and_options_spell_keywords_and_defaults_alike(task):
    parameters = inspect.signature(getattr(napari_genrecon, task.name)).parameters
    keywords = {n: p.default for n, p in parameters.items() if p.kind is p.KEYWORD_ONLY}
    arrays = [n for n, p in parameters.items() if p.kind is p.POSITIONAL_OR_KEYWORD][1:]
    keywords.pop("along", None)  # deprecated
    defaults = task.options()
    assert keywords | dict.fromkeys(arrays) == {n: getattr(defaults, n) for n in task.options.__dataclass_fields__}


def test_no_error_of_ours_is_a_runtime_error():
    kinds = [getattr(errors, name) for name in errors.__all__]
    assert not any(issubclass(kind, RuntimeError) for kind in kinds)
    assert all(issubclass(k, errors.GenReconError) for k in kinds if not issubclass(k, Warning))


def test_error_is_the_sentence_it_was_given():
    assert str(errors.OutputError("disk is full")) == "disk is full"
    assert str(errors.UnknownModelError("no such model")) == "no such model"
