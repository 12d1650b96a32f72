package rivals

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weftmesh/weft/bench/proc"
)

// find fails the test, rather than skip it, when a contestant is not installed: an unchecked
// configuration makes an unfair comparison.
func find(t *testing.T, r Rival) Contestant {
	t.Helper()
	c, err := r.Find(t.Context(), Places{Envoy: os.Getenv("WEFT_ENVOY")})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestConfigurationsAreAccepted(t *testing.T) {
	for _, r := range []Rival{nginx(), haproxy(), envoy()} {
		plans := map[string]Plan{"http": {Listen: 20001, Admin: 20002, Upstream: 20003, Threads: 1}}
		if r.TCP {
			plans["tcp"] = Plan{TCP: true, Listen: 20001, Admin: 20002, Upstream: 20003, Threads: 1}
		}
		if r.HTTP2 {
			plans["http2"] = Plan{HTTP2: true, Listen: 20001, Admin: 20002, Upstream: 20003, Threads: 1}
		}
		if r.Envoyish {
			plans["clusters"] = Plan{Listen: 20001, Admin: 20002, Upstream: 20003, Threads: 2, Clusters: 20}
			plans["dubbo"] = Plan{Dubbo: true, Listen: 20001, Admin: 20002, Upstream: 20003, Threads: 1}
		}
		for name, plan := range plans {
			t.Run(r.Name+" "+name, func(t *testing.T) {
				if err := find(t, r).Check(t.Context(), plan); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// The check must be able to fail.
func TestBrokenConfigurationIsRefused(t *testing.T) {
	for _, r := range []Rival{nginx(), haproxy(), envoy()} {
		t.Run(r.Name, func(t *testing.T) {
			c := find(t, r)
			c.render = func(p Plan) string { return r.render(p) + "\n}nonsense: [\n" }
			if c.Check(t.Context(), Plan{Listen: 20001, Admin: 20002, Upstream: 20003, Threads: 1}) == nil {
				t.Error("accepted")
			}
		})
	}
}

func TestEveryoneRoutesTheSamePrefixes(t *testing.T) {
	for _, r := range All() {
		if r.Floor {
			continue
		}
		text := r.render(Plan{Listen: 1, Upstream: 2, Threads: 1})
		last := -1
		for _, prefix := range append(slices.Clone(decoys), match) {
			at := max(strings.Index(text, prefix+" "), strings.Index(text, prefix+`"`))
			if n := strings.Count(text, prefix+" ") + strings.Count(text, prefix+`"`); n != 1 || at < last {
				t.Errorf("%s: prefix %s occurs %d times, or before an earlier one", r.Name, prefix, n)
			}
			last = at
		}
	}
}

// weft and Envoy are compared by the same file and the same command line.
func TestWeftRunsWhatEnvoyRuns(t *testing.T) {
	for _, plan := range []Plan{
		{Listen: 1, Admin: 2, Upstream: 3, Threads: 1},
		{Listen: 1, Admin: 2, Upstream: 3, Threads: 2, TCP: true},
		{Listen: 1, Admin: 2, Upstream: 3, Threads: 1, Clusters: 2},
	} {
		if diff := cmp.Diff(envoy().render(plan), weft().render(plan)); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(envoy().run("f", plan), weft().run("f", plan)); diff != "" {
			t.Error(diff)
		}
	}
}

func TestStartAndStop(t *testing.T) {
	cpus, err := proc.CPUs()
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range []Rival{nginx(), haproxy(), envoy()} {
		t.Run(r.Name, func(t *testing.T) {
			// Ports below the ephemeral range, so that no other test's connection has them.
			plan := Plan{Listen: 21000 + 3*i, Admin: 21001 + 3*i, Upstream: 21002 + 3*i, Threads: 1}
			running, err := find(t, r).Start(t.Context(), plan, cpus)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := len(running.PIDs()), 1+r.workers; got != want {
				t.Errorf("%d processes, want %d", got, want)
			}
			if running.Ended() || running.Ready <= 0 {
				t.Errorf("ended %v, ready after %v", running.Ended(), running.Ready)
			}
			running.Stop()
			if !running.Ended() {
				t.Error("running after Stop")
			}
			for limit := time.Now().Add(10 * time.Second); ; {
				_, err := proc.Resident(running.PIDs())
				if err != nil {
					break // the last of them is gone
				}
				if time.Now().After(limit) {
					t.Fatal("processes left after Stop")
				}
			}
			if _, err := os.Stat(running.dir); err == nil {
				t.Error("its directory is still there")
			}
		})
	}
}

func TestFailedStartSaysWhy(t *testing.T) {
	cpus, _ := proc.CPUs()
	c := find(t, haproxy())
	c.render = func(Plan) string { return "nonsense\n" }
	_, err := c.Start(t.Context(), Plan{Listen: 21020}, cpus)
	if err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("error %v, want one with what the binary said", err)
	}
}

func TestMissingBinarySaysWhatToInstall(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for _, r := range All() {
		_, err := r.Find(t.Context(), Places{Weft: filepath.Join("no", "weft")})
		if err == nil || !strings.Contains(err.Error(), "install "+r.Package) {
			t.Errorf("%s: error %v, want one that names %q", r.Name, err, r.Package)
		}
	}
}

func TestEnvoyMustBeABinary(t *testing.T) {
	script := filepath.Join(t.TempDir(), "envoy")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := findEnvoy(t.Context(), script); err == nil {
		t.Error("a script was taken for Envoy")
	}
	if path, err := findEnvoy(t.Context(), os.Args[0]); err != nil || path != os.Args[0] {
		t.Errorf("found %q, %v", path, err)
	}
}

func TestVersions(t *testing.T) {
	for text, want := range map[string]string{
		"nginx version: nginx/1.22.1\n":                                      "1.22.1",
		"HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/": "2.6.12",
		"\nenvoy  version: 9e5580/1.40.0/Clean/RELEASE/BoringSSL\n":          "1.40.0",
		"weft version: dev": "unnumbered",
	} {
		if got := versionIn(text); got != want {
			t.Errorf("%q: version %q, want %q", text, got, want)
		}
	}
}

func TestPick(t *testing.T) {
	got, err := Pick([]string{"envoy", "nginx"})
	if err != nil || len(got) != 2 || got[0].Name != "envoy" || got[1].Name != "nginx" {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range [][]string{{"apache"}, {"nginx", "nginx"}, {""}} {
		if _, err := Pick(bad); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}
