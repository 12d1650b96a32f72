package rivals

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"time"
)

// A Rival is one contestant. All of them but the floor do the same work for a Plan: parse, look a path up among
// the same 11 prefixes (the match is the last), add x-request-id and x-forwarded-for, keep a pool of
// connections to the upstream, log no accesses, on one thread unless the plan says otherwise.
type Rival struct {
	Name     string
	Package  string // what to install when it is missing
	TCP      bool   // can pass TCP through
	HTTP2    bool   // can speak HTTP/2 to upstreams
	Envoyish bool   // takes Envoy's bootstrap and has Envoy's admin endpoints
	Floor    bool   // no rival but a bound: it does none of the work, and takes part where HTTP traffic is measured

	workers int    // child processes that do the work, besides the one started
	file    string // name of the configuration file
	find    func(context.Context, Places) (string, error)
	version []string                   // arguments that make it say its version
	render  func(Plan) string          // the text of the configuration file
	check   func(file string) []string // arguments that make it judge the file and end
	run     func(file string, p Plan) []string
}

// A Plan is what a contestant is to do.
type Plan struct {
	TCP      bool // pass TCP through; else HTTP
	HTTP2    bool // HTTP/2 in plain text on both sides; else HTTP/1.1
	Dubbo    bool // calls of Dubbo 2, by interface and method; Envoyish contestants only
	Listen   int  // all ports are on 127.0.0.1
	Admin    int  // Envoy's admin endpoints, where there are any
	Upstream int
	Threads  int
	Clusters int // static clusters nobody asks for, beside the one in use; Envoy's bootstrap only
	Policies Policies
	// Certificate is a file with a certificate and its key, in PEM, with which clients are served over TLS; "": in plain text.
	Certificate string
	// Secrets is a folder with the files own.json and roots.json, from which an Envoyish contestant takes a certificate and the roots that it
	// checks clients against, whenever they change; "": it does not.
	Secrets string
	// Plane is the port of a control plane that says all else; 0: there is none. For Envoyish contestants.
	Plane int
	// Gateway: the contestant is one there, with the label app: gate, and else a sidecar.
	Gateway bool
	// BaseID tells those apart that may take one another's place, and Epoch is how many did before; 0: nobody does. For Envoyish contestants.
	BaseID, Epoch int
	Profile       string // the file that Envoy's /cpuprofiler writes; "" for the default
}

// Policies are pieces of YAML for Envoy's bootstrap, each empty or a whole piece of its own.
type Policies struct {
	Route     string // a field of the route's action
	Cluster   string // fields of the cluster, each in a line of its own
	Filter    string // an entry of the HTTP filters, before the router
	Breakers  string // a field of the cluster's circuit breaker thresholds
	Endpoints []int  // ports of more endpoints
}

// Places says where binaries are that are not simply on the PATH.
type Places struct {
	Weft  string // a file
	Envoy string // a file, or "" to look on the PATH and among Python's packages
}

// All lists the contestants, ours first.
func All() []Rival {
	return []Rival{weft(), floor(), nginx(), haproxy(), envoy()}
}

// Pick returns the named contestants in the order asked for.
func Pick(names []string) ([]Rival, error) {
	var picked []Rival
	for _, name := range names {
		i := slices.IndexFunc(All(), func(r Rival) bool { return r.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("rivals: %q is none: want some of weft, floor, nginx, haproxy, envoy", name)
		}
		if slices.ContainsFunc(picked, func(r Rival) bool { return r.Name == name }) {
			return nil, fmt.Errorf("rivals: %q is named twice", name)
		}
		picked = append(picked, All()[i])
	}
	return picked, nil
}

// A Contestant is a Rival whose binary was found.
type Contestant struct {
	Rival
	Version string
	path    string
}

// Path is the file of its binary.
func (c Contestant) Path() string { return c.path }

// askLimit bounds how long a binary may take to answer a question about itself.
const askLimit = 20 * time.Second

// Find looks for the binary and asks it for its version.
func (r Rival) Find(ctx context.Context, p Places) (Contestant, error) {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	path, err := r.find(ctx, p)
	if err != nil {
		return Contestant{}, fmt.Errorf("rivals: %s is missing: %w; install %s", r.Name, err, r.Package)
	}
	ask := exec.CommandContext(ctx, path, r.version...)
	ask.Args[0] = r.Name // Envoy says its own path before its version, and a path may have numbers too
	said, err := ask.CombinedOutput()
	if err != nil {
		return Contestant{}, fmt.Errorf("rivals: %s does not say its version: %w; install %s anew", r.Name, err, r.Package)
	}
	return Contestant{Rival: r, Version: versionIn(string(said)), path: path}, nil
}

var versionNumber = regexp.MustCompile(`\b\d+\.\d+(\.\d+)?\b`)

func versionIn(text string) string {
	first, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	if v := versionNumber.FindString(first); v != "" {
		return v
	}
	return "unnumbered"
}

func onPath(name string) func(context.Context, Places) (string, error) {
	return func(context.Context, Places) (string, error) { return exec.LookPath(name) }
}

// decoys are the ten prefixes that do not match. They share their first segment with the one that
// does, so that no contestant gets away with looking at the first bytes only.
var decoys = []string{
	"/api/accounts/", "/api/basket/", "/api/catalogue/", "/api/delivery/", "/api/events/",
	"/api/files/", "/api/groups/", "/api/history/", "/api/invoices/", "/api/journeys/",
}

// interfaces are the ten that are not called. Each has the method that is.
var interfaces = []string{
	"org.example.bench.Accounts", "org.example.bench.Basket", "org.example.bench.Catalogue", "org.example.bench.Delivery", "org.example.bench.Events",
	"org.example.bench.Files", "org.example.bench.Groups", "org.example.bench.History", "org.example.bench.Invoices", "org.example.bench.Journeys",
}

// match is the prefix of the paths that are asked for.
const match = "/api/b"
