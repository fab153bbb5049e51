# The one door: every command that a developer, a packager or CI needs. `make help` lists them.
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DESTDIR ?=
PREFIX ?= /usr/local
NAME := user-session-monitor
APP := $(PREFIX)/lib/$(NAME)
SHARE := $(PREFIX)/share
CONFIG := /etc/$(NAME)
MODULES := usm usm/core usm/core/programs usm/core/rules usm/review usm/sources usm/channels usm/transport
KILLS ?= 200
TESTS ?=
VERSION := $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' usm/__init__.py)
# A pyenv or a virtual environment on the PATH would leave its mark in a package.
SYSTEM := /usr/sbin:/usr/bin:/sbin:/bin

.PHONY: help deps build deb rpm repo bump package-test box vagrant-test run demo test check format lint types docs coverage kill-test system-test generated record fuzz soak bench clean install uninstall install-service
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

deps: $(VENV)/.ready ## make the virtual environment; on Debian, as root, also what it is made from
$(VENV)/.ready: pyproject.toml .ci/system-packages
	@.ci/system-packages
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

build: deps ## a wheel and a source archive in dist/
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct 2>/dev/null || stat -c %Y pyproject.toml) $(BIN)/python -m build --outdir dist .

# What is packaged is what is committed; of an unpacked source archive, what is there.
define export
rm -rf $(1) && mkdir -p $(1) dist
if git rev-parse --git-dir >/dev/null 2>&1; then git archive HEAD; else tar -c --exclude=./build --exclude=./dist .; fi \
  | tar -x -C $(1)
endef

