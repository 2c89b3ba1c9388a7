# make quickstart: an experiment on the built-in data.  make test: the tests.
# Both create .venv and install into it, again after a change of pyproject.toml.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# with bytecode: the tests start hundreds of processes, each of which would otherwise compile the package
PYTEST := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal

# the packages that are tested with the core
PACKAGES := $(wildcard plugins/perceptinit-*) examples/perceptinit-orthogonal

.PHONY: calibration companions contracts quickstart test slow fuzz faults paper known-effects check wheel release docs plugins clean

quickstart: $(INSTALLED)
	$(BIN)/perceptinit preregister quickstart >/dev/null  # the plan: runs/quickstart/plan.md
	$(BIN)/perceptinit run quickstart --jobs 2

test: $(INSTALLED)
	$(PYTEST) --durations=20

# tests of several training processes, of waiting and of kills, which take minutes
slow: $(INSTALLED)
	$(PYTEST) -m slow tests

# contract tests of all components and a smoke run; .ci/run calls it with newer versions of Python
contracts: $(INSTALLED)
	$(PYTEST) tests/testing tests/backbones tests/initializers/test_initializer_contracts.py
	$(BIN)/perceptinit run quickstart --smoke --out $(VENV)/runs

# random recipes, tables, matrices, shards, images, weights, archives, downloads and records, and a kill at every file
# operation; `make test` runs a fixed sample of both
EXAMPLES ?= 10000
fuzz: $(INSTALLED)
	PERCEPTINIT_FUZZ_EXAMPLES=$(EXAMPLES) $(PYTEST) --timeout 0 tests/fuzz tests/running/test_every_operation.py

# flipped bits, simulated crowds, clients that do not read, and kills: `perceptinit collect` and a run, with fixed seeds
# and with a new one, in less than 15 minutes; requires `make companions`
SEED ?= $(shell date +%s)
faults: $(INSTALLED)
	$(BIN)/python benchmarks/collect_flips.py --flips 300
	$(BIN)/python benchmarks/collect_flips.py --flips 100 --seed $(SEED)
	$(BIN)/python benchmarks/collect_flips.py --flips 50 --design --seed $(SEED)
	$(BIN)/python benchmarks/collect_crowd.py --people 1000
	$(BIN)/python benchmarks/collect_crowd.py --people 1000 --seed $(SEED)
	$(BIN)/python benchmarks/collect_load.py --people 50 --seconds 40 --images 50 --readers 820
	$(BIN)/python benchmarks/collect_load.py --people 50 --seconds 40 --images 50 --readers 820 --seed $(SEED)
	$(BIN)/python benchmarks/collect_kills.py --kills 15
	$(BIN)/python benchmarks/collect_kills.py --kills 5 --seed $(SEED)
	$(BIN)/python benchmarks/kill_and_resume.py --seed $(SEED)

# the whole quickstart, one seed of each arm, on a CPU and on a simulated GPU: equal weights and scores
paper: $(INSTALLED)
	PERCEPTINIT_PAPER=whole OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --timeout 0 tests/test_paper_gpu.py -k quickstart

# missing counts of simulated experiments, and the tables of docs/calibration.md from all counts
calibration: $(INSTALLED)
	PYTHONPATH=tests $(BIN)/python benchmarks/studies/calibration.py write

# two experiments of known effects, one seed on real photographs; prepare.py lists the files that FOLDER must contain
known-effects: $(INSTALLED)
	$(BIN)/python recipes/known_effects/prepare.py $(FOLDER) data/known_effects
	$(BIN)/perceptinit run recipes/known_effects/few_pairs.toml --seed 10 --arm random --arm people --out runs/one-seed --jobs 2
	$(BIN)/perceptinit run recipes/known_effects/structure.toml --seed 20 --arm random --arm mimetic --out runs/one-seed --jobs 2

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

wheel: $(INSTALLED)
	$(BIN)/python -m build --wheel --outdir dist

# build sdists and wheels of the core and of every package in plugins/, check their metadata, install the wheels into an
# empty environment and run there; then print what is left to do by hand
release: $(INSTALLED)
	rm -rf dist
	$(BIN)/python -m pip install --quiet 'twine>=6'
	for folder in . $(wildcard plugins/perceptinit-*); do \
	  $(BIN)/python -m build --outdir dist $$folder >/dev/null || { echo "$$folder failed"; exit 1; }; done
	$(BIN)/python -m twine check --strict dist/*
	$(PYTHON) -m venv dist/environment
	dist/environment/bin/python -m pip install --quiet dist/*.whl
	cd dist && environment/bin/perceptinit --version && environment/bin/perceptinit list plugins && \
	  environment/bin/perceptinit run quickstart --smoke --out runs >/dev/null
	rm -rf dist/environment dist/runs
	@echo 'Built and checked in dist/. To publish, by hand:'
	@echo '1. perceptinit/_version.py has the version, CHANGELOG.md its date, and `make check test slow plugins docs` passes.'
	@echo '2. git tag vVERSION && git push --tags'
	@echo '3. $(BIN)/python -m twine upload dist/*'
	@echo '4. Publish the site: $(BIN)/python -m mkdocs build, then upload site/.'

# build the site strictly, then run its code and commands, the notebooks and the smoke version of every recipe
docs: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	$(BIN)/python -m mkdocs build --strict
	$(PYTEST) tests/docs

# install every package in plugins/ and an example, run their tests, three at a time because a browser mostly waits, then
# test all of them on a simulated GPU, and run the benchmarks that need one of them
plugins: $(INSTALLED)
	$(BIN)/python -m pip install --quiet $(patsubst %,'./%[test]',$(PACKAGES))
	printf '%s\n' $(PACKAGES) | OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= xargs -P 3 -I {} \
	  sh -c 'cd {} && $(abspath $(BIN))/python -m pytest -q tests || { echo "{} failed"; exit 1; }'
	$(PYTEST) -v tests/test_paper_components.py::test_a_plug_in_works_on_a_gpu tests/plugins
	$(PYTEST) -v -m slow tests/test_paper_components.py tests/benchmarks -k 'collect or plug_in_works'

# install every package in plugins/ into the environment of the core, with the libraries of all trackers
companions: $(INSTALLED)
	$(BIN)/python -m pip install --quiet $(patsubst %,'%',$(subst -trackers,-trackers[all],$(wildcard ./plugins/perceptinit-*)))

$(INSTALLED): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@

clean:
	rm -rf $(VENV) dist build
