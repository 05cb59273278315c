# The two commands: make demo, make test.  Everything they need is set up first, in .venv; nothing else is touched.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
PYTEST_ARGS ?=
WORKERS ?= 2
INSTALLED := $(VENV)/.installed

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo test lint setup page browser bench dist clean

help:
	@echo "make demo             train a small network on digits and watch it in TensorBoard (ARGS=--no-serve: end by itself)"
	@echo "make test             everything: lint, types, unit tests, browser tests (PYTEST_ARGS=… goes to pytest, WORKERS=2 run it)"
	@echo "make lint             ruff, mypy, svelte-check, vitest"
	@echo "make setup            .venv with featwatch in it   (PYTHON=python3.12: with that Python)"
	@echo "make page             rebuild the TensorBoard page, if its sources changed"
	@echo "make bench            the short run of every benchmark (ARGS='evolution --full': that one, in full)"
	@echo "make dist             source distribution and wheel, in dist/"
	@echo "make clean            remove everything that was built, .venv too"

demo: page
	$(BIN)/featwatch demo $(ARGS)

# In one recipe, so that pytest's summary is what comes last whatever `make -j` says.
test: page
	$(MAKE) lint
	browser="$$($(BIN)/python build_tools/browser.py)" && FEATWATCH_CHROMIUM="$$browser" $(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python build_tools/page.py run check test

setup: $(INSTALLED)

# Again only when what is installed changes: the package itself is installed editable.
$(INSTALLED): pyproject.toml setup.py constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "error: there is no $(PYTHON); install Python 3.11 to 3.13, or say make PYTHON=…" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v <= (3, 13) or sys.exit("error: $(PYTHON) is Python %d.%d; featwatch needs 3.11 to 3.13: make PYTHON=python3.12" % v)'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "error: $(PYTHON) cannot make virtual environments; on Debian or Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --no-input -c constraints.txt -e '.[test]'
	@touch $@

page: setup
	$(BIN)/python build_tools/page.py build

browser: setup
	$(BIN)/python build_tools/browser.py

bench: page
	$(BIN)/python -m benchmarks $(ARGS)

dist: setup
	$(BIN)/python -m build

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis tensorboard_plugin/frontend/node_modules tensorboard_plugin/tensorboard_plugin_featwatch/static
