# `make` alone lists the targets. README.md explains the two that matter:
# `make demo` and `make test`.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

SEEDS ?= 20000
FUZZTIME ?= 10m
BENCHTIME ?= 1s
# Where `make install` puts things; see docs/paths.md. SBINDIR is that of PID 1,
# which an initramfs runs as /sbin/dynamod-init: where /sbin is no link to
# $(PREFIX)/sbin, say SBINDIR=/sbin.
DESTDIR ?=
PREFIX ?= /usr
SBINDIR ?= $(PREFIX)/sbin
# Non-empty: fetch the Debian trees that are not cached yet (needs a network
# the first time; 1.7 GB of disk). Set it empty to test without them.
DYNAMOD_TREE ?= 1

# How thorough `make check` and `make test` are, as against `sim` and `fuzz`.
CHECK_SEEDS := 200
TEST_SEEDS := 2000
TEST_FUZZTIME := 30s

sim = go run ./svmgr/internal/sim/cmd/sim

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: build ## show dynamod at work, sway in a virtual machine too; KEEP=1 leaves that running
	@KEEP=$(KEEP) tools/demo.sh

# What is PID 1 in `make vm`: dynamod or systemd.
INIT ?= dynamod

.PHONY: vm
vm: ## Debian 13 in a virtual machine on this terminal; INIT=systemd for the other one
	@tools/install-deps.sh tree vm
	go run ./desktop-tests/cmd/dynamod-vm -init $(INIT)

.PHONY: run
run: build ## a few services under a standalone manager, and top to look at them
	@tools/run.sh

.PHONY: test
test: ## everything that CI runs: check, race, fuzz, Debian trees, simulation, machines; < 45 min
	@tools/test.sh $(TEST_SEEDS) $(TEST_FUZZTIME) "$(DYNAMOD_TREE)"

.PHONY: build
build: ## build the programs into build/
	@mkdir -p build
	CGO_ENABLED=0 go build -trimpath -o build/ ./dynamodctl
	CGO_ENABLED=0 go build -trimpath -o build/dynamod-svmgr ./svmgr
	CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o build/dynamod-child ./svmgr/child
	CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o build/dynamod-pam ./svmgr/pam
	CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o build/dynamod-step ./step
	CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o build/dynamod-init ./init
	CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o build/dynamod-sd1bridge ./sd1bridge
	CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o build/dynamod-logind ./logind
	CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o build/dynamod-hostnamed ./hostnamed
	@echo "PID 1 has $$(stat -c %s build/dynamod-init) bytes, of $$(CGO_ENABLED=0 go list -deps ./init | wc -l) packages (go list -deps ./init)"

.PHONY: install
install: build ## install into DESTDIR (default /), below PREFIX (default /usr), as a package would
	@tools/install.sh "$(DESTDIR)" "$(PREFIX)" "$(SBINDIR)"

.PHONY: check
check: lint ## the fast inner loop: lint, unit tests, import law, a short simulation; < 2 min
	go test -short ./...
	$(sim) -seeds $(CHECK_SEEDS)

.PHONY: lint
lint: ## gofmt, vet, staticcheck; with the tests that run in machines
	@unformatted=$$(gofmt -l .); \
	if [ -n "$$unformatted" ]; then echo "not gofmt'ed: $$unformatted" >&2; exit 1; fi
	go vet -tags vm ./...
	go tool staticcheck -tags vm ./...

.PHONY: sim
sim: ## simulate SEEDS random histories (default 20000)
	$(sim) -seeds $(SEEDS)

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME (default 10m)
	tools/fuzz.sh $(FUZZTIME)

.PHONY: bench
bench: ## every benchmark; BENCHTIME (default 1s)
	go test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) ./...

# Boots of each in `make bench-boot`.
BOOTS ?= 5

.PHONY: bench-boot
bench-boot: ## boot Debian 13 with systemd and dynamod alternately, BOOTS times (default 5); the costs of each
	@tools/install-deps.sh tree vm
	@mkdir -p build
	@go test -tags vm ./desktop-tests/scenarios -run '^TestDebian$$' -count $(BOOTS) -timeout 60m -v >build/bench-boot.log 2>&1 || { cat build/bench-boot.log; exit 1; }
	@grep -o 'COST .*' build/bench-boot.log | sort

.PHONY: bench-vm
bench-vm: ## 500 services under systemd and under dynamod, in machines of one image; prints a table
	tools/install-deps.sh base tree vm
	go test -tags vm -run '^$$' -bench AgainstSystemd -benchtime 1x -timeout 30m ./desktop-tests/scenarios

# Times that each is asked for everything in `make bench-bridge` and `make bench-native`.
TURNS ?= 10

.PHONY: bench-bridge
bench-bridge: ## systemctl and busctl against systemd and against dynamod-sd1bridge in machines of one image, by time, asked TURNS times by turns (default 10), and by instructions; prints two tables
	tools/install-deps.sh base tree vm
	go test -tags vm -run '^$$' -bench '^BenchmarkBridge$$/^time$$' -benchtime $(TURNS)x -timeout 60m ./desktop-tests/scenarios
	go test -tags vm -run '^$$' -bench '^BenchmarkBridge$$/^instructions$$' -benchtime 2x -timeout 60m ./desktop-tests/scenarios

.PHONY: bench-native
bench-native: build ## the same by time without emulation: systemd and dynamod in two containers on this machine; needs root; prints a table
	tools/install-deps.sh base tree
	go test -tags vm -run '^$$' -bench '^BenchmarkNative$$' -benchtime $(TURNS)x -timeout 30m ./desktop-tests/scenarios

.PHONY: test-tools
test-tools: ## systemd-analyze, busctl, apt-get, podman and others under systemd and under dynamod, in machines of one image
	tools/install-deps.sh base tree vm
	go test -tags vm -run '^TestTools$$' -count 1 -timeout 40m -v ./desktop-tests/scenarios

.PHONY: docs
docs: ## write docs/settings.md from the settings table
	go run ./dynamodctl explain --markdown >docs/settings.md.new
	mv docs/settings.md.new docs/settings.md
