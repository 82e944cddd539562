# `make run`: build, install, find the speech in a file, and leave a page about it.   `make test`: everything that must hold.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SOURCES := setup.py pyproject.toml $(wildcard _core/*.pyx _core/*.pxd)
PYTHONS ?= python3.11 python3.12 python3.13

FILE ?= examples/speech/speech.wav
REPORT ?= report.html
export FILE REPORT  # the shell reads them there: a name may hold anything

.DELETE_ON_ERROR:
.PHONY: run build test test-all lint fast soak bench bench-check asv clean

run: $(STAMP)
	$(BIN)/remotemedia run examples/speech/pipeline.yaml --input="$$FILE" --report="$$REPORT"
	@echo "the page: $(abspath .)/$$REPORT"

build: $(STAMP)

$(STAMP): $(SOURCES)
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --group lint --group test
	$(BIN)/python -m pip install --quiet --editable '.[all]'
	touch $@

lint: build
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest remotemedia._core --mypy-config-file pyproject.toml --ignore-disjoint-bases --ignore-unused-allowlist --allowlist tests/typing/stubtest-allowlist.txt
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/cython-lint _core  # it calls pycodestyle by name

test: lint
	$(BIN)/python -m pytest -q -n auto

# 10⁶ items under random cancellation: counts to the item, and nothing left behind
soak: build
	REMOTEMEDIA_SOAK=1000000 $(BIN)/python -m pytest -q -s tests/soak

fast: build
	$(BIN)/python -m pytest -q -x -n auto -m 'not slow'

# the suite on every CPython 3.11 to 3.13 found here, each in a venv of its own
test-all: test
	@for python in $(PYTHONS); do \
	    path=$$($$python -c 'import sys, venv; print(sys.executable)' 2>/dev/null) || \
	        path=$$(ls -d $${PYENV_ROOT:-$$HOME/.pyenv}/versions/$${python#python}.*/bin/python 2>/dev/null | tail -n 1); \
	    if [ -z "$$path" ]; then echo "== $$python: not found, left out"; continue; fi; \
	    echo "== $$python: $$path"; \
	    $(MAKE) --no-print-directory fast PYTHON=$$path VENV=.venv-$$python || exit 1; \
	done

bench: build
	$(BIN)/python asv_bench/ratios.py

bench-check: build
	$(BIN)/python asv_bench/ratios.py --check --runs 3

# airspeed velocity over what is installed here; make asv ASV='continuous HEAD~1 HEAD' compares commits
ASV ?= run --environment existing:$(abspath $(BIN))/python --quick --show-stderr
asv: build
	$(BIN)/python -m pip install --quiet --group bench
	cd asv_bench && $(abspath $(BIN))/asv machine --yes > /dev/null && $(abspath $(BIN))/asv $(ASV)

clean:
	rm -rf build dist .venv .venv-* *.egg-info remotemedia/_core/*.so remotemedia/_core/*.pxd
