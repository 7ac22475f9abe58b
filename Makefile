# Every target does its own set-up, in .venv and nowhere else: `make demo` works in a fresh clone.
#
#   make PYTHON=/usr/bin/python3.12   another interpreter than the first fitting one
#   make test ARGS="-k journal -x"    what pytest is to be told besides
#
# As root on Debian and its kin, packages that are missing are installed with apt-get. Anywhere else
# nothing outside the checkout is touched; what is missing is named, with what it costs.

ifeq ($(filter oneshell,$(.FEATURES)),)
  $(error This needs GNU make 3.82 or newer; on macOS: brew install make, then say gmake)
endif
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:
.NOTPARALLEL:
.DEFAULT_GOAL := help

# ip and nft live in sbin, which an ordinary user's PATH leaves out, and root's too after plain `su`.
export PATH := $(PATH):/usr/sbin:/sbin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# What these name would stand before the packages of the environment.
unexport PYTHONPATH PYTHONHOME

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PYTHONS := $(or $(PYTHON),python3.13 python3.12 python3.11 python3)
# program:package; what comes of their absence is said by the `system` target
SYSTEM := ip:iproute2 nft:nftables strace:strace mkfs.ext4:e2fsprogs fusermount3:fuse3 \
  dbus-run-session:dbus gnome-keyring-daemon:gnome-keyring

# Scripts and the editable install hold absolute paths, and the interpreter may have been removed:
# an environment that does not run, or was made for another place, is made anew.
ifneq ($(shell $(BIN)/python -c 'print(open("$(READY)").read())' 2>/dev/null),$(CURDIR))
  $(shell rm -f $(READY))
endif

# Shell functions for the recipes. A bare machine has no package lists, hence the second try.
define FUNCTIONS
can_install() { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; }
install_packages() {
  echo "Installing $$* with apt-get."
  local said try="env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends"
  said=$$({ $$try "$$@" || { apt-get update -qq && $$try "$$@"; }; } 2>&1 </dev/null) && return
  echo "$$said" >&2
  return 1
}
# Prints the first interpreter that is new enough, preferring those that can make environments.
find_python() {
  local python fits=
  for python in $(PYTHONS); do
    "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue
    if "$$python" -c 'import ensurepip, venv' 2>/dev/null; then echo "$$python"; return; fi
    fits=$${fits:-$$python}
  done
  echo "$$fits"
}
endef

.PHONY: help
help: ## show this list
	@echo "usage: make TARGET"
	awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-8s%s\n", $$1, $$2 }' Makefile

.PHONY: demo
demo: $(READY) system ## the whole story on this machine: connect, break the network, recover, restore
	@exec $(BIN)/resilience demo $(ARGS)

.PHONY: test
test: $(READY) system ## every test that can run here; ends with what could not, and why
	@exec $(BIN)/python -m pytest --no-header $(ARGS)

.PHONY: check
check: $(READY) ## style, types, import contracts, diagrams, and the wheel in an empty environment
	@failed=0
	step() {
	  printf '%-34s' "$$1"; shift
	  if output=$$("$$@" 2>&1); then echo ok; else failed=1; printf 'FAILED: %s\n%s\n\n' "$$*" "$$output"; fi
	}
	step "ruff: rules" $(BIN)/ruff check
	step "ruff: format" $(BIN)/ruff format --check
	step "mypy: types" $(BIN)/mypy
	# Tests look at one attribute before and after something happened; mypy believes it cannot have changed.
	step "mypy: types of the tests" $(BIN)/mypy --disable-error-code=comparison-overlap --no-warn-unreachable tests
	step "import-linter: who knows whom" $(BIN)/lint-imports --no-logo
	step "diagrams: as the table says" $(BIN)/python -m diagrams --check
	step "wheel: built, installed, run" $(BIN)/python -m pytest -q tests/test_wheel.py
	exit $$failed

