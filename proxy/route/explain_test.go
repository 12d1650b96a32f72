package route

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/weftmesh/weft/config"
)

var hostNames = []string{"a.b", "q.b", "q-x.b", "a.b:99", "A.B", "a.z", "zz", "", "[::1]", "x.a.b"}

var hostDomains = []string{"a.b", "*.b", "*-x.b", "a.*", "a.b.*", "a.b:99", "a*", "*", "[::1]"}

// table makes a table with several virtual hosts, shares of traffic and a word on how a request came.
func (d drawn) table() *config.RouteConfiguration {
	c := &config.RouteConfiguration{IgnorePortInHost: d.next(3) == 0, IgnoreParameters: d.next(3) == 0}
	if d.next(4) == 0 {
		c.VirtualHostHeader = "x-vh"
	}
	for i, domain := range hostDomains {
		if d.next(2) == 0 {
			continue
		}
		v := &config.VirtualHost{Name: fmt.Sprint("v", i), Domains: []string{domain}, RequireTLS: config.RequireTLS(max(d.next(9)-6, 0)), Routes: d.routes(d.next(12))}
		for range d.next(3) {
			v.Routes = append(v.Routes, &config.Route{Name: "last", Match: prefix("/")})
		}
		for _, r := range v.Routes {
			if d.next(4) == 0 {
				r.Match.Also = &config.Conditions{Share: &config.Fraction{Of: uint32(d.next(4)) * 25, In: 100}, GRPC: d.next(6) == 0}
			}
		}
		if d.next(5) == 0 && len(v.Routes) > 2 {
			v.Lists = [][]*config.Route{v.Routes[:1], v.Routes[1:]}
			v.Matcher = &config.Matcher{Rules: []config.MatchRule{beginsWith(ofHeader("x"), "a", toList(0))}, Otherwise: toList(1)}
		}
		c.VirtualHosts = append(c.VirtualHosts, v)
	}
	return c
}

// sameAsMatch wants what explain has met to be what Match finds, whatever is drawn.
func sameAsMatch(t *testing.T, table *Table, in *Input) (met, shared bool) {
	t.Helper()
	one := *in
	got := table.Explain(&one)
	for _, random := range []uint64{0, 24, 25, 49, 50, 74, 75, 99} {
		in.Random = random
		want := table.Match(in)
		expect := got.Found
		for _, m := range got.Met {
			if random%m.In < m.Of {
				expect.Route = m.Route
				break
			}
		}
		if expect != want {
			t.Fatalf("%s %q of %q, drawn %d: explain says %s, Match %s\n%+v", in.Request.Method(), in.Request.Path(), in.Request.Authority(), random, name(expect.Route), name(want.Route), got)
		}
	}
	for _, s := range got.Routes {
		if !s.Met && s.Why == "" || s.Rule == "" {
			t.Fatalf("a route is passed over and nobody says why: %+v", s)
		}
	}
	if len(got.Met) == 0 && got.Why == "" {
		t.Fatalf("there is no route, and nobody says why: %+v", got)
	}
	return len(got.Met) > 0, len(got.Met) > 1
}

func (d drawn) input() *Input {
	r := d.request()
	r.SetAuthority([]byte(hostNames[d.next(len(hostNames))]))
	if d.next(3) > 0 {
		r.AddNamed([]byte("x-vh"), []byte(hostNames[d.next(len(hostNames))]))
	}
	if d.next(4) == 0 {
		r.AddNamed([]byte("content-type"), []byte("application/grpc"))
	}
	if d.next(3) == 0 {
		r.RemoveNamed("x-forwarded-proto")
		r.AddNamed([]byte("x-forwarded-proto"), []byte("https"))
	}
	return &Input{Request: r}
}

func TestExplainIsMatch(t *testing.T) {
	d := drawn{rand.New(rand.NewPCG(5, 6)).IntN}
	met, shared := 0, 0
	for range 400 {
		table := Compile(d.table())
		for range 20 {
			one, more := sameAsMatch(t, table, d.input())
			if one {
				met++
			}
			if more {
				shared++
			}
		}
	}
	if met < 800 || met > 7200 || shared < 100 {
		t.Errorf("%d of 8000 requests met a route, %d of them by chance: the test does not look at all there is", met, shared)
	}
}

func FuzzExplain(f *testing.F) {
	f.Add([]byte("0123456789"), "/a/b?c")
	f.Add([]byte{1, 1, 1, 2, 2, 2, 0, 3, 3, 3, 255, 254, 7, 9, 200, 13, 57, 99}, "/A#")
	f.Add([]byte("the quick brown fox jumps over the lazy dog"), "/ab;x/b")
	f.Fuzz(func(t *testing.T, choices []byte, path string) {
		at := 0
		d := drawn{func(n int) int {
			at++
			if at > len(choices) {
				return at % n
			}
			return int(choices[at-1]) % n
		}}
		table := Compile(d.table())
		for range 3 {
			in := d.input()
			sameAsMatch(t, table, in)
			in.Request.SetPath([]byte(path))
			sameAsMatch(t, table, in)
		}
	})
}

