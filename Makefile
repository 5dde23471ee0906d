# Two commands on a machine with Python 3.11+, make and git: `make demo` and `make test`. Everything else is got from package registries, under
# the names in pyproject.toml and the versions in constraints.txt, into .venv, and a Consul into the user's cache folder (tests/servers/).

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SCHEMAS := manifest plan events

# the first Python that is new enough; `make PYTHON=…` to choose
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$p"; break; }; done)

.PHONY: help
help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

.PHONY: demo
demo: servers  ## the main job, told step by step, on servers of its own
	@$(BIN)/python -m tests.servers.demo

.PHONY: demo-gateway
demo-gateway: servers  ## a gateway on a machine of its own: bytes of a client reach a database through the mesh (as root)
	@$(BIN)/python -m tests.servers.demo_gateway

.PHONY: test
test: lint servers  ## lint and every test, on real servers (ARGS='…' is passed to pytest)
	@$(BIN)/python -m tests.servers.actionlint_binary >/dev/null
	@$(BIN)/python -m tests.servers.debian_root >/dev/null
	@$(BIN)/pytest -n auto --dist worksteal $(ARGS)

.PHONY: lint
lint: $(READY)  ## ruff, mypy --strict, import contracts, schemas up to date
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check . || { echo 'not formatted: `make format` does it' >&2; exit 1; }
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@for name in $(SCHEMAS); do \
		$(BIN)/reconciler schema $$name | cmp -s - schemas/$$name.schema.json \
			|| { echo "schemas/$$name.schema.json is out of date: \`make schemas\` writes it anew" >&2; exit 1; }; \
	done

.PHONY: format
format: $(READY)  ## let ruff put the code in order
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format .

.PHONY: schemas
schemas: $(READY)  ## write schemas/ anew from the models
	@mkdir -p schemas
	@for name in $(SCHEMAS); do $(BIN)/reconciler schema $$name > schemas/$$name.schema.json.new \
		&& mv schemas/$$name.schema.json.new schemas/$$name.schema.json || exit 1; done

.PHONY: sandbox
sandbox: servers  ## leave a Consul and a Postgres running and print the environment to use them
	@$(BIN)/python -m tests.servers.sandbox start

.PHONY: sandbox-stop
sandbox-stop: $(READY)  ## stop what `make sandbox` started
	@$(BIN)/python -m tests.servers.sandbox stop

.PHONY: bench
bench: servers  ## measure, for 1, 10 and 100 units
	@$(BIN)/python -m tests.benchmarks $(ARGS)

.PHONY: servers
servers: $(READY)  ## get a Consul (built once from its Go module where there is none) and Postgres
	@$(BIN)/python -m tests.servers.consul_binary >/dev/null

.PHONY: constraints
constraints: $(READY)  ## write constraints.txt anew: the newest versions that pyproject.toml allows
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@sed -n '/^#/p' constraints.txt > constraints.txt.new
	@$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --no-header --no-annotate --no-emit-index-url \
		--group dev --group go pyproject.toml >> constraints.txt.new
	@mv constraints.txt.new constraints.txt

.PHONY: clean
clean:  ## remove what these commands made here (not the Consul in the cache folder)
	@if [ -e .sandbox ]; then $(MAKE) --no-print-directory sandbox-stop; fi
	rm -rf $(VENV) .sandbox .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage* dist build

# uv, where it is on PATH, is only quicker: what it cannot do here (another index, a proxy) pip does.
$(READY): pyproject.toml constraints.txt
	@[ -n "$(PYTHON)" ] || { echo 'Python 3.11 or later is needed: install it, or say where it is: make PYTHON=/path/to/python3' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$$($(PYTHON) --version) cannot make virtual environments;" \
		'on Debian and Ubuntu: apt install python3-venv' >&2; exit 1; }
	@[ -x $(BIN)/python ] && $(BIN)/python -c 'import pip' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV)
	@echo 'installing into $(VENV) …' >&2
	@if command -v uv >/dev/null && uv pip install --quiet --python $(BIN)/python --compile-bytecode -c constraints.txt --group dev -e . 2>/dev/null; \
		then :; else \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt 'pip>=25.1' \
		&& $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --group dev -e .; fi
	@touch $@
