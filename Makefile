# make demo runs the main job on a small real cloud; make test proves everything. Both install what they need with apt,
# asking first on a terminal, and start nothing but what they stop again.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
# One set of flags for builds and tests, so that they share what is compiled.
export GOFLAGS := -trimpath -buildvcs=false
export CGO_ENABLED := 0
LDFLAGS := -s -w -X holdfast/internal/cli.Version=$(VERSION)
# The lab makes namespaces and runs servers under their own users, so it needs root.
SUDO := $(if $(filter 0,$(shell id -u)),,sudo --preserve-env=PATH,HOME,GOCACHE,GOMODCACHE,GOFLAGS,CGO_ENABLED,CI)
DEMO := $(CURDIR)/.demo
TEST_TIMEOUT := 70m
# Kills in each phase of a backup and of a restore.
SOAK := 100

# What the tests use beside what a lab needs, as PROGRAM=PACKAGE.
TEST_TOOLS := lintian=lintian,/lib/systemd/systemd=systemd,/usr/lib/python3/dist-packages/apt=python3-apt,podman=podman,ansible-lint=ansible-lint,zsh=zsh,fish=fish,/usr/share/bash-completion/bash_completion=bash-completion

.PHONY: build deb deps demo demo-down test bench soak lint fmt schema clean

build:
	go build -ldflags '$(LDFLAGS)' -o bin/holdfast ./cmd/holdfast
	go build -ldflags '$(LDFLAGS)' -o bin/lab ./cmd/lab

deb:
	scripts/deb.sh $(VERSION) dist

deps: build
	$(SUDO) bin/lab deps --install

demo: deps
	$(SUDO) scripts/demo.sh $(DEMO)

demo-down: build
	$(SUDO) bin/lab down $(DEMO)

test: deps lint
	$(SUDO) bin/lab deps --install --also $(TEST_TOOLS)
	$(SUDO) scripts/test.sh $(TEST_TIMEOUT)

bench: deps
	$(SUDO) bin/lab deps --install --also restic=restic,borg=borgbackup,rclone=rclone
	$(SUDO) scripts/bench.sh

soak: deps
	$(SUDO) env HOLDFAST_SOAK=$(SOAK) go test -count=1 -timeout 12h -v -run "Soak|UnderKills|KilledAnywhere|BadDay" ./test/fault/ ./test/acceptance/ ./internal/vault/

lint:
	@out=$$(gofmt -l cmd internal test); if [ -n "$$out" ]; then echo "run make fmt: $$out"; exit 1; fi
	go vet ./...
	go test -count=1 ./test/arch/

fmt:
	gofmt -w cmd internal test

schema:
	$(SUDO) scripts/schema.sh

clean:
	rm -rf bin
