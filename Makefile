# make demo: install, train the embedded default, evaluate it, draw it; lift a detection to a page.
# make test: install, run the tests.   make lint: style and imports.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKDIR ?= runs/demo

export JAX_COMPILATION_CACHE_DIR ?= $(CURDIR)/.cache/xla
# Each of the tests' processes would compile every module anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test lint install clean

install: $(VENV)/installed

$(VENV)/installed: requirements.txt requirements-dev.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

demo: install
	$(BIN)/python train.py --config configs/demo.py --workdir $(WORKDIR)
	$(BIN)/python evaluate.py --config configs/demo.py --checkpoint $(WORKDIR)
	$(BIN)/python examples/simulated_detection.py $(WORKDIR)/detection
	$(BIN)/python lift.py $(WORKDIR)/detection --size 1000x1000 --fps 30 -o $(WORKDIR)/lift.html

test: install
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

clean:
	rm -rf $(VENV) .cache build *.egg-info
