# Two commands on a fresh machine: `make demo` and `make test`. Both set up .venv from requirements.lock first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PEERS := .venv-peers/.installed .venv-peers-stats/.installed
WORKERS ?= 3
PYTEST := $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal --max-worker-restart 0 --inline-snapshot disable
TRIALS := tests/trials tests/calibration tests/field tests/judging tests/actuators/test_flag_any_order.py \
  tests/http/test_rubric.py tests/store/test_every_bit.py tests/journey/test_kill.py \
  tests/simulation/test_run.py tests/simulation/test_examples.py tests/journey/test_cli.py tests/journey/test_first_steps.py \
  tests/journey/test_going_back_by_command.py tests/journey/test_demo.py
RUNS ?= 4000
LOOKS ?= 1000
HISTORIES ?= 400

.PHONY: demo pictures coverage-page test test-clickhouse test-warehouses test-traces test-instrumentations trial setup check check-static format bench bench-peers bench-warehouse calibrate field mutants lock

setup: $(STAMP)

$(STAMP): requirements.lock pyproject.toml clients/python/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Rampart needs Python 3.11 or newer; this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the pinned packages into .venv (a minute or so, once)…"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e . -e clients/python
	@touch $(STAMP)

demo: setup
	@$(BIN)/rollout demo $(ARGS)

# The picture in the README, taken anew from the demonstration; needs a Chromium.
pictures: setup
	@$(BIN)/python docs/images/take_pictures.py

# docs/coverage.md: which tests show what Rampart promises.
coverage-page: setup
	@$(BIN)/python -m tests.docs.promises

# WORKERS run side by side, each with a Postgres of its own: one more than two cores, as many tests wait. WORKERS=0 is one
# after the other, as for a debugger.
# What is compiled is kept, whatever PYTHONDONTWRITEBYTECODE says: each worker and each process that a test starts would
# compile all of it again.
test: setup
	@$(BIN)/python -m compileall -q -j 0 core bot clients/python/rampart_client
	PYTHONDONTWRITEBYTECODE= CHECK_PAYLOAD_TYPES=1 $(PYTEST) $(ARGS)

# What has a short form in `make test` in its long one (hours): every call fails, thousands of histories, 100,000 events.
trial: setup
	TRIAL=long $(PYTEST) $(TRIALS) $(ARGS)

# The tests of pulling on ClickHouse, which is too large to be installed for every run of the others.
test-clickhouse: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r bench/clickhouse.lock
	$(BIN)/python -m pytest --inline-snapshot disable tests/sources -k clickhouse $(ARGS)

# Compiles what BigQuery and Snowflake are asked with their own dialects (an environment of its own: they need an older
# protobuf), and compares it with what is written down.
test-warehouses: setup .venv-warehouses/.installed
	$(BIN)/python -m pytest --inline-snapshot disable tests/sources/test_hosted_warehouses.py $(ARGS)

# The tests of pulling traces from a real MLflow and a real Phoenix, and of moving an alias in MLflow's registry, each
# server in an environment of its own (some two GB).
test-traces: setup .venv-mlflow/.installed .venv-phoenix/.installed
	$(BIN)/python -m pytest --inline-snapshot disable tests/sources/test_trace_servers.py tests/actuators/test_real_mlflow.py $(ARGS)

# The tests of what instruments applications (an environment of its own, some 90 MB): they call models of a server on
# loopback and export to a running Rampart. JavaScript's are in it too (some 80 MB, by npm).
test-instrumentations: setup .venv-instrumentations/.installed .venv-instrumentations/javascript/.installed
	$(BIN)/python -m pytest --inline-snapshot disable tests/http/instrumentations $(ARGS)

check: check-static test

check-static: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	@! grep -nE '://|^--(index|extra|find|trusted)' requirements.lock bench/*.lock
	$(BIN)/lint-imports
	$(BIN)/mypy

bench: setup bench-peers
	@$(BIN)/python -m bench $(ARGS)

# A hundred million rows in DuckDB and in ClickHouse (some minutes, 6 GB of disk).
bench-warehouse: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r bench/clickhouse.lock
	@$(BIN)/python -m bench --only warehouse $(ARGS)

bench-peers: $(PEERS)

# The peers that figures are measured against live apart: nothing of Rampart needs them.
.venv-%/.installed: bench/%.lock
	@test -x .venv-$*/bin/python || $(PYTHON) -m venv .venv-$*
	@.venv-$*/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

.venv-instrumentations/javascript/.installed: tests/http/instrumentations/javascript/package-lock.json .venv-instrumentations/.installed
	@mkdir -p $(@D)
	@cp $(<D)/package.json $< $(@D)
	@cd $(@D) && npm ci --silent --ignore-scripts --no-audit --no-fund
	@touch $@

# How often the engine rolls back what does no harm, in many simulated rollouts (some twenty minutes).
calibrate: setup
	@$(BIN)/python -m bench.calibration --runs $(RUNS) --looks $(LOOKS) $(ARGS)

# What comes of whole rollouts in the field: harmless ones and fourteen harms, HISTORIES of each (hours at 400).
field: setup
	@$(BIN)/python -m bench.field --histories $(HISTORIES) $(ARGS)

# Changes the core in small ways, some at a time, and lists those that no test notices (an hour; ARGS="--only core/stats --most 50").
mutants: setup .venv-mutants/.installed
	@.venv-mutants/bin/python bench/mutants.py $(ARGS)

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Only after changing requirements*.in; needs uv.
lock:
	uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest --generate-hashes --no-header --no-annotate --no-emit-index-url requirements-dev.in -o requirements.lock
