# Every target makes what it needs of the environment itself; the second time that costs nothing.
PYTHON ?= python3
PY := .venv/bin/python
STAMP := .venv/.stamp
# Tests run side by side, one process a core: one thread each.
TEST := OMP_NUM_THREADS=1 $(PY) -m pytest -n auto
QUICK ?=

.PHONY: env demo test test-all check bench clean

env: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	test -x $(PY) || $(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet --constraint constraints.txt --editable '.[all,dev]'
	touch $@

demo: $(STAMP)  ## QUICK=1: the same road in two minutes
	.venv/bin/auricle demo $(if $(QUICK),--quick)

test: $(STAMP)
	$(TEST) -m "not slow and not network"

test-all: $(STAMP)
	$(TEST) -m "not network"

check: $(STAMP)
	$(PY) -m ruff check .
	$(PY) -m mypy

bench: $(STAMP)
	for script in benchmarks/bench_*.py; do $(PY) $$script || exit 1; done

clean:
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests -name __pycache__ -prune -exec rm -rf {} +
