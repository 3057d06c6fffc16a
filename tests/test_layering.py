"""Who may know whom: the arrows of the architecture, read from the imports."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import house
import pytest

import napari_genrecon
from napari_genrecon.models.networks import NETWORKS
from napari_genrecon.training import RECIPES

ROOT = Path(napari_genrecon.__file__).parent
SHARED = {"axes", "errors", "options", "arrays", "normal", "plural", "shell"}
MAY_IMPORT = {
    "axes": set(),
    "errors": set(),
    "options": set(),
    "arrays": set(),
    "normal": set(),
    "plural": set(),
    "shell": set(),
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
    return imported_by(ast.parse(path.read_text()), ("napari_genrecon", *path.relative_to(ROOT).parent.parts))


def imported_by(tree, package):
    for node in ast.walk(tree):
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


# --- nobody but its own file and the registries knows a recipe or a network ---

TARGETS = [
    *((name, f"training{target}") for name, target in RECIPES.items()),
    *((name, f"models.networks{network.target}") for name, network in NETWORKS.items()),
]
"""Name, module and attribute of every recipe and network."""


def allowed_names(place):
    """Names of recipes and networks that a file may hold."""
    if place in ("training/__init__.py", "models/networks/__init__.py"):
        return {*RECIPES, *NETWORKS}
    if place == "models/registry.py":  # the cards of models that ship name their networks
        return set(NETWORKS)
    module = place.removesuffix(".py").replace("/", ".")
    own = {name for name, target in TARGETS if target.startswith(f"{module}:")}
    # A recipe names the network that it trains.
    return own | set(NETWORKS) if place.startswith("training/recipes/") else own


def texts_of(tree):
    """All strings but docstrings, which may say where to read on."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docs = {ast.get_docstring(node, clean=False) for node in ast.walk(tree) if isinstance(node, documented)}
    found = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    return {text for text in found - docs if isinstance(text, str)}


def knowledge(place, tree, names_of_imports):
    """What a file knows of recipes and networks that are not its own."""
    texts = texts_of(tree)
    inside = place.startswith(("training/recipes/", "models/networks/"))
    registry = place in ("training/__init__.py", "models/networks/__init__.py")
    classes = {target.partition(":")[2] for _, target in TARGETS} - {"RECIPE"}
    found = {text for text in texts if text in {*RECIPES, *NETWORKS} - allowed_names(place)}
    if not (inside or registry):
        # By import, by the name of the module in a string, and by the name of the class of a network.
        found |= {text for text in texts if re.search(r"(^|\.)(recipes|networks)\.\w", text)} | texts & classes
        packages = ("napari_genrecon.models.networks", "napari_genrecon.training.recipes")
        files = {module for package in packages for module in house.MODULES if module.startswith(f"{package}.")}
        found |= {name for name in names_of_imports if any(f"{name}.".startswith(f"{file}.") for file in files)}
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_file_knows_a_recipe_or_a_network(path):
    found = knowledge(path.relative_to(ROOT).as_posix(), ast.parse(path.read_text()), imported(path))
    assert not found


def test_manifest_knows_no_recipe_and_no_network():
    text = (ROOT / "napari.yaml").read_text()
    assert not [name for name, _ in TARGETS if re.search(rf"(?<![\w-]){name}(?![\w-])", text)]


@pytest.mark.parametrize(
    "code",
    [
        "def kind(card): return card.network == 'vae'",
        "def kind(card): return card.recipe in ('care', 'noise2void')",
        "def kind(network): return type(network).__name__ == 'VAE'",
        "target = '.recipes.vae:RECIPE'",
        "target = 'napari_genrecon.models.networks.vae'",
        "from napari_genrecon.models.networks import vae",
        "from napari_genrecon.models.networks.vae import VAE",
        "from napari_genrecon.models.networks.foreign.spandrel import SpandrelNet",
        "import napari_genrecon.training.recipes.dcgan",
    ],
)
@pytest.mark.parametrize("place", ["training/session.py", "widgets/train/page.py", "models/card.py"])
def test_knowing_a_recipe_or_a_network_is_seen(code, place):
    tree = ast.parse(code)
    assert knowledge(place, tree, imported_by(tree, ("napari_genrecon", *place.split("/")[:-1])))


def test_a_recipe_may_name_itself_and_no_other():
    assert not knowledge("training/recipes/vae.py", ast.parse("recipe = 'vae'"), [])
    assert knowledge("training/recipes/vae.py", ast.parse("other = 'care'"), [])
    assert knowledge("models/networks/vae.py", ast.parse("other = 'dcgan'"), [])
