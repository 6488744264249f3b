PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# As many tokens as this machine trains in that time: more say more. In its place: make demo DEMO="--tokens 540000".
# Where that is too few for the model to have begun (--early), the verdict says so.
DEMO ?= --minutes 7
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test slow check fix smoke mutate fuzz damage kills verdicts

demo: $(VENV)/installed  ## the main job: a question, three arms, three seeds, a verdict
	$(BIN)/vslm run studies/quickstart.py --early $(DEMO)

test: check  ## every room, in minutes: all that is not marked slow
	OMP_NUM_THREADS=1 $(BIN)/pytest --quiet --numprocesses auto -m 'not slow'

slow: $(VENV)/developed  ## the rest: whole studies, kills, browsers, simulations; CI runs both
	OMP_NUM_THREADS=1 $(BIN)/pytest --quiet --numprocesses auto -m slow

check: $(VENV)/developed  ## format, lint, types, walls between rooms
	$(BIN)/ruff format --check src tests studies
	$(BIN)/ruff check src tests studies
	$(BIN)/pyright
	$(BIN)/lint-imports

fix: $(VENV)/developed  ## let the tools mend what they can
	$(BIN)/ruff format src tests studies
	$(BIN)/ruff check --fix src tests studies

smoke: $(VENV)/developed  ## the whole path in half a minute
	OMP_NUM_THREADS=1 $(BIN)/pytest --quiet tests/smoke

# Other ones: make fuzz SEED=1. The same seed makes the same ones; each file takes --only NUMBER for one of them.
STUDIES ?= 10000
LINES ?= 300
SEED ?= 0

fuzz: $(VENV)/developed  ## odd studies and command lines by the thousand; half an hour or more, not part of CI
	OMP_NUM_THREADS=1 $(BIN)/python tests/fuzz/odd_studies.py --count $(STUDIES) --seed $(SEED)
	OMP_NUM_THREADS=1 $(BIN)/python tests/fuzz/odd_arguments.py --count $(LINES) --seed $(SEED)

# The rooms where numbers are made. Part of them: make mutate FILES=src/vslm/stats SAMPLE=0 (0: every mutant).
FILES ?= $(addprefix src/vslm/,stats optim training data measure models/parts/kernels.py models/parts/normalizers study runs lab \
	results report/numbers/formatting.py report/numbers/sides.py report/numbers/tables.py)
SAMPLE ?= 12
JOBS ?= 1

mutate: $(VENV)/developed  ## do the tests notice? small mistakes, one at a time; an hour or more, not part of CI
	OMP_NUM_THREADS=1 $(BIN)/python tests/mutation/mutate.py $(FILES) --sample $(SAMPLE) --jobs $(JOBS)

verdicts: $(VENV)/developed  ## the simulated cells of docs/verdicts.md again; three quarters of an hour, not part of CI
	OMP_NUM_THREADS=1 $(BIN)/python tests/stats/cells.py --trials 2000 --out docs/verdicts/cells.csv
	OMP_NUM_THREADS=1 $(BIN)/python tests/stats/tuned_cells.py --trials 500 --out docs/verdicts/tuned.csv
	OMP_NUM_THREADS=1 $(BIN)/python tests/stats/factor_cells.py --out docs/verdicts/factors.csv --savings docs/verdicts/savings.csv
	OMP_NUM_THREADS=1 $(BIN)/python tests/stats/counted_cells.py --trials 300 --out docs/verdicts/counted.csv
	OMP_NUM_THREADS=1 $(BIN)/python tests/stats/race_cells.py --trials 400 --out docs/verdicts/race.csv

damage: $(VENV)/developed  ## N damaged folders of a study, each read in every way: words or a page, never a traceback
	OMP_NUM_THREADS=1 $(BIN)/python tests/damage/folders.py $(or $(N),1000) $(or $(SEED),7)

kills: $(VENV)/developed  ## N times SIGKILL in the middle of a study, which must end with the same bits
	OMP_NUM_THREADS=1 $(BIN)/python tests/damage/kills.py $(or $(N),200) $(or $(SEED),7)

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) --editable .
	@touch $@

$(VENV)/developed: $(VENV)/installed
	$(PIP) --editable '.[dev]'
	@touch $@
