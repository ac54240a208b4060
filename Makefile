# The two commands of the README: both make .venv in this checkout.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --constraint constraints.txt

.PHONY: demo test bench clean

demo: $(VENV)/.plot
	$(BIN)/odeseries forecast --dataset co2 --plot forecast.png

test: $(VENV)/.test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto

bench: $(VENV)/.test
	$(BIN)/python tests/benchmarks/panel_speed.py

$(VENV)/.made:
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.plot: $(VENV)/.made pyproject.toml constraints.txt
	$(INSTALL) --editable '.[plot]'
	touch $@

$(VENV)/.test: $(VENV)/.made pyproject.toml constraints.txt
	$(INSTALL) --editable '.[plot,test]'
	touch $@

clean:
	rm -rf $(VENV) dist
