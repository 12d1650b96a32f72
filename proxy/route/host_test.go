package route

import (
	"strings"
	"testing"

	"github.com/weftmesh/weft/config"
)

// The rows were asked of Envoy 1.40.
func TestHost(t *testing.T) {
	domains := []string{"*", "a.b", "*.b", "*-x.b", "a.*", "a.b.*", "a.b:99", "a.c", "*.c:99", "a*", "[::1]", "[::1]:99", "a.b."}
	tables := [2]*Table{}
	for i, ignorePort := range []bool{false, true} {
		c := &config.RouteConfiguration{IgnorePortInHost: ignorePort}
		for _, d := range domains {
			c.VirtualHosts = append(c.VirtualHosts, &config.VirtualHost{Name: d, Domains: []string{d}})
		}
		tables[i] = Compile(c)
	}
	for _, test := range []struct{ authority, want, ignoringPort string }{
		{"a.b", "a.b", "a.b"},
		{"A.B", "a.b", "a.b"},
		{"a.b:99", "a.b:99", "a.b"},
		{"a.b:80", "a.*", "a.b"},
		{"a.b:", "a.*", "a.b"},
		{"a.b:zz", "a.*", "a.b"},
		{"a.b:80:80", "a.*", "a.*"},
		{"a.b.", "a.b.", "a.b."},
		{"q.b", "*.b", "*.b"},
		{"q-x.b", "*-x.b", "*-x.b"},
		{"q-x.b:80", "*", "*-x.b"},
		{".b", "*", "*"},
		{"a.z", "a.*", "a.*"},
		{"a.b.z", "a.b.*", "a.b.*"},
		{"a.c", "a.c", "a.c"},
		{"A.C:99", "*.c:99", "a.c"},
		{"q.c:99", "*.c:99", "*"},
		{"az", "a*", "a*"},
		{"a", "*", "*"},
		{"zz:1", "*", "*"},
		{"[::1]", "[::1]", "[::1]"},
		{"[::1]:99", "[::1]:99", "[::1]"},
		{"[::1]:5", "*", "[::1]"},
		{strings.Repeat("X", 5000) + ".b", "*.b", "*.b"},
		{"", "*", "*"},
	} {
		for i, want := range []string{test.want, test.ignoringPort} {
			if got := tables[i].Match(in(request("GET", test.authority, "/"))).VirtualHost; got == nil || got.Name != want {
				t.Errorf("%.20q, port ignored %v: %v, want %s", test.authority, i == 1, got, want)
			}
		}
	}
}

// A header may stand for the authority; the rows were asked of Envoy 1.40. Without it only a table that tells no hosts apart has one.
func TestVirtualHostHeader(t *testing.T) {
	all, c := &config.VirtualHost{Name: "all", Domains: []string{"*"}}, &config.VirtualHost{Name: "c", Domains: []string{"c.t"}}
	one := Compile(&config.RouteConfiguration{VirtualHostHeader: "x-vh", VirtualHosts: []*config.VirtualHost{all}})
	two := Compile(&config.RouteConfiguration{VirtualHostHeader: "x-vh", VirtualHosts: []*config.VirtualHost{all, c}})
	for _, test := range []struct {
		fields []string
		want   *config.VirtualHost
	}{{nil, nil}, {[]string{"x-vh: "}, all}, {[]string{"x-vh: c.t"}, c}, {[]string{"x-vh: q", "x-vh: c.t"}, all}, {[]string{"x-vh: C.T"}, c}, {[]string{"x-vh: c.t:80"}, all}} {
		r := in(request("GET", "c.t", "/", test.fields...))
		if got := one.Match(r).VirtualHost; got != all {
			t.Errorf("%q: %v, want the only one", test.fields, got)
		}
		if got := two.Match(r).VirtualHost; got != test.want {
			t.Errorf("%q: %v, want %v", test.fields, got, test.want)
		}
	}
}

func TestNoHost(t *testing.T) {
	table := Compile(&config.RouteConfiguration{VirtualHosts: []*config.VirtualHost{{Domains: []string{"a.b", "c.d"}}}})
	if got := table.Match(in(request("GET", "x", "/"))); got != (Result{}) {
		t.Errorf("%+v", got)
	}
	for _, authority := range []string{"a.b", "c.d"} {
		if got := table.Match(in(request("GET", authority, "/"))); got.VirtualHost == nil || got.Route != nil {
			t.Errorf("%s: %+v", authority, got)
		}
	}
}

// How a request came counts, not what its URL says (Envoy 1.40); hazard 42: no other spelling passes for https.
func TestRequireTLS(t *testing.T) {
	for _, test := range []struct {
		mode     config.RequireTLS
		proto    string
		fields   []string
		redirect bool
	}{
		{config.TLSNone, "http", nil, false},
		{config.TLSAll, "http", nil, true},
		{config.TLSAll, "https", nil, false},
		{config.TLSAll, "HTTPS", nil, true},
		{config.TLSAll, "", nil, true},
		{config.TLSAll, "https", []string{"x-forwarded-proto: https"}, false},
		{config.TLSAll, "http", []string{":scheme: https"}, true},
		{config.TLSAll, "http", []string{"x-envoy-internal: true"}, true},
		{config.TLSExternalOnly, "http", []string{"x-envoy-internal: true"}, false},
		{config.TLSExternalOnly, "http", nil, true},
		{config.TLSExternalOnly, "https", nil, false},
	} {
		route := &config.Route{Match: prefix("/"), Direct: &config.Direct{Status: 200}}
		table := Compile(&config.RouteConfiguration{VirtualHosts: []*config.VirtualHost{
			{Domains: []string{"*"}, RequireTLS: test.mode, Routes: []*config.Route{route}}}})
		got := table.Match(in(request("GET", "h", "/", append([]string{"x-forwarded-proto: " + test.proto}, test.fields...)...)))
		if got.VirtualHost == nil || got.TLSRedirect != test.redirect || (got.Route == nil) != test.redirect {
			t.Errorf("%+v: %+v", test, got)
		}
	}
	two := request("GET", "h", "/", "x-forwarded-proto: https")
	two.AddNamed([]byte("x-forwarded-proto"), []byte("http"))
	if cameByTLS(two) {
		t.Error("two words about how it came count as https")
	}
	for _, authority := range []string{"h.t", "h.t:80", "h.t:8080"} {
		if got, want := string(AppendTLSLocation(nil, request("GET", authority, "/a?q"))), "https://"+authority+"/a?q"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