deb: ## a Debian package in dist/; needs debhelper and dh-python
	$(call export,build/deb/$(NAME))
	cd build/deb/$(NAME) && PATH=$(SYSTEM) dpkg-buildpackage -us -uc
	cp build/deb/*.deb dist/

# --nodeps: what it needs may be another system's packages. The source package by itself and from here, because the
# place where it was made would be written into it, and what it is into the other.
rpm: ## an RPM and its source package in dist/; needs rpmbuild and pip
	$(call export,build/rpm/$(NAME)-$(VERSION))
	mkdir -p build/rpm/SOURCES
	tar -c --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 --mode=u=rwX,go=rX -C build/rpm $(NAME)-$(VERSION) | gzip -n \
	  > build/rpm/SOURCES/$(NAME)-$(VERSION).tar.gz
	$(PYTHON) -m pip --quiet --disable-pip-version-check download --no-deps --only-binary=:all: --require-hashes \
	  --dest build/rpm/SOURCES --requirement rpm/vendor.txt
	cp build/rpm/$(NAME)-$(VERSION)/rpm/$(NAME).spec build/rpm/
	chmod 644 build/rpm/SOURCES/* build/rpm/$(NAME).spec && touch --date=@0 build/rpm/SOURCES/* build/rpm/$(NAME).spec
	cd build/rpm && PATH=$(SYSTEM) rpmbuild --quiet --nodeps -D '_topdir .' -bs $(NAME).spec
	PATH=$(SYSTEM) rpmbuild --quiet --nodeps -D '_topdir $(CURDIR)/build/rpm' -bb build/rpm/$(NAME).spec
	cp build/rpm/RPMS/noarch/*.rpm build/rpm/SRPMS/*.rpm dist/

repo: ## a signed apt and a signed dnf/zypper repository of dist/ in dist/repo: KEY= of gpg's, URL= where it will be
	@[ -n "$(KEY)" ] || { echo 'make repo KEY=...: say who signs; docs/publishing.md tells how to make a key' >&2; exit 2; }
	.ci/repository dist dist/repo '$(KEY)' '$(or $(URL),file://$(CURDIR)/dist/repo)'

bump: ## give the program and its packages the version NEW=
	@[[ "$(NEW)" =~ ^[0-9]+\.[0-9]+\.[0-9]+$$ ]] || { echo 'make bump NEW=1.2.3' >&2; exit 2; }
	.ci/bump '$(NEW)'

run: deps ## watch this machine and print to the terminal; without a log, play a recorded day
	@$(BIN)/usm run --or-demo

demo: deps ## play a recorded day
	@$(BIN)/usm demo

test: deps ## all tests
	$(BIN)/pytest

check: format lint types coverage ## format, lint, types, tests with coverage, docs: what CI calls

format: deps
	$(BIN)/ruff format --check .
lint: deps
	$(BIN)/ruff check .
types: deps
	$(BIN)/mypy
docs: deps ## only the tests of the documentation
	$(BIN)/pytest tests/test_docs.py
coverage: deps
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(TESTS)
	$(BIN)/coverage report --fail-under=95
	$(BIN)/coverage report --include='usm/core/*,usm/channels/*' --fail-under=100

generated: deps ## make the shell completions and user-session-monitor.yaml(5) anew, from the code and the docs
	$(BIN)/python -m tests.completion && $(BIN)/python -m tests.manual

kill-test: deps ## 1,000 SIGKILLs at random moments (the ordinary run has 200)
	USM_KILLS=1000 $(BIN)/pytest tests/test_kill.py
system-test: deps ## real sshd, and booted Debian 12 and 13 (needs root); skipping is failing
	USM_REQUIRE_SYSTEM=1 $(BIN)/pytest tests/system

package-test: deps build/deploy ## the packages and the Ansible role in booted systems: from build and signature to removal (needs root)
	.ci/system-packages packages
	$(BIN)/pytest tests/packages

build/deploy: pyproject.toml # Ansible and its linters, which need a newer Python than the program
	$(PYTHON) -m venv $@ && $@/bin/pip install --quiet --disable-pip-version-check '.[deploy]' && touch $@

box: ## Debian boxes for Vagrant's lxc provider in build/box, made from this host's mirror (needs root)
	.ci/system-packages vagrant
	.ci/box bookworm build/box/debian12.box
	.ci/box trixie build/box/debian13.box

vagrant-test: build/deploy ## `vagrant up debian12 debian13`, a login on each, a second provision, destroy (needs root)
	.ci/system-packages packages && .ci/system-packages vagrant
	test -e build/box/debian13.box || $(MAKE) box
	$(MAKE) deb
	.ci/vagrant/try debian12 debian13

record: deps ## make the recordings in tests/data anew (needs root; some 5 minutes)
	$(BIN)/python -m tests.system.record && $(BIN)/python -m tests.system.record machines
fuzz: deps ## break recorded lines in every way for 30 minutes of CPU time
	$(BIN)/python -m tests.fuzz --seconds 1800

soak: deps ## the daemon for two hours at 50 sessions a minute, with rotations and reloads (CI: ten minutes)
	$(BIN)/python tests/bench/soak.py --minutes 120

bench: deps ## the table of figures, beside grep and cat
	$(BIN)/python tests/bench/bench.py
	$(BIN)/python tests/bench/storm.py

clean: ## remove what was built
	rm -rf $(VENV) build dist .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

install: ## install into $(DESTDIR)$(PREFIX), for the system's Python; needs its yaml, requests, daemon, lockfile
	for module in $(MODULES); do \
	  install -d $(DESTDIR)$(APP)/$$module && install -m 644 $$module/*.py $(DESTDIR)$(APP)/$$module/ || exit 1; done
	install -m 644 usm/demo.log usm/config.example.yaml $(DESTDIR)$(APP)/usm/
	install -d $(DESTDIR)$(PREFIX)/bin
	printf '#!/usr/bin/python3 -I\nimport sys\nsys.dont_write_bytecode = True\nsys.path.insert(0, "%s")\nfrom usm.cli import main\nsys.exit(main())\n' '$(APP)' \
	  > $(DESTDIR)$(PREFIX)/bin/$(NAME)
	chmod 755 $(DESTDIR)$(PREFIX)/bin/$(NAME)
	ln -sf $(NAME) $(DESTDIR)$(PREFIX)/bin/usm
	install -d $(DESTDIR)$(SHARE)/man/man8 $(DESTDIR)$(SHARE)/man/man5 \
	  $(DESTDIR)$(SHARE)/bash-completion/completions $(DESTDIR)$(SHARE)/zsh/site-functions
	install -m 644 docs/man/*.8 $(DESTDIR)$(SHARE)/man/man8/
	install -m 644 docs/man/*.5 $(DESTDIR)$(SHARE)/man/man5/
	install -m 644 docs/completion/$(NAME).bash $(DESTDIR)$(SHARE)/bash-completion/completions/$(NAME)
	ln -sf $(NAME) $(DESTDIR)$(SHARE)/bash-completion/completions/usm
	install -m 644 docs/completion/_$(NAME) $(DESTDIR)$(SHARE)/zsh/site-functions/
	install -d -m 750 $(DESTDIR)$(CONFIG)
	test -e $(DESTDIR)$(CONFIG)/config.yaml || install -m 640 usm/config.example.yaml $(DESTDIR)$(CONFIG)/config.yaml

uninstall: ## remove the program; configuration and state stay
	rm -rf $(DESTDIR)$(APP)
	rm -f $(DESTDIR)$(SHARE)/man/man8/{$(NAME),usm}.8 $(DESTDIR)$(SHARE)/man/man5/$(NAME).yaml.5 \
	  $(DESTDIR)$(SHARE)/bash-completion/completions/{$(NAME),usm} $(DESTDIR)$(SHARE)/zsh/site-functions/_$(NAME)
	rm -f $(DESTDIR)$(PREFIX)/bin/$(NAME) $(DESTDIR)$(PREFIX)/bin/usm $(DESTDIR)/etc/systemd/system/$(NAME).service \
	  $(DESTDIR)/etc/sysusers.d/$(NAME).conf $(DESTDIR)/etc/tmpfiles.d/$(NAME).conf

install-service: install ## install, and a systemd unit that runs it as its own user
	install -d $(DESTDIR)/etc/systemd/system $(DESTDIR)/etc/sysusers.d $(DESTDIR)/etc/tmpfiles.d
	sed 's|@PREFIX@|$(PREFIX)|' docs/systemd/$(NAME).service > $(DESTDIR)/etc/systemd/system/$(NAME).service
	install -m 644 docs/systemd/sysusers.conf $(DESTDIR)/etc/sysusers.d/$(NAME).conf
	install -m 644 docs/systemd/tmpfiles.conf $(DESTDIR)/etc/tmpfiles.d/$(NAME).conf
	@if [ -z "$(DESTDIR)" ] && [ -d /run/systemd/system ]; then \
	  systemd-sysusers $(NAME).conf && systemd-tmpfiles --create $(NAME).conf && systemctl daemon-reload; fi
	@echo "Start it with: systemctl enable --now $(NAME)"
