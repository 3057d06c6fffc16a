"""Rules of the house: sizes of folders, names of modules, no circular imports, nothing that is never used."""

import ast
from pathlib import Path

import house
import pytest

import napari_genrecon

FOLDERS = sorted({path.parent for path in house.FILES})
MOST_FILES = 16


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.relative_to(house.ROOT)))
def test_folders_can_be_read_at_a_glance(folder):
    assert len(list(folder.glob("*.py"))) <= MOST_FILES


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.relative_to(house.ROOT)))
def test_names_of_modules_do_not_repeat_their_folder_and_hide_nothing(folder):
    names = [path.stem for path in folder.glob("*.py") if not path.stem.startswith("__")]
    assert [name for name in names if name.startswith((f"{folder.name}_", f"{folder.name.removesuffix('s')}_"))] == []
    assert [name for name in names if name.startswith("_")] == []


def test_no_import_goes_round_in_a_circle():
    assert house.circles() == []


def test_nothing_ships_that_the_product_cannot_reach():
    assert house.unreachable() == []


def test_constants_that_count_as_defined_exist():
    for module, names in house.DEFINED.items():
        assert names <= names_in(f"napari_genrecon.{module}"), module


TOOLS = sorted(Path(house.__file__).parent.rglob("*.py"))


def names_in(module):
    """Names that a module of ours defines or imports, and the modules of a package."""
    path = house.MODULES[module]
    found = set(napari_genrecon.__all__) if module == "napari_genrecon" else set()
    found |= {other.rpartition(".")[2] for other in house.MODULES if other.rpartition(".")[0] == module}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {(alias.asname or alias.name) for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    return found


@pytest.mark.parametrize("path", TOOLS, ids=lambda path: path.name)
def test_tools_import_what_there_is(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("napari_genrecon"):
            assert node.module in house.MODULES
            assert {alias.name for alias in node.names} <= names_in(node.module), node.module


def test_few_numbers_are_tuned():
    lines = sum(len(path.read_text().splitlines()) for path in house.FILES)
    assert house.constants()["tuned"] <= 6 * lines / 1000
