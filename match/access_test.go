package match

import (
	"crypto/x509"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"testing"

	"github.com/weftmesh/weft/config"
)

// someone is a caller of whom everything is said.
type someone struct {
	headers                map[string]string
	path, serverName       string
	local                  string
	direct, source, remote string
	peer                   *Peer
	noted, route           config.Metadata
	state                  map[string]string
}

func (s *someone) Headers(list []config.HeaderMatch) bool {
	for i := range list {
		v, ok := s.headers[list[i].Name]
		if !ok || !Text(&list[i].String, v) {
			return false
		}
	}
	return true
}

func addr(text string) netip.Addr {
	a, _ := netip.ParseAddr(text)
	return a
}

func (s *someone) Path() []byte                         { return []byte(s.path) }
func (s *someone) Local() netip.AddrPort                { a, _ := netip.ParseAddrPort(s.local); return a }
func (s *someone) Direct() netip.Addr                   { return addr(s.direct) }
func (s *someone) Source() netip.Addr                   { return addr(s.source) }
func (s *someone) Remote() netip.Addr                   { return addr(s.remote) }
func (s *someone) ServerName() string                   { return s.serverName }
func (s *someone) Peer() *Peer                          { return s.peer }
func (s *someone) Metadata() config.Metadata            { return s.noted }
func (s *someone) Route() (config.Metadata, bool)       { return s.route, s.route != nil }
func (s *someone) State(name string) (v string, k bool) { v, k = s.state[name]; return v, k }

func exact(text string) *config.StringMatch { return &config.StringMatch{Value: text} }

func pattern(text string) *config.StringMatch {
	return &config.StringMatch{Kind: config.StringRegex, Regex: regexp.MustCompile(`\A(?:` + text + `)\z`)}
}

func within(text string) netip.Prefix { return netip.MustParsePrefix(text) }

