# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV   ?= .venv
BIN     = $(VENV)/bin
DISPLAYED = sh tools/with_display.sh
PARALLEL  = -n auto --dist loadfile

.PHONY: demo test test-all check docs screenshot benchmark clean help

help:
	@echo "make demo       set up, denoise a real noisy image, show the noise report and where the result is"
	@echo "make test       set up, check and run the tests but for the slow ones, in a virtual display"
	@echo "make test-all   the same with the slow ones, as CI does"
	@echo "make check      formatting, lint and types"
	@echo "make docs       the documentation site, in build/site"
	@echo "make screenshot drive a real window and save pictures to docs"
	@echo "make benchmark  speed, memory and quality tables (takes a while)"

demo: $(VENV)/.demo
	$(BIN)/genrecon demo --output demo-output

test: $(VENV)/.test check
	$(DISPLAYED) $(BIN)/python -m pytest $(PARALLEL)

test-all: $(VENV)/.test check
	$(BIN)/genrecon devices
	$(DISPLAYED) $(BIN)/python -m pytest $(PARALLEL) -m ""

check: $(VENV)/.test
	$(BIN)/ruff check src tests tools
	$(BIN)/ruff format --check src tests tools
	$(BIN)/mypy
	$(BIN)/npe2 validate --imports napari-genrecon

docs: $(VENV)/.test
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

screenshot: $(VENV)/.test
	$(DISPLAYED) $(BIN)/python tools/screenshot.py docs

benchmark: $(VENV)/.bench
	$(BIN)/python tools/benchmark.py speed
	$(BIN)/python tools/benchmark.py memory
	$(BIN)/python tools/benchmark.py quality

# Each stamp is an environment with more in it than the one before.
$(VENV)/.python:
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Python 3.11 or newer is needed: make PYTHON=python3.12')"
	$(PYTHON) -m venv $(VENV) || { echo "the venv module is missing: apt-get install python3-venv"; exit 1; }
	touch $@

$(VENV)/.demo: $(VENV)/.python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.'
	touch $@

$(VENV)/.test: $(VENV)/.python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@

$(VENV)/.bench: $(VENV)/.test
	$(BIN)/python -m pip install --quiet --editable '.[test,bench]'
	touch $@

clean:
	rm -rf $(VENV) demo-output benchmark-output .pytest_cache .ruff_cache .mypy_cache .hypothesis
