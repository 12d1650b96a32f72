package route

import (
	"strings"
	"testing"

	"github.com/weftmesh/weft/config"
)

// The rows were asked of Envoy 1.40. Hazard 49: nothing is unescaped, and a semicolon parts nothing.
func TestQueryMatch(t *testing.T) {
	is, no := true, false
	for _, test := range []struct {
		match   config.QueryMatch
		yes, no string
	}{
		{config.QueryMatch{String: text(config.StringExact, "b")}, "/?a=b /?a=b& /?&a=b /?x&a=b /?a=b&a=c", "/?a=c&a=b /?A=b /?a=%62 /?x;a=b /?a=b;c /?a / /??a=b /?a=b=c /?%61=b /?+a=b /?%zz"},
		{config.QueryMatch{String: text(config.StringExact, "")}, "/?a /?a= /?a&a=b", "/ /?b /?a=b"},
		{config.QueryMatch{String: text(config.StringSuffix, "%zz")}, "/?a=1;b=2%zz", "/?a=1"},
		{config.QueryMatch{Present: &is}, "/?a /?a= /?a=b /?b&a", "/ /?b /?aa /a?"},
		{config.QueryMatch{Present: &no}, "/ /?b /a?", "/?a /?a=b"},
	} {
		test.match.Name = "a"
		m := config.Match{Also: &config.Conditions{Query: []config.QueryMatch{test.match}}}
		for want, paths := range map[bool]string{true: test.yes, false: test.no} {
			for _, path := range strings.Fields(paths) {
				if matches(&m, in(request("GET", "h", path))) != want {
					t.Errorf("%+v: %s: %v", test.match, path, !want)
				}
			}
		}
	}
}

// The rows were asked of Envoy 1.40; fields are parted by |.
func TestCookieMatch(t *testing.T) {
	for _, test := range []struct {
		invert bool
		value  string
		yes    []string
		no     []string
	}{
		{false, "b", []string{"a=b", "x=1; a=b", "x=1;a=b", "x=1|a=b", `a="b"`, "a=b ", "\ta=b", ";a=b", "a=b; a=c", "x; a=b"},
			[]string{"", "a=c; a=b", "a=c|a=b", "a= b", "a =b", "A=b", "a", "a=b=c", `a="b`, "aa=b", "b"}},
		{true, "b", []string{"", "a=c", "x=b"}, []string{"a=b"}},
		{false, "", []string{"a=", `a=""`}, []string{"a", "", "="}},
	} {
		m := config.Match{Also: &config.Conditions{Cookies: []config.CookieMatch{{Name: "a", String: text(config.StringExact, test.value), Invert: test.invert}}}}
		for want, list := range map[bool][]string{true: test.yes, false: test.no} {
			for _, cookies := range list {
				r := request("GET", "h", "/")
				for _, c := range strings.Split(cookies, "|") {
					if c != "" {
						r.AddNamed([]byte("cookie"), []byte(c))
					}
				}
				if matches(&m, in(r)) != want {
					t.Errorf("%q, inverted %v: %q: %v", test.value, test.invert, cookies, !want)
				}
			}
		}
	}
}

func TestGRPCMatch(t *testing.T) {
	m := config.Match{Also: &config.Conditions{GRPC: true}}
	for kind, want := range map[string]bool{"application/grpc": true, "application/grpc+proto": true, "application/grpc+": true, "application/grpc-web": false,
		"application/grpc;x": false, "Application/grpc": false, "application/grpcx": false, "application/grp": false, "": false} {
		if matches(&m, in(request("POST", "h", "/", "content-type: "+kind))) != want {
			t.Errorf("%q: %v", kind, !want)
		}
	}
}

// Nobody presents a certificate to a proxy that speaks no TLS: a rule that asks for one is not met.
func TestCertificateMatch(t *testing.T) {
	is, no := true, false
	for _, test := range []struct {
		presented, validated *bool
		want                 bool
	}{{nil, nil, true}, {&no, nil, true}, {&no, &no, true}, {&is, nil, false}, {nil, &is, false}, {&no, &is, false}} {
		m := config.Match{Also: &config.Conditions{CertificatePresented: test.presented, CertificateValidated: test.validated}}
		if matches(&m, in(request("GET", "h", "/"))) != test.want {
			t.Errorf("%+v: %v", test, !test.want)
		}
	}
}

