package istiod

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/control/ca"
	"github.com/weftmesh/weft/control/console"
	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/control/push"
	"github.com/weftmesh/weft/rpc/serve"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/test/manifest"
	"github.com/weftmesh/weft/xds/server"
)

// everything is all numbers of our own that Istio's are made of, each of another value.
func everything() map[string]telemetry.Sample {
	s := telemetry.NewStore(0)
	for prefix, table := range map[string]*telemetry.Table{"xds.": server.Stats, "xds_secure.": server.Stats, "push.": push.Stats, "xds_connections.": serve.Stats, "xds_secure_connections.": serve.Stats, "events.": push.Events, "ca.": ca.Stats, "console.": console.Stats} {
		s.Acquire(table, prefix).Loop(0)
	}
	// As packages count that may not be imported here.
	s.Acquire(&telemetry.Table{Kind: "register", Metrics: []telemetry.Metric{{Name: "created_total"}, {Name: "updated_total"}, {Name: "disconnected_total"}, {Name: "deleted_total"}, {Name: "refused_total"}, {Name: "failures_total"}}}, "register.").Loop(0)
	s.Acquire(&telemetry.Table{Kind: "webhook", Metrics: []telemetry.Metric{{Name: "injected_total"}, {Name: "injection_skipped_total"}, {Name: "injection_refused_total"}, {Name: "validated_total"}, {Name: "validation_refused_total"}}}, "webhook.").Loop(0)
	s.Acquire(&telemetry.Table{Kind: "clusters", Metrics: []telemetry.Metric{{Name: "late_total"}}}, "clusters.").Loop(0)
	all := map[string]telemetry.Sample{}
	for i, one := range s.Read(telemetry.Filter{}) {
		one.Value = int64(i) + 1
		all[one.Name] = one
	}
	return all
}

// TestNumbersAreOfSomething has each of Istio's numbers be made of ours that there are: one whose name was changed would be 0 for ever.
func TestNumbersAreOfSomething(t *testing.T) {
	var all, less strings.Builder
	r := &reading{samples: everything(), version: "1", until: func() (time.Time, time.Time) { return time.Unix(200, 0), time.Unix(100, 0) }, now: time.Unix(50, 0), services: 1, virtual: 1, outbound: 1, inbound: 1, local: 1, remote: 2}
	r.tally.Versions = map[string]int{"1.29.1": 2}
	for i := range r.tally.Refused {
		r.tally.Refused[i] = 1
	}
	if err := write(&all, r); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(all.String()) {
		if value := line[strings.LastIndexByte(line, ' ')+1:]; value == "0\n" && !strings.Contains(line, "_bucket") && !strings.Contains(line, "_sum") && !strings.Contains(line, "_count") &&
			!strings.HasPrefix(line, "go_") && !strings.HasPrefix(line, "process_") {
			t.Errorf("%s is of nothing", strings.TrimSpace(line))
		}
	}
	for _, want := range []string{"citadel_server_root_cert_expiry_timestamp 200\n", "citadel_server_cert_chain_expiry_seconds 50\n", `pilot_xds{version="1.29.1"} 2` + "\n"} {
		if !strings.Contains(all.String(), "\n"+want) {
			t.Errorf("there is no %s", want)
		}
	}
	r.until = nil
	if write(&less, r); strings.Contains(less.String(), "\ncitadel_server_root_cert_expiry_timestamp ") {
		t.Error("a root that there is not ends")
	}
}

// TestVersionsAreBounded has proxies say what they like of themselves.
func TestVersionsAreBounded(t *testing.T) {
	r := &reading{}
	r.tally.Versions = map[string]int{"a\"}\nb 1": 7}
	for i := range 100 {
		r.tally.Versions[fmt.Sprintf("v%03d", i)] = 1
	}
	var b strings.Builder
	write(&b, r)
	lines, sum := 0, 0
	for line := range strings.Lines(b.String()) {
		if rest, is := strings.CutPrefix(line, "pilot_xds{"); is {
			lines++
			var n int
			fmt.Sscan(rest[strings.LastIndexByte(rest, ' ')+1:], &n)
			sum += n
		}
	}
	if lines != maxVersions+1 || sum != 107 || !strings.Contains(b.String(), `pilot_xds{version="a\"}\nb 1"} 7`+"\n") {
		t.Errorf("%d lines of %d streams:\n%s", lines, sum, b.String())
	}
}

// TestConflictsAreFoundOnce asks again and again: they are found anew for other services or clusters only.
func TestConflictsAreFoundOnce(t *testing.T) {
	const one = "kind: ServiceEntry\nmetadata: {name: %s, namespace: a}\nspec: {hosts: [%s.test], resolution: NONE, ports: [{number: 6001, name: tcp, protocol: TCP}]}\n---\n"
	m := mesh.New().With(manifest.Read(t, fmt.Sprintf(one, "x", "x")+fmt.Sprintf(one, "y", "y")))
	var c conflicts
	if outbound, inbound := c.of(m); outbound != 1 || inbound != 0 {
		t.Fatalf("%d and %d", outbound, inbound)
	}
	c.outbound = 7 // as nobody finds it
	more := m.With(manifest.Read(t, "kind: EndpointSlice\nmetadata: {name: e, namespace: a, labels: {kubernetes.io/service-name: web}}\naddressType: IPv4\nendpoints: [{addresses: [10.0.0.1]}]\n"))
	if outbound, _ := c.of(more); outbound != 7 {
		t.Errorf("they are found anew for other endpoints: %d", outbound)
	}
	if outbound, _ := c.of(more.With(manifest.Read(t, fmt.Sprintf(one, "z", "z")))); outbound != 2 {
		t.Errorf("%d of three services", outbound)
	}
}