.PHONY: bench
bench: $(READY) system ## the race against other clients under the same faults, and what it all costs
	@exec $(BIN)/python -m simulations bench $(ARGS)

.PHONY: race
race: $(READY) system ## bench beside gRPC, websockets, NATS, MQTT and mosh too, installed for it; draws docs/race.svg
	@$(BIN)/python -m simulations.field.install
	exec $(BIN)/python -m simulations bench --plot docs/race.svg $(ARGS)

.PHONY: verify
verify: $(READY) ## the proof: a campaign of simulated trouble, judged against every bar
	@exec $(BIN)/python -m simulations verify $(ARGS)

.PHONY: slice
slice: $(READY) ## the simulated runs before every merge, all regressions first, and whether traces are as elsewhere
	@$(BIN)/python -m simulations run --ci --no-keep --out build/slice $(ARGS)
	exec $(BIN)/python -m simulations fingerprints

.PHONY: field
field: $(READY) system ## the named stories on real interfaces, in network namespaces
	@exec $(BIN)/python -m simulations field $(ARGS)

.PHONY: mutants
mutants: $(READY) ## does the harness find bugs? plants faults one at a time, and hunts each with the slice
	@exec $(BIN)/python -m simulations mutants $(ARGS)

.PHONY: clean
clean: ## remove the environment, caches and everything built
	@rm -rf $(VENV) build dist *.egg-info .*_cache .hypothesis .coverage*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: system
system:
	@$(FUNCTIONS)
	lacking() {
	  for need in $(SYSTEM); do
	    command -v "$${need%:*}" >/dev/null || echo "$${need#*:}"
	  done
	}
	if [ "$$(uname)" != Linux ]; then
	  echo "Tests on real interfaces are left out, and the demo stays on loopback: this is not Linux."
	  echo "Tests against a real gnome-keyring are left out too."
	  exit
	fi
	packages=$$(lacking)
	if [ -n "$$packages" ] && can_install; then
	  install_packages $$packages || echo "apt-get failed; going on without."
	fi
	why=
	case $$(lacking) in
	*iproute2*) why="there is no iproute2" ;;
	*nftables*) echo "There is no nftables: routes drop the packets instead." ;;
	esac
	case $$(lacking) in
	*strace* | *e2fsprogs* | *fuse3*) echo "Tests on real media are left out where one of these is missing:" \
	  $$(lacking | grep -E 'strace|e2fsprogs|fuse3') ;;
	esac
	[ "$$(id -u)" = 0 ] || why="you are not root$${why:+, and $$why}"
	[ -z "$$why" ] || echo "Tests on real interfaces are left out, and the demo stays on loopback: $$why."
	case $$(lacking) in
	*dbus*|*gnome-keyring*) echo "Tests against a real gnome-keyring are left out: it, or dbus, is not installed." ;;
	esac

$(READY): pyproject.toml
	@$(FUNCTIONS)
	python=$$(find_python)
	if [ -z "$$python" ]; then
	  echo "None of these is a Python of 3.11 or newer: $(PYTHONS)." >&2
	  echo "Install one, or name it: make $(or $(MAKECMDGOALS),test) PYTHON=/path/to/python3.11" >&2
	  exit 1
	fi
	if ! "$$python" -c 'import ensurepip, venv' 2>/dev/null; then
	  package=$$("$$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
	  if ! can_install || ! install_packages "$$package"; then
	    echo "$$python cannot make virtual environments. As root: apt-get install $$package" >&2
	    echo "Or name another one: make $(or $(MAKECMDGOALS),test) PYTHON=/path/to/python3.11" >&2
	    exit 1
	  fi
	fi
	echo "Preparing $(VENV) with $$("$$python" -V), once."
	rm -rf $(VENV)
	"$$python" -m venv $(VENV)
	# --group came with pip 25.1; Debian 12 ships 23.0.
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --editable . --group dev
	printf %s '$(CURDIR)' >$(READY)