func TestShare(t *testing.T) {
	for share, want := range map[config.Fraction]int{{Of: 0, In: 100}: 0, {Of: 25, In: 100}: 2500, {Of: 100, In: 100}: 10000,
		{Of: 1, In: 10_000}: 1, {Of: 200, In: 100}: 10000} {
		m, n := config.Match{Also: &config.Conditions{Share: &share}}, 0
		for random := range uint64(10000) {
			if matches(&m, &Input{Request: request("GET", "h", "/"), Random: random, path: []byte("/")}) {
				n++
			}
		}
		if n != want {
			t.Errorf("%+v: %d of 10000, want %d", share, n, want)
		}
	}
}

func TestConnectMatch(t *testing.T) {
	connect := &config.Route{Match: config.Match{Kind: config.PathConnect}}
	routes := []*config.Route{{Match: prefix("/")}, {Match: prefix("")}, {Match: pattern(".*")}, connect}
	for range 2 { // walked and indexed
		x := compileIndex(routes)
		if got := x.find(in(request("CONNECT", "h:1", ""))); got != connect {
			t.Error("CONNECT meets another rule than its own")
		}
		if got := x.find(in(request("GET", "h:1", "/"))); got != routes[0] {
			t.Error("GET meets another rule than the first")
		}
		if x := compileIndex(routes[3:]); x.find(in(request("GET", "h:1", "/"))) != nil {
			t.Error("GET meets a rule for CONNECT")
		}
		for range small {
			routes = append(routes, &config.Route{Match: prefix("/x")})
		}
	}
}

// Hazard 39: parameters are taken out of each segment, as Envoy 1.40 was seen to do, so that they hide nothing of what follows.
func TestIgnoredParameters(t *testing.T) {
	table := Compile(&config.RouteConfiguration{IgnoreParameters: true, VirtualHosts: []*config.VirtualHost{{Domains: []string{"*"},
		Routes: []*config.Route{{Name: "exact", Match: exact("/a")}, {Name: "pattern", Match: pattern("/b/[a-z]+")}, {Name: "prefix", Match: prefix("/c/x")},
			{Name: "semicolon", Match: prefix("/d;")}, {Name: "rest", Match: prefix("/")}}}}})
	in := &Input{}
	for path, want := range map[string]string{"/a;x=1": "exact", "/a;": "exact", "/a;x/b": "rest", "/a;?q": "exact", "/a?q;x": "exact", "/b/c;1": "pattern",
		"/b/1;c": "rest", "/;/a": "rest", "/c;/x": "prefix", "/c;1;2/x;/y": "prefix", "/d;": "rest"} {
		in.Reset(request("GET", "h", path), 0)
		if got := table.Match(in).Route.Name; got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	in.Reset(request("GET", "h", "/c;1/x;2"), 0)
	if n := testing.AllocsPerRun(20, func() { table.Match(in) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzCookie holds that a cookie is found only where it stands, and that nothing panics over what peers send.
func FuzzCookie(f *testing.F) {
	f.Add("a=b; c=d", "/?a=b&c")
	f.Add(`a="`, "?")
	f.Add(`;;=;a="";`, "/?&&=&a")
	f.Fuzz(func(t *testing.T, cookies, path string) {
		r := request("GET", "h", path, "cookie: "+cookies)
		if value, ok := Cookie(r, "a"); ok && !strings.Contains(cookies, "a=") || !strings.Contains(cookies, string(value)) {
			t.Errorf("%q has %q", cookies, value)
		}
		if value, ok := Parameter([]byte(path), "a"); ok && !strings.Contains(path, "a") || !strings.Contains(path, string(value)) {
			t.Errorf("%q has %q", path, value)
		}
	})
}
