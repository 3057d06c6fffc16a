"""Who may know whom: the arrows of the architecture, read from the imports."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import napari_genrecon
from napari_genrecon.models.networks import NETWORKS
from napari_genrecon.training import RECIPES

ROOT = Path(napari_genrecon.__file__).parent
SHARED = {"axes", "errors", "options", "arrays", "normal"}
MAY_IMPORT = {
    "axes": set(),
    "errors": set(),
    "options": set(),
    "arrays": set(),
    "normal": set(),
    "engine": set(),
    "numerics": {"engine"},
    "noise": {"engine"},
    "models": {"io", "engine"},
    "optics": set(),
    "training": {"models", "engine", "numerics", "noise", "checks", "io"},
    "checks": {"noise", "engine"},
    "io": {"engine", "noise"},
    "recognition": {"models", "training", "engine", "numerics", "noise"},
    "tasks": {"engine", "models", "training", "recognition", "noise", "numerics", "optics", "checks", "io"},
    "__main__": {"cli"},
    "cli": {"tasks", "io", "engine", "noise", "models", "optics", "training"},
    "widgets": {"tasks", "io", "engine", "noise", "models", "optics", "training", "checks", "recognition"},
}
HEAVY = {
    "torch": {"models", "training"},
    "torchvision": {"models", "training"},
    "lightning_fabric": {"training"},
    "dask": {"engine", "io", "widgets"},
    "napari": {"widgets"},
    "qtpy": {"widgets"},
    "magicgui": {"widgets"},
    "superqt": {"widgets"},
}
FILES = sorted(ROOT.rglob("*.py"))


def part(path):
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported(path):
    """Absolute names of all modules a file imports, at any level."""
    package = ("napari_genrecon", *path.relative_to(ROOT).parent.parts)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, [base, node.module]))
            yield from (f"{module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_follow_the_arrows(path):
    here = part(path)
    if here == "__init__":
        return
    for name in imported(path):
        first, _, rest = name.partition(".")
        if first == "napari_genrecon":
            target = rest.split(".")[0]
            assert target in {here, *SHARED, "__version__"} | MAY_IMPORT[here], f"{here} imports {name}"
        if first in HEAVY:
            assert here in HEAVY[first], f"{here} imports {name}"


def test_io_does_not_know_napari():
    assert not any(name.split(".")[0] == "napari" for path in (ROOT / "io").rglob("*.py") for name in imported(path))


@pytest.mark.parametrize(
    "code",
    [
        "import napari_genrecon",
        "import napari_genrecon.cli",
        "from napari_genrecon import list_models; list_models()",
        "from napari_genrecon.tasks import TASKS; TASKS[0].options()",
        "from napari_genrecon.cli.main import _parser; _parser(['train', 'sample']).format_help()",
        "import napari_genrecon.tasks.train, napari_genrecon.tasks.sample.file, napari_genrecon.training.runs.store",
    ],
)
def test_light_things_load_nothing_heavy(code):
    script = f"{code}\nimport sys\nprint(*{{'torch', 'dask', 'napari', 'qtpy', 'magicgui'}} & set(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert not loaded.strip()


# --- nobody but the registries knows a recipe or a network ---

REGISTRIES = {"models/registry.py", "training/__init__.py"}
KNOWING = ("models/networks/", "training/recipes/")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_file_knows_a_recipe_or_a_network(path):
    place = path.relative_to(ROOT).as_posix()
    if place in REGISTRIES or place.startswith(KNOWING):
        return
    names = {*NETWORKS, *RECIPES}
    texts = {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}
    assert not names & texts
    modules = {"napari_genrecon.models.networks.", "napari_genrecon.training.recipes."}
    files = {f"{module}{file.stem}." for module in modules for file in ROOT.glob(f"*/{module.split('.')[2]}/[a-z]*.py")}
    assert not [name for name in imported(path) if name.startswith(tuple(files))]
