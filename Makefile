# make run serves, make test checks. Packages are installed in .venv; site data lives in var/ (MNM_VAR).
# Where to listen: TMTP_BIND (default 127.0.0.1:7443) and MNM_HTTP (default 127.0.0.1:8000), from the environment.

SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
PY := .venv/bin/python
# Python compiles a module when it is first imported, and keeps the result: without it each process compiles everything.
unexport PYTHONDONTWRITEBYTECODE
# Install the packages of files, and print a line for each. uv takes a quarter of pip's time, which is used if uv cannot be
# installed, or does not find the packages: it does not read pip's settings.
PIP = $(PY) -m pip install --disable-pip-version-check --progress-bar off
define install
	$(PIP) --quiet uv && $(PY) -m uv pip install --python $(PY) $(1:%=-r %) || \
		$(PIP) --no-compile $(1:%=-r %) | $(PRINT)
endef
PRINT = awk '/^Collecting / { print "  " $$2 } /^Installing / { print "  unpacking them" } { fflush() }'

.PHONY: help setup run hello test test-app test-servers test-site test-browser test-postgresql-app test-postgresql-site lint bench bench-cluster faults fuzz soak docs screenshots messages requirements clean

help:
	@echo 'make setup   install in .venv what the site and its tests need'
	@echo 'make run     serve: TMTP, website and worker, until Ctrl-C'
	@echo 'make hello   show a message in this terminal: a service, a device and a message to it'
	@echo 'make test    lint, types, tests on SQLite, and again on PostgreSQL where that matters'
	@echo 'make lint    lint, types and known vulnerabilities of dependencies only'
	@echo 'make bench   measure the speed of the service'
	@echo 'make bench-cluster  measure several processes, and several servers over one database'
	@echo 'make faults  kill, stop, cut off and fill what the service needs, many times, while clients post'
	@echo 'make fuzz    look for octets that break a promise, some minutes for each target (MINUTES=5)'
	@echo 'make soak    see whether the service gives everything back when clients have gone, for an hour (MINUTES=60)'
	@echo 'make docs    make a website of the documentation, build/docs/index.html'
	@echo 'make screenshots   make the pictures in docs/ again'
	@echo 'make messages  write new texts of the sources into the catalogues of translations'
	@echo 'make requirements  make requirements*.txt from pyproject.toml'
	@echo 'make clean   remove what was built, and .venv; var/ stays'

setup: .venv/installed-test translations

# Python brings a wheel of pip. To unpack it is enough; venv installs it, and compiles all of it, which takes seconds.
# Without a command in bin, `pip` in an activated .venv would be another Python's.
export UNPACK_PIP := import ensurepip, pathlib, sysconfig, zipfile; \
	wheel, = pathlib.Path(ensurepip.__file__).with_name('_bundled').glob('pip-*.whl'); \
	zipfile.ZipFile(wheel).extractall(sysconfig.get_path('purelib')); \
	command = pathlib.Path(sysconfig.get_path('scripts'), 'pip'); \
	command.write_text('\#!/bin/sh\nexec "$${0%/*}/python" -m pip "$$@"\n'); \
	command.chmod(0o755)

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo 'Python 3.11 or later is needed, and was not found' >&2; exit 1; }
	$(PYTHON) -m venv --without-pip .venv && $(PY) -c "$$UNPACK_PIP" 2>/dev/null || $(PYTHON) -m venv --clear .venv || \
		{ rm -rf .venv; exit 1; }

.venv/installed: requirements.txt | .venv/bin/python
	@echo 'Installing the packages of requirements.txt in .venv, about 60 with what they need:'
	@$(call install,requirements.txt)
	@touch $@

# That file names the other one.
.venv/installed-test: requirements.txt requirements-test.txt | .venv/bin/python
	@echo 'Installing the packages of requirements-test.txt in .venv, about 110 with what they need:'
	@$(call install,requirements-test.txt)
	@touch .venv/installed $@

# A mistake in a catalogue is shown, and tests find it.
.PHONY: translations
translations: | .venv/installed
	@$(PY) tools/translations.py || true

run: .venv/installed translations
	@$(PY) manage.py tmtpcert
	@$(PY) manage.py tmtpvapid --verbosity=0
	@$(PY) manage.py serve

# The service may be running already (make run): this one then ends, and the device connects to that one.
hello: .venv/installed
	@$(PY) manage.py tmtpcert
	@$(PY) manage.py tmtpvapid --verbosity=0
	@$(PY) manage.py migrate --verbosity=0
	@$(PY) manage.py runtmtp 2>/dev/null & trap "kill $$! 2>/dev/null; wait" EXIT; \
	$(PY) manage.py tmtplisten "ann of rome" --hello --once

