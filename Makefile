# Every target does its own set-up; only Python >= 3.11 and make are needed. `make help` lists the targets.
PYTHON ?= python3
VENV = .venv
BIN = $(VENV)/bin
STAMP = $(VENV)/.installed
JOBS ?= 2
PYTEST_ARGS ?=
CONSTRAINTS ?= -c constraints.txt
DOCS_ARGS ?= -D nb_execution_mode=force

.PHONY: help venv check format test test-full test-portable report report-controls docs bench wheel release-check clean

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
	@echo 'make bench      measure every job beside its peer in one run, write docs/performance.md (10 minutes)'
	@echo 'make wheel      build the sdist, and from it the wheel, in dist/'
	@echo 'make release-check  install that wheel in a fresh environment, say what it takes, run the quickstart there'
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
	$(BIN)/sphinx-build -W --keep-going -q -b html $(DOCS_ARGS) docs build/docs
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

# The wheel is built from the sdist, so both hold what they need and nothing that an earlier build left.
wheel: $(STAMP)
	rm -rf dist
	$(BIN)/python -m build

# With other versions of what it needs: make release-check PYTHON=python3.13 CONSTRAINTS=
release-check: wheel
	rm -rf build/installed && $(PYTHON) -m venv build/installed
	build/installed/bin/python -m pip install --quiet --disable-pip-version-check $(CONSTRAINTS) dist/*.whl
	cd build/installed && bin/python -m pip check && bin/python ../../benchmarks/installed.py

clean:
	rm -rf $(VENV) .venv-bench build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
