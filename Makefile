# `make` alone lists the targets. Everything lives in .venv; delete it to start over.
#
# What is installed is a copy of the sources (no editable build). A stamp named after their
# contents says that the copy is current: a file changed, added or removed asks for a new one.

PYTHON ?= python3
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

# program:package: where the program is missing, that Debian package brings it
TEST_NEEDS := cc:gcc tshark:tshark tcpdump:tcpdump promtool:prometheus ip:iproute2 groff:groff-base ethtool:ethtool \
	curl:curl openssl:openssl /usr/sbin/dovecot:dovecot-core /usr/lib/dovecot/imap-login:dovecot-imapd \
	/usr/lib/dovecot/pop3-login:dovecot-pop3d pg_ctlcluster:postgresql \
	chromium:chromium bzip2:bzip2 xz:xz-utils zip:zip zstd:zstd

digest = $(shell find $(1) -type f -not -name '*.py[co]' -print0 \
	| LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -c 1-16)
SOURCES := $(call digest,parsers sniffer pyproject.toml setup.py MANIFEST.in README.md LICENSE)
MADE := $(VENV)/stamps/made
INSTALLED := $(VENV)/stamps/installed-$(SOURCES)
COMPILED := $(VENV)/stamps/compiled-$(SOURCES)
EQUIPPED := $(VENV)/stamps/equipped-$(call digest,pyproject.toml)

MAKEFLAGS += --no-print-directory
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.NOTPARALLEL:
.DEFAULT_GOAL := help
.PHONY: help run build test lint fix golden pcaps fuzz bench soak docs wheel deb debian

help:
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-7s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(INSTALLED) ## HelloWatch on pcaps/office.pcapng; IFACE=eth1: on that interface
	@exec $(BIN)/hellowatch run --format table $(if $(IFACE),-i '$(IFACE)',--replay pcaps/office.pcapng)

build: $(COMPILED) ## compile what changed and install it into .venv

test: debian $(COMPILED) $(EQUIPPED) lint ## install what tests need; lint; all tests, compiled and interpreted
	@echo '== tests of what is installed: compiled'
	env -u PYTHONPATH HELLOWATCH_EXPECT=compiled $(BIN)/pytest -n 2
	echo '== tests of the sources as they lie here: interpreted'
	PYTHONPATH='$(CURDIR)' HELLOWATCH_EXPECT=interpreted $(BIN)/pytest -n 2

lint: $(EQUIPPED) ## ruff, mypy --strict, and that imports between rooms point down
	@$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fix: $(EQUIPPED) ## mend what ruff can mend
	@$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

pcaps: debian $(EQUIPPED) ## play the captures in pcaps/ anew, and write what they hold
	@PYTHONPATH='$(CURDIR)' $(BIN)/python tools/make_pcaps.py
	PYTHONPATH='$(CURDIR)' $(BIN)/python tools/make_program_pcaps.py || echo 'Those of programs stay as they are.'
	PYTHONPATH='$(CURDIR)' $(BIN)/python tools/make_discovery_pcaps.py || echo 'Those of names stay as they are.'
	$(MAKE) golden

golden: debian $(EQUIPPED) ## write what pcaps/ and the kinds of case hold, as tshark reads it
	@PYTHONPATH='$(CURDIR)' $(BIN)/python tools/expect_with_tshark.py
	PYTHONPATH='$(CURDIR)' $(BIN)/python tools/expect_kinds.py

fuzz: debian $(COMPILED) $(EQUIPPED) ## fuzz parsers and tracker, also under AddressSanitizer; SECONDS=600
	@$(BIN)/python tests/fuzz/long.py $(or $(SECONDS),600)

soak: $(COMPILED) $(EQUIPPED) ## no hello in OCTETS=1000000000 random ones (more of it later)
	@env -u PYTHONPATH $(BIN)/python tests/soak/false_hellos.py $(or $(OCTETS),1000000000)

bench: $(COMPILED) ## speed beside other programs, as ratios; BENCH='--octets 50000000 mixed'
	@env -u PYTHONPATH $(BIN)/python tests/bench/compare.py $(BENCH)

docs: $(INSTALLED) ## man pages, made of the commands' own help, into build/man
	@$(BIN)/python -I tools/make_man.py build/man
	echo 'Look at one: man -l build/man/hellowatch.1'

wheel: ## (later) wheels for every platform
deb: ## (later) the Debian package
wheel deb:
	@echo 'make $@: not built yet' >&2
	exit 2

# Debian splits Python: the C headers and venv are packages of their own.
HAS_HEADERS = $(PYTHON) -c 'import pathlib, sys, sysconfig; \
	sys.exit(not pathlib.Path(sysconfig.get_path("include"), "Python.h").exists())'

# What cannot be installed is printed. CI stops there, elsewhere its tests are skipped.
debian:
	@missing=
	for need in $(TEST_NEEDS); do
		command -v "$${need%:*}" >/dev/null || missing+=" $${need#*:}"
	done
	$(HAS_HEADERS) || missing+=' python3-dev'
	if [ -n "$$missing" ]; then
		tools/install_debian.sh $$missing || [ "$${CI:-}" != true ]
	fi

$(COMPILED): export HELLOWATCH_REQUIRE_EXT = 1
$(COMPILED) $(INSTALLED): | $(MADE)
	@rm -f $(VENV)/stamps/installed-* $(VENV)/stamps/compiled-*
	echo 'Building and installing into $(VENV)'
	$(PIP) install .
	touch $(INSTALLED)
	if $(BIN)/python -I -c 'import sys, parsers; sys.exit(not parsers.compiled())'; then
		touch $(COMPILED)
	else
		echo 'No working C compiler or no Python.h: installed interpreted, many times slower.'
	fi

$(EQUIPPED): | $(MADE)
	@rm -f $(VENV)/stamps/equipped-*
	echo 'Installing what lint and tests need into $(VENV)'
	runtime='import tomllib; print(*tomllib.load(open(0, "rb"))["project"]["dependencies"], sep="\n")'
	$(BIN)/python -c "$$runtime" <pyproject.toml >$(VENV)/runtime.txt
	$(PIP) install -r $(VENV)/runtime.txt --group lint --group test
	touch $@

$(MADE):
	@if ! $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
		echo 'HelloWatch needs Python 3.11 or newer: make PYTHON=python3.11' >&2
		exit 1
	fi
	missing=
	$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || missing=' python3-venv'
	$(HAS_HEADERS) || missing+=' python3-dev'
	if [ -n "$$missing" ]; then
		tools/install_debian.sh $$missing || [ "$$missing" = ' python3-dev' ]
	fi
	$(PYTHON) -m venv --clear $(VENV)
	mkdir $(VENV)/stamps
	$(PIP) install --upgrade 'pip>=25.1'
	touch $@
