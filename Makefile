# Two commands for a fresh machine: `make repro` and `make test`. README has what is behind them.
# `make repro offline=1` asks nothing of the web; edits=discard undoes changes by hand in data/dataset.
PYTHON ?= python3
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
export PATH := $(BIN):$(PATH)

# The programs in .venv name the folder that they were installed in. `make VENV=DIR` keeps its DIR.
ifeq ($(origin VENV)$(shell head -n 1 $(VENV)/bin/dvc 2>/dev/null | grep -vF "$(CURDIR)/" | cut -c 1-2),file\#!)
$(info $(CURDIR) was moved: setting up $(VENV) again)
$(shell rm -rf $(VENV))
endif

.PHONY: repro test start doctor push release classes lock store clean-cache
.DEFAULT_GOAL := repro

OFFLINE := $(if $(offline),ALLROUNDER_OFFLINE=$(offline))
# DVC knows local photos by their names only, and knows no test sets. So its run-cache may bring back
# a build of older photos: both questions are asked before and after dvc repro.
RELIST := dvc repro --force --single-item fetch_urls && dvc repro --force --single-item download
JUDGE := $(OFFLINE) dvc repro --force --single-item download && dvc repro --force --single-item clean

# Test sets decide which photos clean keeps, and so how many the download takes.
repro: $(VENV)/ready
	python scripts/check_params.py
	$(if $(filter discard,$(edits)),,@python scripts/corrections.py edits)
	@python scripts/check_params.py --relist || { $(RELIST); }
	$(if $(offline),,@python scripts/check_params.py --retry || dvc repro --force --single-item download)
	@python scripts/check_params.py --judge || { $(JUDGE); }
	$(OFFLINE) dvc repro
	@python scripts/check_params.py --relist || { $(RELIST) && $(OFFLINE) dvc repro; }
	@python scripts/check_params.py --judge || { $(JUDGE) && $(OFFLINE) dvc repro; }
	@python scripts/check_params.py --order || $(OFFLINE) dvc repro --force

test: $(VENV)/ready-dev
	ruff check .
	ruff format --check .
	mypy
	pytest

# make start d=DIR writes a params.yaml for a folder of class folders, or a CSV. o=FILE names another
# file to write, force=1 replaces one with edits.
start: $(VENV)/ready
	@python scripts/start.py $(if $(o),--output "$$o") $(if $(force),--force) -- "$$d"

# What keeps this clone from working, and the commands that mend it.
doctor: $(VENV)/ready
	@python scripts/doctor.py

# Pushes what the remote lacks: also after a push that was killed, which dvc push does not notice.
push: $(VENV)/ready
	@python scripts/push.py

# make release v=1.2.0: checks, pushes the data, writes the changelog, tags, says how to get it.
release: $(VENV)/ready
	@[ -n "$$v" ] || { echo "error: which version? make release v=1.2.0"; exit 2; }
	@python scripts/release.py -- "$$v"

# make classes q="folding chair" searches; make classes says which VOC labels have a class.
classes: $(VENV)/ready
	@if [ -n "$$q" ]; then python scripts/classes.py search -- "$$q"; else python scripts/classes.py voc; fi

# The embedded remote holds just the committed version's objects; run it before committing dvc.lock.
store: $(VENV)/ready
	rm -rf store
	python scripts/push.py
	git rm -r -q --cached --ignore-unmatch store
	git add -f store

# Lists that the web can give again. The next fetch_urls fetches what it needs.
clean-cache:
	rm -rf .allrounder/cache

# Write the pins again from pyproject.toml, for all platforms.
lock: $(VENV)/ready-dev
	python scripts/check_params.py --schema > params.schema.json
	PYTHONPATH=scripts python tests/params_reference.py > docs/params.md
	uv pip compile -q --universal --no-emit-index-url --python-version 3.11 pyproject.toml -o requirements.txt
	grep -oE '^(numpy|pillow|pillow-heif|simplejpeg)==[^ ]+' requirements.txt > scripts/allrounder/clean/decoders.txt
	uv pip compile -q --universal --no-emit-index-url --python-version 3.11 --extra s3 --extra gs --extra ssh -c requirements.txt pyproject.toml -o requirements-remotes.txt
	uv pip compile -q --universal --no-emit-index-url --python-version 3.11 --extra dev -c requirements.txt pyproject.toml -o requirements-dev.txt

$(VENV)/bin/python:
	@command -v $(PYTHON) >/dev/null || { echo "error: no $(PYTHON): install Python 3.11 or newer (Debian: apt install python3 python3-venv)"; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: $$($(PYTHON) --version) is too old: install Python 3.11 or newer, then: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 2; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "error: $(PYTHON) lacks venv: install it (Debian: apt install python3-venv)"; exit 2; }
	@$(PYTHON) -m venv $(VENV)

# The packages that the remotes in .dvc/config need, so that a team records them by naming its remote.
REMOTES := $(shell sed -nE 's,^ *url = (s3|gs|ssh|azure)://.*,dvc-\1,p' .dvc/config .dvc/config.local 2>/dev/null | sort -u)

$(VENV)/ready: $(VENV)/bin/python requirements.txt $(wildcard requirements-remotes.txt .dvc/config .dvc/config.local)
	pip install -q --disable-pip-version-check -r requirements.txt $(if $(REMOTES),-c requirements-remotes.txt $(REMOTES))
	@touch $@

$(VENV)/ready-dev: $(VENV)/ready requirements-dev.txt
	pip install -q --disable-pip-version-check -r requirements-dev.txt
	@touch $@