// TestExplainSaysWhy is about the words: the first condition that fails, what is wanted and what is given.
func TestExplainSaysWhy(t *testing.T) {
	yes, no := true, false
	for _, c := range []struct {
		match  config.Match
		method string
		path   string
		fields []string
		want   string
	}{
		{match: prefix("/api"), path: "/b?q", want: `path: want one that begins with "/api", is "/b"`},
		{match: anyCase(exact("/api")), path: "/b", want: `path: want one that is "/api" in any case, is "/b"`},
		{match: separated("/api"), path: "/apix", want: `path: want one that is "/api" or below it, is "/apix"`},
		{match: pattern("/v[0-9]"), path: "/vx", want: `path: want one that matches /v[0-9], is "/vx"`},
		{match: prefix("/"), method: "CONNECT", want: `path: want one that begins with "/", the request has none`},
		{match: config.Match{Kind: config.PathConnect}, path: "/", want: `method: want CONNECT, is "GET"`},
		{match: with(prefix("/"), config.HeaderMatch{Name: "x-user", String: text(config.StringExact, "a")}), path: "/", want: `header x-user: want it to be "a", is not there`},
		{match: with(prefix("/"), config.HeaderMatch{Name: "x-user", String: text(config.StringPrefix, "a"), Invert: true}), path: "/", fields: []string{"x-user: ab", "x-user: c"},
			want: `header x-user: want it to not begin with "a", is "ab" and "c"`},
		{match: with(prefix("/"), config.HeaderMatch{Name: "x-n", Range: &config.Int64Range{Start: 1, End: 9}}), path: "/", fields: []string{"x-n: 9"},
			want: `header x-n: want it to be a number from 1 up to and without 9, is "9"`},
		{match: with(prefix("/"), config.HeaderMatch{Name: ":method", String: text(config.StringExact, "POST")}), path: "/", want: `header :method: want it to be "POST", is "GET"`},
		{match: with(prefix("/"), config.HeaderMatch{Name: "x", Present: true, Invert: true}), path: "/", fields: []string{"x: "}, want: `header x: want it to be absent, is ""`},
		{match: also(config.Conditions{GRPC: true}), path: "/", want: "content-type: want one of gRPC, is not there"},
		{match: also(config.Conditions{Query: []config.QueryMatch{{Name: "q", String: text(config.StringContains, "x")}}}), path: "/?q=y", want: `query parameter q: want it to contain "x", is "y"`},
		{match: also(config.Conditions{Query: []config.QueryMatch{{Name: "q", Present: &no}}}), path: "/?q", want: `query parameter q: want it to be absent, is ""`},
		{match: also(config.Conditions{Cookies: []config.CookieMatch{{Name: "c", String: text(config.StringSuffix, "x")}}}), path: "/", fields: []string{"cookie: c=1"}, want: `cookie c: want it to end with "x", is "1"`},
		{match: also(config.Conditions{Share: &config.Fraction{Of: 0, In: 100}}), path: "/", want: "it is met by no request (runtime_fraction is 0)"},
		{match: also(config.Conditions{CertificatePresented: &yes}), path: "/", want: "client certificate: want one is shown, none is shown"},
		{match: also(config.Conditions{State: []config.StateMatch{{Name: "k", String: text(config.StringExact, "v")}}}), path: "/", want: `filter state k: want it to be "v"; explain runs no filters, and they set it`},
		{match: also(config.Conditions{Metadata: []config.MetadataMatch{{Namespace: "n", Path: []string{"a", "b"}}}}), path: "/", want: "dynamic metadata n a.b: is not what is asked for; explain runs no filters, and they write it"},
		{match: also(config.Conditions{Share: &config.Fraction{Of: 10, In: 100}}), path: "/", want: "in 10 of 100 requests"},
	} {
		method := c.method
		if method == "" {
			method = "GET"
		}
		table := Compile(&config.RouteConfiguration{VirtualHosts: []*config.VirtualHost{{Domains: []string{"*"}, Routes: []*config.Route{{Match: c.match}}}}})
		w := table.Explain(&Input{Request: request(method, "h", c.path, c.fields...)})
		if len(w.Routes) != 1 || w.Routes[0].Why != c.want {
			t.Errorf("%+v\nwant %s", w.Routes, c.want)
		}
	}
}

func with(m config.Match, h config.HeaderMatch) config.Match {
	m.Headers = []config.HeaderMatch{h}
	return m
}

func also(c config.Conditions) config.Match {
	m := prefix("/")
	m.Also = &c
	return m
}

// TestExplainIsBounded: of ten thousand routes those are shown that came closest, and the one that was met.
func TestExplainIsBounded(t *testing.T) {
	var routes []*config.Route
	for i := range 10000 {
		m := exact(fmt.Sprint("/", i))
		if i == 5000 {
			m = with(prefix("/"), config.HeaderMatch{Name: "x", Present: true})
		}
		routes = append(routes, &config.Route{Name: fmt.Sprint(i), Match: m})
	}
	table := Compile(&config.RouteConfiguration{VirtualHosts: []*config.VirtualHost{{Name: "v", Domains: []string{"*"}, Routes: routes}}})
	w := table.Explain(&Input{Request: request("GET", "h", "/9000")})
	names := []string{}
	for _, s := range w.Routes {
		if s.Met || s.Name == "5000" {
			names = append(names, s.Name)
		}
	}
	if len(w.Routes) != mostListed || w.RoutesMore != 9001-mostListed || w.RoutesAfter != 999 || strings.Join(names, " ") != "5000 9000" {
		t.Errorf("%d listed, %d left out, %d after, among them %q", len(w.Routes), w.RoutesMore, w.RoutesAfter, names)
	}
}
