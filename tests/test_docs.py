"""The documentation builds without a warning, and what it shows can be run."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from napari_genrecon.cli.main import _parser

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


def blocks(page, *languages):
    """Return the fenced blocks of a page in some languages."""
    # Split, not found: a pattern for blocks without a language also fits from the end of one block to the next.
    fenced = (block.partition("\n") for block in page.read_text().split("```")[1::2])
    return [code for language, _, code in fenced if language in languages]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_of_the_pages_runs(page):
    for code in blocks(page, "python"):
        exec(code, {})


def commands_of(page):
    """Arguments of the commands that a page shows."""
    for block in blocks(page, "", "sh"):
        for line in block.splitlines():
            if line.startswith("genrecon "):
                words = shlex.split(line, comments=True)[1:]
                yield words[: words.index(">")] if ">" in words else words


@pytest.mark.parametrize("page", [page for page in PAGES if any(commands_of(page))], ids=lambda page: page.name)
def test_commands_of_the_pages_are_understood(page):
    """Their words are read as they stand there; those of the README are run (`test_readme.py`)."""
    for words in commands_of(page):
        _parser(words).parse_args(words)


def test_every_page_is_in_the_navigation():
    listed = (ROOT / "mkdocs.yml").read_text()
    assert [page.name for page in PAGES if str(page.relative_to(ROOT / "docs")) not in listed] == []


def headings(page):
    """Return what links call the headings of a page."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: page.name)
def test_links_lead_to_pages_pictures_and_headings(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        path, _, heading = link.partition("#")
        target = page.parent / path if path else page
        if "://" not in link:
            assert target.is_file(), link
            assert not heading or heading in headings(target), link