# Python compiles a module when it is first imported, and Hypothesis finds out once what texts there are, and keeps it. Runs
# that all begin at once would each do all of that. So after an installation, three processes do it first.
.venv/compiled: .venv/installed-test | translations
	@$(PY) -m pytest --quiet --collect-only tmtp/tests >/dev/null & \
		$(PY) -m pytest --quiet --collect-only $(SITE) >/dev/null & \
		$(PY) -c 'import channels_redis.core, daphne.cli; from hypothesis.strategies import text; text().validate()'; wait
	@touch $@

# More runs than processors, since some wait for clocks and disks; those that take longest begin. But not all at once: they
# would displace each other from the processors' caches, and take a third more of their time. What they say comes when one
# ends. Those on SQLite migrate a database once, in a folder for all (tmtp/tests/databases.py).
test: setup .venv/compiled
	@export TMPDIR=$$($(PY) tools/temporary_folder.py); trap 'rm -rf "$$TMPDIR"' EXIT; export TEST_TEMPLATES=$$TMPDIR; \
	$(MAKE) --no-print-directory --jobs=$$((2 * $$(nproc) + 1)) --output-sync=target test-site test-app test-postgresql-app \
		test-browser test-servers test-postgresql-site lint

# Everything runs on SQLite: the app on the smallest settings (tmtp/tests/settings.py), all else on the site's.
test-app: setup
	$(PY) -m pytest tmtp/tests $(SERVERS:%=--ignore=%)

# Of the app's tests, those that wait for servers most of their time.
SERVERS := $(patsubst %,tmtp/tests/test_%.py,before_login console conversations crash database_loss engine faults \
	pooled_database processes sites two_hosts two_servers)
test-servers: setup
	$(PY) -m pytest $(SERVERS)

SITE := tmtp/admin tmtp/api tmtp/delivery tmtp/mailbox tmtp/notices tmtp/pages tmtp/web accounts mnmsite
test-site: setup
	$(PY) -m pytest $(SITE) $(BROWSER:%=--ignore=%)

# Of the tests of apps and site, those that share a website, a browser or a provider of identities.
BROWSER := $(wildcard tmtp/*/tests/test_browser.py) tmtp/mailbox/tests/test_in_a_site.py tmtp/notices/tests/test_settings.py \
	$(patsubst %,accounts/tests/test_%.py,openid passkeys signin_browser web_device) accounts/provider/tests/test_device.py \
	$(patsubst %,mnmsite/tests/test_%.py,admin every_page pages walk websocket)
test-browser: setup
	$(PY) -m pytest $(BROWSER)

# And again, what has to do with the database.
test-postgresql-app: setup
	$(PY) -m pytest --database=postgresql -m "not once" tmtp/tests

test-postgresql-site: setup
	$(PY) -m pytest --database=postgresql -m "not once" $(SITE)

lint: lint-code lint-packages

.PHONY: lint-code lint-packages
lint-code: setup
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

# It waits for PyPI most of its time.
lint-packages: setup
	$(PY) tools/audit.py

bench: setup
	$(PY) -m benchmarks

bench-cluster: setup
	$(PY) -m benchmarks.cluster

faults: setup
	$(PY) -m tmtp.tests.faults

fuzz: setup
	$(PY) -m tmtp.tests.fuzz $(MINUTES:%=--minutes %)

soak: setup
	$(PY) -m benchmarks.soak $(MINUTES:%=--minutes %) $(PROCESSES:%=--processes %) $(DATABASE:%=--database %)

# The packages that make the website import nothing of the project: they have an environment of their own.
build/docs-tools/installed: requirements-docs.txt
	$(PYTHON) -m venv build/docs-tools
	@echo 'Installing the packages of requirements-docs.txt in build/docs-tools:'
	@build/docs-tools/bin/python -m pip install --disable-pip-version-check --progress-bar off -r $< | $(PRINT)
	@touch $@

# NO_MKDOCS_2_WARNING: Material will be maintained for security alone from May 2027 on; its successor reads the same mkdocs.yml.
docs: build/docs-tools/installed
	NO_MKDOCS_2_WARNING=1 build/docs-tools/bin/mkdocs build

screenshots: setup
	$(PY) -m mnmsite.tests.screenshots docs

messages: setup
	$(PY) tools/messages.py

requirements: setup
	$(PY) tools/requirements.py

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
