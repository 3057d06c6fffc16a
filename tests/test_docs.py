"""The documentation builds without a warning, and what it shows can be run."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").rglob("*.md"))


@pytest.mark.slow
def test_site_builds_without_warnings(tmp_path):
    pytest.importorskip("mkdocs")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=_env())
    assert done.returncode == 0, done.stderr
    assert "napari_genrecon" in (tmp_path / "reference" / "python" / "index.html").read_text()


def _env():
    import os

    return {**os.environ, "NO_MKDOCS_2_WARNING": "1"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_of_the_pages_runs(page):
    for code in re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.S):
        exec(code, {})


def test_every_page_is_in_the_navigation():
    listed = (ROOT / "mkdocs.yml").read_text()
    assert [page.name for page in PAGES if str(page.relative_to(ROOT / "docs")) not in listed] == []
