"""Rules of the house: sizes of folders, names of modules, no circular imports, nothing that is never used."""

import ast
import re
import tomllib
from itertools import pairwise
from pathlib import Path

import house
import pytest
import yaml

import napari_genrecon
from napari_genrecon.io.formats import FORMATS

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


# --- there is one of each ---

ONE_PLACE = {
    "atomic write": ({"os.replace", "os.rename", "os.link", "tempfile.mkstemp", "shutil.move"}, {"io/publish.py"}),
    "lock of files": ({"FileLock", "fcntl.flock", "msvcrt.locking"}, {"io/lock.py"}),
    # A process that trains has no window, and a thread that says that it is alive.
    "job runner": (
        {"threading.Thread", "QThread", "thread_worker"}, {"widgets/jobs/worker.py", "training/runs/status.py"},
    ),
    "training loop": ({"backward", "optimiser.step", "state.net.zero_grad"}, {"training/loop/loop.py"}),
    # Of a plan; of what has none, as it makes no image of an image.
    "record": (
        {"make_record"},
        {f"tasks/{of}.py" for of in ("plan", "sample/task", "detect/task", "augment/example")}
        | {"widgets/generate/explore_results.py"},
    ),
    "moving average": ({"get_ema_multi_avg_fn", "AveragedModel"}, {"training/loop/loop.py"}),
}  # fmt: skip
"""What may be called in these files only: what is done twice is done in two ways after a while."""


@pytest.mark.parametrize("what", ONE_PLACE)
def test_there_is_one_of_each(what):
    names, places = ONE_PLACE[what]
    found = {path.relative_to(house.ROOT).as_posix() for path in house.FILES if names & set(calls_in(path))}
    assert found == places


def calls_in(path):
    """What a module calls or passes on, by its name."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
            yield ast.unparse(node)


def test_steps_are_driven_in_few_places():
    """`finish`, `map_progress`, a window's job, tiles that are begun ahead, parts of a network, and pages in parts."""
    found = {path.relative_to(house.ROOT).as_posix() for path in house.FILES if "StopIteration" in set(calls_in(path))}
    drivers = {"engine/run.py", "engine/ahead.py", "models/runtime.py", "widgets/jobs/worker.py", "widgets/room.py"}
    assert found == drivers


def test_endings_of_images_are_compared_in_io_only():
    """`io.formats.FORMATS` knows them: elsewhere a new format would be forgotten."""
    endings = {ending for known in FORMATS for ending in (*known.endings, *known.written)}
    found = []
    for path in house.FILES:
        if path.relative_to(house.ROOT).parts[0] == "io":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            tested = isinstance(node, ast.Compare) or (isinstance(node, ast.Call) and _asks_for_an_ending(node.func))
            texts = {n.value for n in ast.walk(node) if isinstance(n, ast.Constant)} if tested else set()
            found += [f"{path.name}:{node.lineno}"] if texts & endings else []
    assert found == []


def _asks_for_an_ending(function):
    return isinstance(function, ast.Attribute) and function.attr in ("endswith", "removesuffix", "match", "fnmatch")


def test_the_version_has_one_source():
    project = tomllib.loads((Path(house.__file__).parents[1] / "pyproject.toml").read_text())
    assert "version" not in project["project"]
    assert project["tool"]["hatch"]["version"]["path"] == "src/napari_genrecon/__init__.py"
    texts = [path.relative_to(house.ROOT) for path in house.FILES if napari_genrecon.__version__ in path.read_text()]
    assert texts == [Path("__init__.py")]


def test_no_comment_stands_twice_in_a_row():
    lines = [(path, line.strip()) for path in house.FILES for line in path.read_text().splitlines()]
    assert [one for one, after in pairwise(lines) if one == after and one[1].startswith("#")] == []


NO_VERB = re.compile(r"(The|A|An|All|One|Of|Whether|What|Which|Where|How|Those|It|\()(?!\w)")


def docstrings():
    """Every docstring with its place, and whether it is that of a function, which is not a property."""
    for path in house.FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and (text := ast.get_docstring(node)):
                named = [ast.unparse(each) for each in getattr(node, "decorator_list", [])]
                does = isinstance(node, ast.FunctionDef) and not any("property" in name for name in named)
                yield f"{path.relative_to(house.ROOT)}:{getattr(node, 'lineno', 1)}", text, does


def test_docstrings_of_functions_begin_with_a_verb():
    assert [place for place, text, does in docstrings() if does and NO_VERB.match(text)] == []


def test_what_a_parameter_is_has_a_noun():
    """'Size of the objects', not 'Of the objects'."""
    assert [place for place, text, _ in docstrings() if re.search(r"^ {4,}Of ", text, flags=re.MULTILINE)] == []


def test_ci_runs_every_python_that_is_promised_on_every_system():
    root = Path(house.__file__).parents[1]
    classifiers = tomllib.loads((root / "pyproject.toml").read_text())["project"]["classifiers"]
    promised = {found[1] for each in classifiers if (found := re.search(r"Python :: (3\.\d+)$", each))}
    jobs = yaml.safe_load((root / ".github/workflows/test.yml").read_text())["jobs"]
    assert set(jobs["linux"]["strategy"]["matrix"]["python"]) == promised
    assert set(jobs["others"]["strategy"]["matrix"]["python"]) == promised
    assert {name.partition("-")[0] for name in jobs["others"]["strategy"]["matrix"]["os"]} == {"windows", "macos"}


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
    # No share of the lines: code that becomes shorter would break it.
    assert house.constants()["tuned"] <= 393
