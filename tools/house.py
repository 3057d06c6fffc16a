"""Measure the source: folders, imports, lengths, constants. ``python tools/house.py`` prints the table.

`tests/test_house.py` checks the rules.
"""

from __future__ import annotations

import ast
import re
import tokenize
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from statistics import median, quantiles

ROOT = Path(__file__).parents[1] / "src" / "napari_genrecon"
FILES = sorted(ROOT.rglob("*.py"))


def module_of(path: Path) -> str:
    """Return the dotted name of a module."""
    parts = ("napari_genrecon", *path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in FILES}


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def imports_of(path: Path, *, lazy: bool) -> set[str]:
    """Return modules of ours that a module imports on loading or, with `lazy`, inside its functions as well."""
    tree, found = ast.parse(path.read_text()), set()
    for node in ast.walk(tree) if lazy else _on_loading(tree.body):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name in MODULES}
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(path, node)
            names = {f"{base}.{alias.name}" for alias in node.names}
            found |= names & MODULES.keys() | ({base} & MODULES.keys())
    return found - {module_of(path)}


def _on_loading(body: list[ast.stmt]) -> Iterator[ast.AST]:
    for node in body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if not isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield from ast.walk(node)


def _absolute(path: Path, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    package = module_of(path).split(".")
    package = package if path.name == "__init__.py" else package[:-1]
    return ".".join([*package[: len(package) - node.level + 1], *filter(None, [node.module])])


def circles() -> list[set[str]]:
    """Return groups of modules that import each other on loading (strongly connected components, Tarjan 1972).

    A package that re-exports a module of its own is no circle.
    """
    graph = {module: imports_of(path, lazy=False) for module, path in MODULES.items()}
    graph = {
        module: {other for other in found if not module.startswith(f"{other}.")} for module, found in graph.items()
    }
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    on: set[str] = set()
    found: list[set[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        on.add(node)
        for other in graph[node]:
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in on:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            group: set[str] = set()
            while node not in group:
                group.add(stack.pop())
            on.difference_update(group)
            if len(group) > 1:
                found.append(group)

    for node in graph:
        if node not in index:
            visit(node)
    return found


def unreachable() -> list[str]:
    """Return modules that the product does not reach, by an import or by a string that names them."""
    named = re.compile(r"napari_genrecon(?:\.\w+)+|(?<=[\"'])\.?[a-z_]+(?:\.[a-z_]+)*(?=[\"':])")
    seen, todo = set(), ["napari_genrecon", "napari_genrecon.__main__"]
    todo += [name for name in named.findall((ROOT / "napari.yaml").read_text()) if name in MODULES]
    while todo:
        module = todo.pop()
        if module in seen:
            continue
        seen.add(module)
        path = MODULES[module]
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        todo += imports_of(path, lazy=True)
        for text in (n.value for n in ast.walk(_tree(path)) if isinstance(n, ast.Constant)):
            if isinstance(text, str) and re.fullmatch(r"\.?[\w.]+(:\w+)?", text):
                name = text.partition(":")[0].strip(".")
                tails = (f"napari_genrecon.{name}", f"{package}.{name}", f"napari_genrecon.tasks.{name}", name)
                todo += [tail for tail in tails if tail in MODULES]
        parts = module.split(".")
        todo += [".".join(parts[:i]) for i in range(1, len(parts))]
    return sorted(MODULES.keys() - seen)


def functions() -> Iterator[ast.FunctionDef]:
    """Yield every function and method."""
    for path in FILES:
        yield from (node for node in ast.walk(_tree(path)) if isinstance(node, ast.FunctionDef))


def length(node: ast.FunctionDef) -> int:
    """Return the lines of a function's body, without its docstring."""
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    return sum((s.end_lineno or s.lineno) - s.lineno + 1 for s in body) or 1


# Numbers of geometry, of a unit or a file format, of a cited paper, of a simulated picture, or of
# networks whose weights are shipped: another one would be wrong, and not better or worse.
DEFINED = {
    "__main__": {"_INTERRUPTED"},
    "axes": {"RGB", "_LEADING"},
    "checks.resolution": {"_FIRST", "_THRESHOLD"},
    "checks.samples": {"_BINOMIAL", "_PATCH", "_SMALLEST"},
    "io.foreign.olympus": {"_AXES"},
    "io.foreign.picture": {"_COLOURED", "_DEPTH", "_KIND"},
    "io.image_file": {"MICROMETRES"},
    "io.samples": {"_FIELD", "_SPOTS", "_SPREAD"},
    "io.simulated": {
        "_BEAD_WIDTH", "_DRIFT", "_EOSIN", "_FIELD", "_FRAMES", "_HAEMATOXYLIN", "_HIGH", "_LOW", "_OFFSET", "_PIXEL",
        "_READ_NOISE", "_STEP",
    },
    "io.tiff.colours": {"_JPEG"},
    "io.tiff.display": {"_SHADES"},
    "io.tiff.sizes": {"_CENTIMETRES", "_PRINTED", "_TAG_UNITS"},
    "io.tiff.write": {"_PYRAMID_SHARE", "_TILE_STEP"},
    "models.card": {"FACTORS"},
    "models.encoder": {"_VIEWS"},
    "models.generative": {"_SEED_OF_BOUNDS"},
    "models.registry": {"_SPOTS"},
    "models.networks.classifiers": {"_GROUP", "_WIDTHS"},
    "models.networks.frame_gate": {"WIDTH", "_BOXES", "_CLIP", "_ENERGY"},
    "models.networks.foreign.onnx_graph": {"_FLOAT"},
    "models.networks.spotnet": {"PLANES", "STRIDE", "_CLIP", "_SCALE"},
    "models.networks.srnet": {"BLOCKS", "REACH", "WIDTH", "_CUBIC_REACH"},
    "models.networks.unet": {"LAGS", "STRIDE", "WIDTHS"},
    "models.networks.vae": {"_LOG_SCALES", "_MOST_CORRELATED"},
    "models.runtime": {"_PROBES"},
    "models.zoo.package": {"_OPSET"},
    "noise.blocks": {"SIZE"},
    "noise.defects": {"_AROUND", "_EIGHT", "_FEWEST"},
    "noise.model": {"FAR"},
    "noise.report": {"STRONG"},
    "normal": {"MEDIAN", "MEDIAN_STEP"},
    "numerics.blobs.spot_planes": {"_SIGMAS"},
    "numerics.inpaint_inputs": {"_CUT", "_DETAIL", "_TRUST", "_TYPICAL", "_WIDTHS"},
    "numerics.resample": {"_SUPPORT"},
    "numerics.symmetries": {"WAYS"},
    "optics.objective": {"_NM"},
    "optics.psf_check": {"_AXES"},
    "tasks.batch.run": {"_NOT_BEGUN"},
    "tasks.deblur.defects": {"_RING"},
    "tasks.pipeline.run": {"_FINE"},
    "tasks.denoise.frames": {"_STATE"},
    "tasks.denoise.uncertainty": {"_SEED"},
    "tasks.inpaint.damage": {"_FEWEST_FRAMES"},
    "tasks.inpaint.fill": {"_HIDING_SEED"},
    "tasks.inpaint.planes": {"TURNS", "_CELL"},
    "tasks.detect.options": {"NETWORK_SIZES"},
    "tasks.detect.rules": {"FEWEST", "_EVEN_ODDS"},
    "tasks.detect.wide": {"_BEFORE"},
    "tasks.pipeline.steps": {"_VERSION"},
    "tasks.upscale_z.plan": {"_VIEWS"},
    "training.data.differentiable": {"_SHIFT"},
    "training.data.split": {"HELD", "LEFT", "TRAIN"},
    "training.loop.muon": {"QUINTIC"},
    "training.recipes.dcgan": {"_PENALISED_EVERY"},
    "training.recipes.restoration": {"_INTERVAL"},
}  # fmt: skip
_MACHINE = re.compile(r"\b(bytes|characters|disk|files|memory|milliseconds|seconds)\b")


def constants() -> Counter[str]:
    """Count names of modules in capitals that hold numbers, alone or in a table, by kind.

    - defined: in `DEFINED`, made from other constants or from mathematics, or objects with a name (models, formats);
    - screen: in `widgets` and `cli`: sizes and times of what a user sees;
    - machine: a unit of memory, files or time stands beside it: limits that change no pixel;
    - tuned: all others, thresholds and weights of which another value would be better or worse.
    """
    found: Counter[str] = Counter()
    for path in FILES:
        lines = path.read_text().splitlines()
        for node in _tree(path).body:
            if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
                continue
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)]
            if _numbers(node.value) and any(name.strip("_").isupper() for name in names):
                found[_kind(path, names, node, lines)] += len(names)
    return found


def _numbers(value: ast.expr) -> bool:
    held = (n.value for n in ast.walk(value) if isinstance(n, ast.Constant))
    return any(isinstance(number, int | float) and not isinstance(number, bool) for number in held)


def _kind(path: Path, names: list[str], node: ast.Assign | ast.AnnAssign, lines: list[str]) -> str:
    assert node.value is not None
    module, inside = module_of(path).removeprefix("napari_genrecon."), list(ast.walk(node.value))
    others = {n.id for n in inside if isinstance(n, ast.Name)} - set(names)
    named = any(isinstance(n, ast.keyword) and n.arg in ("name", "target") for n in inside)
    if DEFINED.get(module, set()) & set(names) or named or any(o.strip("_").isupper() or o == "math" for o in others):
        return "defined"
    if module.partition(".")[0] in ("widgets", "cli"):
        return "screen"
    first, last = node.lineno - 1, node.end_lineno or node.lineno
    around = [line.partition("#")[2] for line in lines[first:last]]
    around += [line for line in lines[first - 1 : first] if line.startswith("#")]
    around += [line for line in lines[last : last + 1] if line.startswith('"""')]
    return "machine" if _MACHINE.search(" ".join(around)) else "tuned"


def _comments(path: Path) -> int:
    with path.open("rb") as file:
        return sum(token.type == tokenize.COMMENT for token in tokenize.tokenize(file.readline))


def main() -> None:
    """Print the table."""
    lines = sum(len(path.read_text().splitlines()) for path in FILES)
    comments = sum(map(_comments, FILES))
    folders = {path.parent for path in FILES}
    largest = max(folders, key=lambda folder: len(list(folder.glob("*.py"))))
    lengths = [length(node) for node in functions()]
    arguments = [
        a for node in functions() for a in (*node.args.args, *node.args.kwonlyargs) if a.arg not in ("self", "cls")
    ]
    loose = sum(a.annotation is not None and ast.unparse(a.annotation) == "Any" for a in arguments)
    kinds = constants()
    rows = {
        "files": len(FILES),
        "lines": lines,
        "most files in a folder": f"{len(list(largest.glob('*.py')))} ({largest.name})",
        "modules unreachable from the product": len(unreachable()),
        "import circles": len(circles()),
        "function length, median / 90 %": f"{median(lengths):.0f} / {quantiles(lengths, n=10)[-1]:.0f}",
        "functions over 50 lines": f"{100 * sum(n > 50 for n in lengths) / len(lengths):.1f} %",
        "parameters typed Any": f"{100 * loose / len(arguments):.1f} %",
        "tuned constants per 1,000 lines": f"{1000 * kinds['tuned'] / lines:.1f}",
        "constants: tuned, machine, screen, defined": ", ".join(
            str(kinds[kind]) for kind in ("tuned", "machine", "screen", "defined")
        ),
        "comments per 100 lines": f"{100 * comments / lines:.1f}",
    }
    for name, value in rows.items():
        print(f"{name:44}{value}")


if __name__ == "__main__":
    main()
