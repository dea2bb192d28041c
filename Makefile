# Every target sets up what it needs: a Python 3.11 or newer and make are enough.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test check verify verify-incidents bench bench-ingest bench-models clean

.venv/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("meshlog needs Python 3.11 or newer") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,check]'
	@touch $@

demo: .venv/installed ## read the samples, say what went wrong in them, and write the page
	@rm -rf out/demo
	@mkdir -p out/demo
	$(BIN)/meshlog ingest sample_logs --lake out/demo/lake
	$(BIN)/meshlog diagnose --lake out/demo/lake
	$(BIN)/meshlog report --lake out/demo/lake --date last --out out/demo/report

test: .venv/installed ## on all cores, then what records a mesh, alone
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile -m 'not alone'
	$(BIN)/python -m pytest -m alone

check: .venv/installed ## all that CI does
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(MAKE) test

# Polars and chDB are no part of meshlog, and chDB brings pandas, which PyArrow loads wherever it finds it
.venv/peers/installed:
	$(PYTHON) -m venv .venv/peers
	.venv/peers/bin/python -m pip install --quiet --disable-pip-version-check 'polars>=2.1.0' 'chdb>=4.4.0'
	@touch $@

bench: bench-ingest bench-models ## every figure and goal

bench-ingest: .venv/installed .venv/peers/installed ## against others: about an hour, 12 GB; BENCH='--lines 100000 --runs 1' for less
	$(BIN)/python -m bench.ingest $(BENCH)

bench-models: .venv/installed ## the models on a day of up to 20 million lines: 2 GB; MODELS='--lines 100000,1000000' for less
	$(BIN)/python -m bench.models $(MODELS)

verify: .venv/installed ## record a mesh that knows the truth, and hold the models against it
	$(BIN)/python -m tests.mesh.verify

verify-incidents: .venv/installed ## record incidents, and hold what `meshlog incident` says against what was done: ten minutes
	$(BIN)/python -m tests.mesh.postmortem $(INCIDENTS)

clean:
	rm -rf .venv out
