# Every target does its own set-up; only Python >= 3.11 and make are needed. `make help` lists the targets.
PYTHON ?= python3
VENV = .venv
BIN = $(VENV)/bin
STAMP = $(VENV)/.installed
JOBS ?= 2
PYTEST_ARGS ?=
DOCS_ARGS ?= -D nb_execution_mode=force

.PHONY: help venv check format test test-full test-portable report report-controls docs bench wheel clean

help:
	@echo 'make venv       create $(VENV) and install the package with its tools (PYTHON=python3.12 picks the Python)'
	@echo 'make check      ruff (lint, format), mypy --strict, import rules, rooms'
	@echo 'make format     rewrite the files as `make check` wants them'
	@echo 'make test       the tests without the slow ones (PYTEST_ARGS="-k em", JOBS=2)'
	@echo 'make test-full  all tests'
	@echo 'make test-portable  the tests of identities and statuses as three other processors would round'
	@echo 'make report     run the quick validation study, write build/report/index.html'
	@echo 'make report-controls  wrong estimators through the quick study: none may pass (a quarter of an hour)'
	@echo 'make docs       run every page and example, write the documentation site build/docs/index.html'
	@echo 'make bench      measure every job beside its peer in one run, write docs/performance.md (25 minutes)'
	@echo 'make wheel      build dist/*.whl and check what is in it'
	@echo 'make clean      remove everything that make made'

venv: $(STAMP)

$(STAMP): setup.cfg pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo 'Python >= 3.11 is needed; $(PYTHON) is:' "$$($(PYTHON) --version 2>&1)." \
	    'Name another one: make PYTHON=python3.12 ...' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy estimators validation
	$(BIN)/lint-imports --no-logo
	$(BIN)/python docs/rooms.py --check

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# One thread per worker. The import comes first because arviz writes a file in the user's cache at its first import
# of the day, and workers that do so at the same moment can fail.
PYTEST = $(BIN)/python -W ignore -c 'import arviz' && \
	OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist worksteal

# No test takes a twentieth of its limit on a quiet machine, so that a loaded one has time.
test: $(STAMP)
	$(PYTEST) --timeout 1200 -m 'not slow' $(PYTEST_ARGS)

test-full: $(STAMP)
	$(PYTEST) --timeout 3600 $(PYTEST_ARGS)

test-portable: $(STAMP)
	$(BIN)/python -m tests.portability -n $(JOBS) --dist worksteal --timeout 1200 -m 'not slow' $(PYTEST_ARGS)

report: $(STAMP)
	rm -rf build/report
	$(BIN)/python -m validation run --preset quick --output build/report

report-controls: $(STAMP)
	$(BIN)/python -m benchmarks.report_controls

# Pages are run anew, since the package may have changed: DOCS_ARGS='-D nb_execution_mode=cache' runs those that have.
docs: $(VENV)/.docs
	$(BIN)/codespell
	PATH=$(CURDIR)/$(BIN):$$PATH $(BIN)/sphinx-build -W --keep-going -q -b html $(DOCS_ARGS) docs build/docs
	$(PYTEST) --timeout 1200 tests/test_docstrings.py tests/test_readme.py tests/test_examples.py tests/test_contributing.py

$(VENV)/.docs: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	@touch $@

# Peers need other versions of numba and of what it needs, so they have an environment of their own.
bench:
	$(PYTHON) -m venv .venv-bench
	grep -v -i -E '^(numba|llvmlite)==' constraints.txt > .venv-bench/constraints.txt
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check -c .venv-bench/constraints.txt -e '.[bench]'
	.venv-bench/bin/python -m benchmarks.side_by_side
	.venv-bench/bin/python -m benchmarks.performance

# build/lib is removed because setuptools packs whatever an earlier build left there.
wheel: $(STAMP)
	rm -rf dist build/lib build/bdist.*
	$(BIN)/python -m build --wheel
	rm -rf build/lib build/bdist.*
	@$(BIN)/python -c 'import sys, zipfile; \
	  tops = {name.split("/")[0] for name in zipfile.ZipFile(sys.argv[1]).namelist()}; \
	  extra = {top for top in tops if not top.endswith(".dist-info")} - {"estimators", "validation"}; \
	  sys.exit(f"{sys.argv[1]} also holds {sorted(extra)}" if extra else 0)' dist/*.whl

clean:
	rm -rf $(VENV) .venv-bench build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
