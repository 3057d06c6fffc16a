"""Rules of the house: how big folders may be, what modules are called, and that nothing goes round or lies idle."""

import house
import pytest

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
