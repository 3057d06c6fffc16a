"""Measure the source: folders, imports, lengths, constants. ``python tools/house.py`` prints the table.

`tests/test_house.py` checks the rules.
"""

from __future__ import annotations

import ast
import re
import tokenize
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


def constants() -> int:
    """Count module-level names in capitals that hold a number, alone or in a tuple or table."""
    count = 0
    for path in FILES:
        for node in _tree(path).body:
            targets = (
                node.targets
                if isinstance(node, ast.Assign)
                else [node.target]
                if isinstance(node, ast.AnnAssign)
                else []
            )
            names = [n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)]
            value = getattr(node, "value", None)
            numbers = value is not None and any(
                isinstance(n, ast.Constant) and isinstance(n.value, int | float) and not isinstance(n.value, bool)
                for n in ast.walk(value)
            )
            count += numbers and any(name.strip("_").isupper() for name in names)
    return count


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
    rows = {
        "files": len(FILES),
        "lines": lines,
        "most files in a folder": f"{len(list(largest.glob('*.py')))} ({largest.name})",
        "modules unreachable from the product": len(unreachable()),
        "import circles": len(circles()),
        "function length, median / 90 %": f"{median(lengths):.0f} / {quantiles(lengths, n=10)[-1]:.0f}",
        "functions over 50 lines": f"{100 * sum(n > 50 for n in lengths) / len(lengths):.1f} %",
        "parameters typed Any": f"{100 * loose / len(arguments):.1f} %",
        "tuned constants per 1,000 lines": f"{1000 * constants() / lines:.1f}",
        "comments per 100 lines": f"{100 * comments / lines:.1f}",
    }
    for name, value in rows.items():
        print(f"{name:40}{value}")


if __name__ == "__main__":
    main()
