# One obvious thing a target. `make demo` and `make test` are all that a fresh clone needs.
.PHONY: setup demo test check fix bench

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.refrain-installed
DEMO := outputs/demo
# The first Python that is new enough; `make PYTHON=/path/to/python setup` chooses another.
PYTHON ?= $(firstword $(foreach p,python3 python3.13 python3.12 python3.11,$(shell \
	$(p) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(p))))
# PyPI's torch for Linux brings CUDA; this index has the same release for the CPU.
TORCH := $(shell sed -n 's/^torch==\([0-9.]*\).*/\1/p' constraints.txt)
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu

setup: $(STAMP)  ## the virtual environment with pinned dependencies

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "refrain needs Python 3.11 or newer (make PYTHON=/path/to/python setup)" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@# Where no CPU wheel is to be had, the last line takes PyPI's: large, but it works too.
	@if [ "$$(uname -s)" = Linux ] && ! $(BIN)/python -c 'import importlib.metadata as m; m.version("torch")' 2>/dev/null; then \
		$(BIN)/pip install --quiet --no-deps --retries 1 --extra-index-url $(TORCH_INDEX) 'torch==$(TORCH)+cpu' \
		|| echo "no CPU wheel of torch $(TORCH) here, taking PyPI's" >&2; fi
	$(BIN)/pip install --quiet -c constraints.txt -e '.[dev]'
	@touch $@

demo: setup  ## find the campaigns in a small sample of made-up traffic
	@test -e $(DEMO)/sample/truth.parquet || { rm -rf $(DEMO)/sample && $(BIN)/refrain simulate $(DEMO)/sample; }
	HF_HUB_OFFLINE=1 $(BIN)/refrain run $(DEMO)/sample/requests --outputs $(DEMO) --run-id demo
	@printf '\nOne finding in full:  %s\n' '$(BIN)/refrain show demo 0 --outputs $(DEMO)'

test: setup  ## the tests, without the benchmarks
	$(BIN)/pytest -m 'not bench'

check: setup  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fix: setup  ## what can be mended by machine
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup  ## the benchmarks
	$(BIN)/pytest -m bench -s benchmarks
