# The product's own commands. `make` lists them.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest -p tests.isolation
DATABASE_TESTS := tests/unit tests/api tests/admin tests/commands
REAL_TESTS := tests/deployers tests/databases tests/caches tests/engines tests/openslides tests/routers tests/images \
	tests/embedded tests/browser

.DEFAULT_GOAL := help
.PHONY: help run test test-database test-real test-host test-chaos chaos lint format bench lock docs translations clean image host

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(VENV)/.base ## run the product on http://127.0.0.1:5000/admin/ (PORT=5001 make run: another port)
	@exec $(BIN)/python manage.py run

test: $(VENV)/.dev ## run all tests (unit and API tests on SQLite and on PostgreSQL, the real things, a booted host)
	@$(MAKE) --no-print-directory --jobs 3 --output-sync=line test-real test-chaos test-host

test-database: $(VENV)/.dev
	$(PYTEST) -n 2 $(DATABASE_TESTS)
	$(BIN)/python -m tests.postgresql $(PYTEST) -n 2 $(DATABASE_TESTS)

# The booted host, and chaos, mostly wait: they run beside what computes.
test-real: test-database
	$(PYTEST) -n 2 --dist loadfile $(REAL_TESTS)

test-chaos: test-database
	ROUNDS=0 POINTS=2 $(BIN)/python -m tests.chaos

test-host: $(VENV)/.dev
	$(PYTEST) tests/host

chaos: $(VENV)/.dev ## kill, fill, flush, race and cut the power, and print what became of it (ROUNDS=3 make chaos: every moment)
	$(BIN)/python -m tests.chaos

lint: $(VENV)/.dev ## ruff and mypy --strict
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	ENV_FILE=/dev/null DATA_DIR=$(VENV)/lint-data $(BIN)/mypy instances deployers images

format: $(VENV)/.dev ## bring the code into its format
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

bench: $(VENV)/.dev ## what a creation costs, and on a booted host (root) what 200 sleeping instances do
	$(BIN)/python -m bench.create
	$(BIN)/python -m bench.fleet

image: ## build the container images in /srv/openslides/images (needs root; RELEASES, IMAGE_DIR, DEBIAN_MIRROR, FORCE=1)
	@$(PYTHON) -B -m images $(or $(RELEASES),3.3 2.3)

host: $(VENV)/.host ## set this machine up for production, or upgrade it (root; DOMAIN=… ADMIN_PASSWORD=… make host; VARS=FILE, CHECK=1)
	@umask 022; LC_ALL=C.UTF-8 ANSIBLE_CONFIG=deployers/setup/ansible.cfg $(BIN)/python -m ansible playbook -i localhost, \
		deployers/setup/playbook.yml $(if $(filter-out 0,$(CHECK)),--check --diff)

lock: $(VENV)/.dev ## lock the requirements: requirements/*.in to *.txt with hashes
	for set in base production dev host; do \
		$(BIN)/uv pip compile --quiet --generate-hashes --universal --python-version 3.11 \
			requirements/$$set.in -o requirements/$$set.txt || exit 1; \
	done

docs: $(VENV)/.base ## make docs/settings.md of multiinstance/configuration.py
	$(BIN)/python manage.py settings_reference > docs/settings.md.new
	mv docs/settings.md.new docs/settings.md

translations: $(VENV)/.base ## bring locale/ up to date (needs gettext)
	$(BIN)/python manage.py makemessages --all --no-location --ignore .venv --ignore var
	$(BIN)/python manage.py compilemessages --ignore .venv --ignore var

clean: ## take away what was installed and built, but not var/
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache

# A stamp is written last, so an interrupted installation is done again; it is older than a lock file that changed.
$(VENV)/.base: requirements/base.txt | $(BIN)/python
	@echo "Installing what the product needs (once) …"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes -r requirements/base.txt
	@touch $@

$(VENV)/.dev: requirements/dev.txt | $(BIN)/python
	@echo "Installing what the tests need (once) …"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@ $(VENV)/.base

$(VENV)/.host: requirements/host.txt | $(BIN)/python
	@echo "Installing Ansible (once) …"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes -r requirements/host.txt
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Python 3.11 or later is needed. Install it, or name it: PYTHON=/path/to/python3.11 make run"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "Python's venv module is missing. Install it: sudo apt-get install python3-venv"; exit 1; }
	@echo "Making a virtual environment in $(VENV) …"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }
