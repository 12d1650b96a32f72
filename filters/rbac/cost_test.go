package rbac

import (
	"crypto/x509"
	"fmt"
	"net/url"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"

	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	"sigs.k8s.io/yaml"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/filters"
	"github.com/weftmesh/weft/match"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/telemetry/accesslog"
)

// asked is a request that answers at no cost; what is noted of it is proxy/l7's to keep.
type asked struct {
	filters.Exchange
	entry accesslog.Entry
	kept  map[any]any
	names int // how often the certificate was read
	notes int
}

func (a *asked) Override() any                          { return nil }
func (a *asked) Entry() *accesslog.Entry                { return &a.entry }
func (a *asked) Metadata() config.Metadata              { return nil }
func (a *asked) Path() []byte                           { return path }
func (a *asked) MatchHeaders([]config.HeaderMatch) bool { return true }
func (a *asked) SetMetadata(string, string, any) bool   { a.notes++; return true }
func (a *asked) OfConnection(key any, make func() any) any {
	if a.kept[key] == nil {
		a.kept[key] = make()
	}
	return a.kept[key]
}

var path = []byte("/api/v1/99/items?q=1")

// session shows a certificate.
type session struct {
	accesslog.Transport
	leaf *x509.Certificate
	of   *asked
}

func (s session) Verified() bool            { return true }
func (s session) Peer() []*x509.Certificate { s.of.names++; return []*x509.Certificate{s.leaf} }
func (s session) Name([]byte) string        { return "" }

// hundred is a filter with a hundred policies by method, path and identity, of which the last is for the request.
func hundred(t testing.TB) (filters.Filter, *asked) {
	text := "rules_stat_prefix: a\ntrack_per_rule_stats: true\nrules:\n  policies:\n"
	for i := range 100 {
		text += fmt.Sprintf(`    "ns[shop]-policy[p%02d]-rule[0]":
      permissions: [{and_rules: {rules: [{or_rules: {rules: [{header: {name: ":method", string_match: {exact: GET}}}]}}, {or_rules: {rules: [{url_path: {path: {prefix: /api/v1/}}}]}}]}}]
      principals: [{and_ids: {ids: [{or_ids: {ids: [{authenticated: {principal_name: {exact: "spiffe://cluster.local/ns/shop/sa/client-%02d"}}}, {authenticated: {principal_name: {safe_regex: {regex: ".*/ns/other/.*"}}}}]}}]}}]
`, i, i)
	}
	json, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var m rbacv3.RBAC
	if err := protojson.Unmarshal(json, &m); err != nil {
		t.Fatal(err)
	}
	p, err := read(&m, "")
	if err != nil {
		t.Fatal(err)
	}
	a := &asked{kept: map[any]any{}}
	a.entry.TLS = session{leaf: &x509.Certificate{URIs: []*url.URL{{Scheme: "spiffe", Host: "cluster.local", Path: "/ns/shop/sa/client-99"}}}, of: a}
	return build(p, filters.Site{StatPrefix: "http.x.", Stats: telemetry.NewStore(1)})(0), a
}

// A request costs no memory, and a certificate is read once for all of a connection.
func TestCostsNothing(t *testing.T) {
	f, a := hundred(t)
	if got := f.RequestHeaders(a, true); got != filters.Continue || a.notes != 2 {
		t.Fatalf("%v, %d notes", got, a.notes)
	}
	if n := testing.AllocsPerRun(100, func() { f.RequestHeaders(a, true) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if a.names != 1 {
		t.Errorf("the certificate was read %d times", a.names)
	}
	if by := a.kept[peerKey{}].(*match.Peer); len(by.URIs) != 1 {
		t.Errorf("%+v", by)
	}
}

// BenchmarkHundred asks a hundred policies, each of which holds but for who it is.
func BenchmarkHundred(b *testing.B) {
	f, a := hundred(b)
	b.ReportAllocs()
	for b.Loop() {
		f.RequestHeaders(a, true)
	}
}