// Each condition, of whom it holds and of whom it does not. Nothing that is not known fulfils one, but a name that is empty.
func TestConditions(t *testing.T) {
	nobody, everybody := config.Access{}, config.Access{Kind: config.AccessEverybody}
	value := func(of config.AccessKind, invert bool) config.Access {
		return config.Access{Kind: of, Metadata: &config.MetadataMatch{Namespace: "n", Path: []string{"k"}, Value: config.ValueMatch{Kind: config.ValueString, String: *exact("v")}, Invert: invert}}
	}
	noted := func(v string) config.Metadata { return config.Metadata{"n": {"k": v}} }
	peer := func(m *config.StringMatch) config.Access { return config.Access{Kind: config.AccessPeer, String: m} }
	path := func(text string) config.Access { return config.Access{Kind: config.AccessPath, String: exact(text)} }
	for i, test := range []struct {
		access config.Access
		who    someone
		holds  bool
	}{
		{nobody, someone{}, false},
		{everybody, someone{}, true},
		{config.Access{Kind: config.AccessKind(99)}, someone{}, false},
		{config.Access{Kind: config.AccessAll}, someone{}, true},
		{config.Access{Kind: config.AccessAll, Of: []config.Access{everybody, nobody}}, someone{}, false},
		{config.Access{Kind: config.AccessAny}, someone{}, false},
		{config.Access{Kind: config.AccessAny, Of: []config.Access{nobody, everybody}}, someone{}, true},
		{config.Access{Kind: config.AccessNot, Of: []config.Access{nobody}}, someone{}, true},
		{config.Access{Kind: config.AccessHeader, Headers: []config.HeaderMatch{{Name: "a", String: *exact("v")}}}, someone{headers: map[string]string{"a": "v"}}, true},
		{config.Access{Kind: config.AccessHeader, Headers: []config.HeaderMatch{{Name: "a", String: *exact("v")}}}, someone{}, false},
		{path("/a"), someone{path: "/a"}, true},
		{path("/a"), someone{path: "/a?b"}, true},
		{path("/a"), someone{path: "/a#b?c"}, true},
		{path("/a?b"), someone{path: "/a?b"}, false},
		{path("/a"), someone{path: "/a/"}, false},
		{path(""), someone{}, false},
		{config.Access{Kind: config.AccessPath, String: pattern(".*")}, someone{}, false}, // such as CONNECT has none
		{config.Access{Kind: config.AccessLocal, Range: within("10.0.0.0/8")}, someone{local: "10.1.1.1:80"}, true},
		{config.Access{Kind: config.AccessLocal, Range: within("10.0.0.0/8")}, someone{local: "[::ffff:10.1.1.1]:80"}, true},
		{config.Access{Kind: config.AccessLocal, Range: within("10.0.0.0/8")}, someone{local: "11.1.1.1:80"}, false},
		{config.Access{Kind: config.AccessLocal, Range: within("0.0.0.0/0")}, someone{}, false}, // a path of the file system
		{config.Access{Kind: config.AccessPort, From: 80, To: 81}, someone{local: "10.1.1.1:80"}, true},
		{config.Access{Kind: config.AccessPort, From: 80, To: 81}, someone{local: "10.1.1.1:81"}, false},
		{config.Access{Kind: config.AccessPort, From: 0, To: 81}, someone{}, false},
		{config.Access{Kind: config.AccessDirect, Range: within("10.0.0.1/32")}, someone{direct: "10.0.0.1"}, true},
		{config.Access{Kind: config.AccessDirect, Range: within("10.0.0.1/32")}, someone{source: "10.0.0.1", remote: "10.0.0.1"}, false},
		{config.Access{Kind: config.AccessSource, Range: within("10.0.0.1/32")}, someone{source: "10.0.0.1"}, true},
		{config.Access{Kind: config.AccessSource, Range: within("10.0.0.1/32")}, someone{direct: "10.0.0.1", remote: "10.0.0.1"}, false},
		{config.Access{Kind: config.AccessRemote, Range: within("fe80::/10")}, someone{remote: "fe80::1%eth0"}, true},
		{config.Access{Kind: config.AccessRemote, Range: within("10.0.0.1/32")}, someone{direct: "10.0.0.1", source: "10.0.0.1"}, false},
		{config.Access{Kind: config.AccessServerName, String: exact("a.test")}, someone{serverName: "a.test"}, true},
		{config.Access{Kind: config.AccessServerName, String: exact("")}, someone{}, true},
		{peer(nil), someone{}, false},
		{peer(nil), someone{peer: &Peer{}}, true},
		{peer(pattern(".*")), someone{}, false},
		{peer(pattern(".+")), someone{peer: &Peer{}}, false},
		{peer(exact("")), someone{peer: &Peer{}}, true},
		{peer(exact("spiffe://td/b")), someone{peer: &Peer{URIs: []string{"spiffe://td/a", "spiffe://td/b"}, Hosts: []string{"h"}}}, true},
		{peer(exact("h")), someone{peer: &Peer{URIs: []string{"spiffe://td/a"}, Hosts: []string{"h"}}}, true},
		{peer(exact("CN=s")), someone{peer: &Peer{URIs: []string{"spiffe://td/a"}, Subject: "CN=s"}}, true},
		{peer(exact("spiffe://td/c")), someone{peer: &Peer{URIs: []string{"spiffe://td/a", "spiffe://td/b"}}}, false},
		{value(config.AccessMetadata, false), someone{noted: noted("v")}, true},
		{value(config.AccessMetadata, false), someone{route: noted("v")}, false},
		{value(config.AccessMetadata, true), someone{noted: noted("w")}, true},
		{value(config.AccessMetadata, true), someone{}, true},
		{value(config.AccessRoute, false), someone{route: noted("v")}, true},
		{value(config.AccessRoute, true), someone{route: config.Metadata{}}, true},
		{value(config.AccessRoute, true), someone{noted: noted("w")}, false}, // there is no route
		{config.Access{Kind: config.AccessState, State: &config.StateMatch{Name: "k", String: *exact("v")}}, someone{state: map[string]string{"k": "v"}}, true},
		{config.Access{Kind: config.AccessState, State: &config.StateMatch{Name: "k", String: *exact("")}}, someone{}, false},
	} {
		if got := accesses(&test.access, &test.who); got != test.holds {
			t.Errorf("%d: %+v of %+v: %v", i, test.access, test.who, got)
		}
	}
}

