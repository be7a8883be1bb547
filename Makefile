# lecturepulse: `make` lists what there is to do. Needs Python 3.11 or 3.12, git and make.

# A folder of recordings, one recording, or a quoted pattern.
RECORDINGS ?= examples/
# Where the recordings were made, such as IN or DE; it decides what may be computed and shown.
JURISDICTION ?=
# Where tables and reports go.
OUT ?= lecturepulse-out
# More words for the command: make test ARGS='-k track', make run ARGS=--force
ARGS ?=
# A Python to prefer.
PYTHON ?=

BIN := .venv/bin
UV := $(BIN)/uv pip compile --quiet --system-certs --universal --python-version 3.11 --generate-hashes \
      --no-header --no-annotate

# The shell gets values, never code: spaces, quotes and dollar signs in a path stay what they are.
run: export LP_RECORDINGS = $(value RECORDINGS)
run: export LP_JURISDICTION = $(value JURISDICTION)
run: export LP_OUT = $(value OUT)
export LP_PYTHON = $(value PYTHON)

# Every candidate is run, not only looked up: a version manager's shim may lead nowhere.
SETUP = @for python in $(BIN)/python "$$LP_PYTHON" python3.11 python3.12 python3 python; do \
    if "$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' \
      >/dev/null 2>&1; then exec "$$python" tools/setup.py $(1); fi; \
  done; \
  echo "lecturepulse needs Python 3.11 or 3.12, and found none." >&2; \
  echo "Install one, or say where it is: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; exit 3

.PHONY: help
help:
	@echo "make run     recordings in, tables and reports out: the bundled class, or your own:"
	@echo "             make run RECORDINGS=~/zoom JURISDICTION=IN OUT=~/pulse"
	@echo "make test    everything CI runs: checks, then all tests"
	@echo "make check   ruff, pyright, import directions, house rules"
	@echo "make accept  take the pages as they are now for the golden ones; look at git diff"
	@echo "make pictures  the real report as pictures in docs/pictures (needs Chromium)"
	@echo "make bench   what galleries of 9 to 49 people cost, stage by stage (ARGS='4x4-720p --minutes 60')"
	@echo "make bench-live  what 1, 9 and 25 faces before a live camera cost, for one viewer and four"
	@echo "make bench-workers  what a second worker gives, on processes and on dask (ARGS='--minutes 10')"
	@echo "make capacity  simulates nights of many recordings (ARGS='--recordings 10000 --cores 300')"
	@echo "make prefect-load  counts the requests that runs and open pages send to Prefect"
	@echo "make chaos   kills runs at random moments and compares what the next run makes of it (ARGS=100)"
	@echo "make fuzz    runs the night over mutated recordings (ARGS=2000)"
	@echo "make soak    reads six hours of video and watches the memory (ARGS=6)"
	@echo "make wheel   dist/lecturepulse-*.whl"
	@echo "make lock    renew requirements*.lock after a change in pyproject.toml"
	@echo "             (ARGS=--upgrade takes new releases of everything)"
	@echo "make clean   remove what checks, tests and builds left; distclean removes .venv too"

.PHONY: setup
setup:
	$(call SETUP,run)

.PHONY: setup-dev
setup-dev:
	$(call SETUP,dev)

# A tilde that the calling shell left alone (RECORDINGS="~/zoom") means home here as well.
.PHONY: run
run: setup
	@home() { case $$1 in "~" | "~/"*) printf '%s' "$$HOME$${1#"~"}" ;; *) printf '%s' "$$1" ;; esac; }; \
	recordings=$$(home "$$LP_RECORDINGS"); out=$$(home "$$LP_OUT"); place=$$LP_JURISDICTION; \
	unset LP_RECORDINGS LP_OUT LP_JURISDICTION LP_PYTHON; \
	exec $(BIN)/lecturepulse run "$$recordings" --out "$$out" \
	  $${place:+--jurisdiction "$$place"} $(ARGS)

.PHONY: check
check: setup-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/basedpyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m pytest -q -n 0 tests/test_house.py

.PHONY: test
test: check
	@sh tools/browser.sh
	$(BIN)/python -m pytest $(ARGS)

.PHONY: accept
accept: setup-dev
	LECTUREPULSE_ACCEPT=1 $(BIN)/python -m pytest -q -n 0 tests/test_golden.py
	git --no-pager diff --stat -- tests/golden

.PHONY: pictures
pictures: setup-dev
	@sh tools/browser.sh
	$(BIN)/python tools/pictures.py

.PHONY: bench
bench: setup
	@exec $(BIN)/python tools/bench.py $(ARGS)

.PHONY: bench-live
bench-live: setup
	@exec $(BIN)/python tools/bench_live.py $(ARGS)

.PHONY: bench-workers
bench-workers: setup-dev
	@exec $(BIN)/python tools/bench_workers.py $(ARGS)

.PHONY: capacity
capacity: setup
	@exec $(BIN)/python tools/capacity.py $(ARGS)

.PHONY: prefect-load
prefect-load: setup
	@exec $(BIN)/python tools/prefect_load.py

.PHONY: chaos
chaos: setup-dev
	@$(BIN)/python tools/chaos.py $(ARGS)

.PHONY: fuzz
fuzz: setup-dev
	@$(BIN)/python tools/fuzz.py $(ARGS)

.PHONY: soak
soak: setup-dev
	@$(BIN)/python tools/soak.py $(ARGS)

.PHONY: wheel
wheel: setup
	@$(BIN)/python -m hatchling build --target wheel

.PHONY: lock
lock: setup-dev
	$(UV) $(ARGS) pyproject.toml --group build --output-file requirements.lock
	$(UV) $(ARGS) pyproject.toml --group dev --constraint requirements.lock \
	  --output-file requirements-dev.lock
	@# [tool.uv] environments, which uv repeats on every line, are what the whole file is for.
	@for lock in requirements.lock requirements-dev.lock; do \
	  sed -E "s/ and \(\(platform_machine == .* \\\\$$/ \\\\/; s/ ; python_full_version < '3\.13' \\\\$$/ \\\\/" \
	    $$lock >$$lock.new && mv $$lock.new $$lock; \
	done

.PHONY: clean
clean:
	rm -rf dist build .bench .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

.PHONY: distclean
distclean: clean
	rm -rf .venv
