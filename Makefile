# Every target that needs it does its own set-up first: `make demo` or `make test` may be the first command ever.

PYTHON ?= python3
SETUP := $(PYTHON) tools/bootstrap.py
# The environment's commands come first; Debian keeps daemons where an ordinary user's PATH does not look.
RUN := PATH="$(CURDIR)/.venv/bin:$$PATH:/usr/sbin:/sbin" .venv/bin/python
ARGS ?=

unexport PYTHONPATH PYTHONHOME
.DEFAULT_GOAL := help
.PHONY: help setup demo test check bench faults minio format package lock clean

help:  ## Show this list
	@sed -n 's/^\([a-z]*\):  *## /\1\t/p' Makefile | while IFS="$$(printf '\t')" read -r name text; do \
		printf '  make %-8s %s\n' "$$name" "$$text"; done

setup:  ## Do the whole set-up and nothing else
	@$(SETUP) all

demo:  ## Show the main job end to end (DEMO_CLIPS=n, STORE=seaweedfs|minio, SOURCE=replay|rtsp)
	@$(SETUP) demo$(if $(filter rtsp,$(SOURCE)),-rtsp)
	@$(RUN) -m tools.demo

test:  ## Run every test (ARGS="-k name" for some)
	@$(SETUP) test
	@$(RUN) -m pytest $(ARGS)

check:  ## Lint, format, the laws, types of device files and tools, compile for the board
	@$(SETUP) check
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check --quiet . || { echo 'run: make format'; exit 1; }
	@$(RUN) -m tools.check_laws
	@$(RUN) -m tools.check_device
	@$(RUN) -m mypy

bench:  ## Measure, print the table, write build/bench.json (ARGS="P1 P5" for some)
	@$(SETUP) bench
	@$(RUN) -m tools.bench $(ARGS)

faults:  ## Cut the power at every write to the card, break the card; write build/faults.json
	@$(SETUP) faults
	@$(RUN) -m tools.faults $(ARGS)

minio:  ## Build the MinIO server into the per-user cache
	@$(SETUP) minio
	@$(RUN) -m tools.gobuild minio

format:  ## Sort imports and format
	@$(SETUP) check
	@$(RUN) -m ruff check --fix --select I --quiet .
	@$(RUN) -m ruff format .

package:  ## Write package.json anew from the device files
	@$(SETUP) check
	@$(RUN) -m tools.mip_package

# uv resolves for every supported Python and platform at once and adds the digest of every archive.
LOCK := uv pip compile --universal --python-version 3.10 --generate-hashes --no-emit-index-url \
	--custom-compile-command "make lock" --quiet

lock:  ## Pin newer packages (needs uv)
	@$(LOCK) --upgrade --all-extras pyproject.toml -o requirements.lock
	@$(LOCK) --upgrade stubs.in -o stubs.lock

clean:  ## Remove what was built; .venv/ stays
	@rm -rf build
	@find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