// The first policy by name decides, and what it means depends on the action.
func TestPolicies(t *testing.T) {
	all, none := []config.Access{{Kind: config.AccessEverybody}}, []config.Access{{}}
	policies := []config.AccessPolicy{
		{Name: "a", Permissions: all, Principals: none},
		{Name: "b", Permissions: none, Principals: all},
		{Name: "c", Permissions: all},
		{Name: "d", Principals: all},
		{Name: "e \t\n(f)", Permissions: all, Principals: append(none, all...)},
		{Name: "g", Permissions: all, Principals: all},
	}
	for _, test := range []struct {
		action config.AccessAction
		n      int // policies
		by     int
		passes bool
		why    string
	}{
		{config.AccessAllow, 0, -1, false, "rbac_access_denied_matched_policy[none]"},
		{config.AccessAllow, 4, -1, false, "rbac_access_denied_matched_policy[none]"},
		{config.AccessAllow, 6, 4, true, "rbac_access_denied_matched_policy[e___(f)]"},
		{config.AccessDeny, 4, -1, true, "rbac_access_denied_matched_policy[none]"},
		{config.AccessDeny, 6, 4, false, "rbac_access_denied_matched_policy[e___(f)]"},
		{config.AccessNote, 4, -1, true, "rbac_access_denied_matched_policy[none]"},
		{config.AccessNote, 6, 4, true, "rbac_access_denied_matched_policy[e___(f)]"},
	} {
		r := &config.AccessRules{Action: test.action, Policies: policies[:test.n]}
		by := Access(r, &someone{})
		if passes, why := Passes(r, by), Denied(r, by); by != test.by || passes != test.passes || why != test.why {
			t.Errorf("%+v: %d %v %s", test, by, passes, why)
		}
	}
}

// shown is a certificate.
type shown struct {
	leaf     x509.Certificate
	verified bool
}

func (s *shown) Peer() []*x509.Certificate { return []*x509.Certificate{&s.leaf} }
func (s *shown) Verified() bool            { return s.verified }
func (s *shown) Name(raw []byte) string    { return "CN=" + string(raw) }

// Whoever shows what nobody vouches for is nobody, but speaks TLS.
func TestPeerCountsIfVerified(t *testing.T) {
	s := &shown{leaf: x509.Certificate{RawSubject: []byte("s"), DNSNames: []string{"h"}, URIs: []*url.URL{{Scheme: "spiffe", Host: "td", Path: "/a"}}}}
	if p := PeerOf(s); len(p.URIs)+len(p.Hosts)+len(p.Subject) > 0 {
		t.Errorf("%+v", p)
	}
	s.verified = true
	if p := fmt.Sprint(*PeerOf(s)); p != "{[spiffe://td/a] [h] CN=s}" {
		t.Error(p)
	}
}

// hundred are rules that decide by methods, paths and identities, as a mesh has them.
func hundred() *config.AccessRules {
	r, of := &config.AccessRules{}, pattern(".*/ns/other-namespace-of-32-bytes/.*")
	of.Value = "/ns/other-namespace-of-32-bytes/" // as it is read, and as long as it may be then
	for i := range 100 {
		r.Policies = append(r.Policies, config.AccessPolicy{Name: fmt.Sprintf("ns[a]-policy[p%02d]-rule[0]", i),
			Permissions: []config.Access{{Kind: config.AccessAll, Of: []config.Access{
				{Kind: config.AccessAny, Of: []config.Access{{Kind: config.AccessHeader, Headers: []config.HeaderMatch{{Name: ":method", String: *exact("GET")}}}}},
				{Kind: config.AccessAny, Of: []config.Access{{Kind: config.AccessPath, String: &config.StringMatch{Kind: config.StringPrefix, Value: fmt.Sprintf("/api/v1/%02d", i)}}}}}}},
			Principals: []config.Access{{Kind: config.AccessAll, Of: []config.Access{
				{Kind: config.AccessAny, Of: []config.Access{{Kind: config.AccessPeer, String: exact(fmt.Sprintf("spiffe://cluster.local/ns/shop/sa/client-%02d", i))}, {Kind: config.AccessPeer, String: of}}}}}}})
	}
	return r
}

func last() *someone {
	return &someone{headers: map[string]string{":method": "GET"}, path: "/api/v1/99/items?q=1", peer: &Peer{URIs: []string{"spiffe://cluster.local/ns/shop/sa/client-99"}}}
}

// asker is someone whose answers cost nothing, as a filter's.
type asker struct {
	*someone
	path []byte
}

func (a *asker) Path() []byte { return a.path }

func TestNothingIsAllocated(t *testing.T) {
	r, s := hundred(), last()
	for i := range r.Policies {
		r.Policies[i].Permissions = r.Policies[i].Permissions[0].Of[1:] // of each the path holds, so that all ask who it is
		r.Policies[i].Permissions[0].Of[0].String.Value = "/api"
	}
	a := &asker{s, []byte(s.path)}
	if by := Access(r, a); by != 99 {
		t.Fatal(by)
	}
	if n := testing.AllocsPerRun(100, func() { Access(r, a) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkAccess asks a hundred policies of which the last is for the caller.
func BenchmarkAccess(b *testing.B) {
	r, s := hundred(), last()
	a := &asker{s, []byte(s.path)}
	b.ReportAllocs()
	for b.Loop() {
		if Access(r, a) != 99 {
			b.Fatal("another policy is for him")
		}
	}
}
