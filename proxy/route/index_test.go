package route

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/wire/http"
)

// drawn makes tables and requests that meet each other often, out of a source of choices. Small alphabets make prefixes nest.
type drawn struct{ next func(n int) int }

var segments = []string{"/", "/a", "/A", "/ab", "/b", "a", "B", "?", "#", "/é", "\xff", "%2f", "\uFFFD", "/k", "/\u212a"}

func (d drawn) path() string {
	var b strings.Builder
	for range d.next(5) {
		b.WriteString(segments[d.next(len(segments))])
	}
	return b.String()
}

var expressions = []string{
	"/a.*", ".*", "/a|/b", "/(a|ab)/[0-9]+", "(?i)/a.*", "/a+", "/a?b", "/[ab]/a", ".*/b", "/a/(?:b|a)(?:/a|/b)?", "", "/é.*", "/\uFFFD", "[^/]*",
	"/a{2}", "/(?i:k)", "(/a)+", "/a\\b.*", "/ab|.*b", "/[a-c]b?", ".+a/b.*", "\\x{fffd}+", "(?s:/a.)", "/a$|/b$", "a^b", "[[:^ascii:]]",
}

func (d drawn) match() config.Match {
	m := config.Match{Kind: config.PathKind(d.next(5)), CaseSensitive: d.next(3) > 0, Path: d.path()}
	if m.Kind == config.PathRegex {
		e := expressions[d.next(len(expressions))]
		if d.next(3) == 0 {
			e = regexp.QuoteMeta(strings.ToValidUTF8(m.Path, "\uFFFD")) + e
		}
		m = pattern(e)
		if d.next(6) == 0 {
			m.Regex = regexp.MustCompile(e) // matches in the middle of a path
		}
	}
	if d.next(4) == 0 {
		m.Headers = []config.HeaderMatch{{Name: "x", String: text(config.StringExact, "a"), Invert: d.next(2) == 0}}
	}
	if d.next(4) == 0 {
		m.Also = &config.Conditions{Query: []config.QueryMatch{{Name: "q", String: text(config.StringExact, "a")}}}
	}
	return m
}

func (d drawn) routes(n int) []*config.Route {
	routes := make([]*config.Route, n)
	for i := range routes {
		routes[i] = &config.Route{Name: fmt.Sprint(i), Match: d.match()}
	}
	return routes
}

func (d drawn) request() *http.Request {
	method, path := "GET", d.path()
	switch d.next(5) {
	case 0:
		path += "?q=a"
	case 1:
		method, path = "CONNECT", ""
	}
	r := request(method, "h", path)
	for range d.next(3) {
		r.AddNamed([]byte("x"), []byte([]string{"a", "b"}[d.next(2)]))
	}
	return r
}

func name(r *config.Route) string {
	if r == nil {
		return "none"
	}
	return fmt.Sprintf("%s (%v %q %v)", r.Name, r.Match.Kind, r.Match.Path, r.Match.Regex)
}

// The index finds what walking the rules finds.
func TestIndexIsTheWalk(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	d := drawn{random.IntN}
	met := 0
	for range 150 {
		routes := d.routes(small + 1 + d.next(60))
		if d.next(2) == 0 { // no rule for everything near the front
			for _, r := range routes[:len(routes)-3] {
				if len(r.Match.Path) < 2 && r.Match.Kind != config.PathRegex {
					r.Match.Path = "/a/b"
				}
			}
		}
		x := compileIndex(routes)
		if x.linear {
			t.Fatal("the table is too small to test the index")
		}
		for range 60 {
			r := d.request()
			got, want := x.find(in(r)), first(routes, in(r))
			if got != want {
				t.Fatalf("%q: %s, want %s", r.Path(), name(got), name(want))
			}
			if want != nil {
				met++
			}
		}
	}
	if met < 2000 || met > 8800 {
		t.Errorf("%d of 9000 requests met a route: the test does not look at both", met)
	}
}

func FuzzIndex(f *testing.F) {
	f.Add([]byte("0123456789"), "/a/b?c")
	f.Add([]byte{1, 1, 1, 2, 2, 2, 0, 3, 3, 3, 255, 254, 7, 9, 200, 13, 57, 99}, "/A#")
	f.Add([]byte("weft"), "/\xff")
	f.Fuzz(func(t *testing.T, choices []byte, path string) {
		at := 0
		d := drawn{func(n int) int {
			at++
			if at > len(choices) {
				return at % n
			}
			return int(choices[at-1]) % n
		}}
		routes := d.routes(small + 1 + len(choices)/8%64)
		x := compileIndex(routes)
		for _, r := range []*http.Request{request("GET", "h", path), d.request(), d.request()} {
			if got, want := x.find(in(r)), first(routes, in(r)); got != want {
				t.Fatalf("%q: %s, want %s", r.Path(), name(got), name(want))
			}
		}
	})
}

// What literals says of an expression is true of everything that the expression matches.
func FuzzLiterals(f *testing.F) {
	for _, e := range expressions {
		f.Add(e, "/ab/a", true)
		f.Add(e, "/\xff", false)
	}
	f.Fuzz(func(t *testing.T, expression, path string, anchor bool) {
		if anchor {
			expression = "^(?:" + expression + ")$"
		}
		re, err := regexp.Compile(expression)
		if err != nil || len(path) > 1000 || !re.MatchString(path) {
			return
		}
		heads, contains := literals(re.String())
		if !strings.Contains(path, contains) {
			t.Errorf("%s matches %q, which does not contain %q", expression, path, contains)
		}
		begun := heads == nil
		for _, h := range heads {
			begun = begun || strings.HasPrefix(path, h)
		}
		if !begun {
			t.Errorf("%s matches %q, which begins with none of %q", expression, path, heads)
		}
	})
}

func TestLiterals(t *testing.T) {
	for _, test := range []struct{ expression, heads, contains string }{
		{`^(?:/api/v1/users/[0-9]+)$`, "/api/v1/users/0 /api/v1/users/1 /api/v1/users/2 /api/v1/users/3 /api/v1/users/4 /api/v1/users/5 " +
			"/api/v1/users/6 /api/v1/users/7 /api/v1/users/8 /api/v1/users/9", "/api/v1/users/"},
		{`^(?:/api/.*/items)$`, "/api/", "/items"},
		{`^(?:/(foo|bar)/.*)$`, "/foo/ /bar/", "/"},
		{`^(?:/v[12]/x.*)$`, "/v1/x /v2/x", "/v"},
		{`^(?:.*\.png)$`, "", ".png"},
		{`/api`, "", "/api"},
		{`^/api`, "/api", "/api"},
		{`^(?:(?i)/api)$`, "", ""},
		{`^(?:/a|.*b)$`, "", ""},
		{`(?m)^/a`, "", "/a"},
	} {
		heads, contains := literals(test.expression)
		if got := strings.Join(heads, " "); got != test.heads || contains != test.contains {
			t.Errorf("%s: %q %q", test.expression, got, contains)
		}
	}
}

// elevenPrefixes is the table of the bench: the last prefix matches.
func elevenPrefixes() []*config.Route {
	var routes []*config.Route
	for i := range 10 {
		routes = append(routes, &config.Route{Match: prefix(fmt.Sprintf("/svc%d/", i))})
	}
	return append(routes, &config.Route{Match: prefix("/api/")})
}

// mixed is n routes of which a third each are exact, prefixes and expressions that begin with a literal, and 20 more expressions that
// do not, spread over the table.
func mixed(n int) ([]*config.Route, []*http.Request) {
	var routes []*config.Route
	var requests []*http.Request
	for i := range n {
		var m config.Match
		path := ""
		switch i % 3 {
		case 0:
			path = fmt.Sprintf("/shop/%d/cart", i)
			m = exact(path)
		case 1:
			m, path = prefix(fmt.Sprintf("/team%d/app%d/", i%37, i)), fmt.Sprintf("/team%d/app%d/index.html?x=1", i%37, i)
		default:
			m, path = pattern(fmt.Sprintf("/users%d/[^/]+/orders", i)), fmt.Sprintf("/users%d/alice/orders", i)
		}
		routes = append(routes, &config.Route{Name: fmt.Sprint(i), Match: m})
		if i%max(n/64, 1) == 0 {
			requests = append(requests, request("GET", "h", path))
		}
		for j := 20 * i / n; j < 20*(i+1)/n; j++ {
			routes = append(routes, &config.Route{Match: pattern(fmt.Sprintf(`.*/legacy%d/.*\.php`, j))})
		}
	}
	return routes, requests
}

func TestMixedTables(t *testing.T) {
	for _, n := range []int{10, 100, 1000} {
		routes, requests := mixed(n)
		x := compileIndex(routes)
		for _, r := range requests {
			if got, want := x.find(in(r)), first(routes, in(r)); got != want || want == nil {
				t.Errorf("%d: %q: %s, want %s", n, r.Path(), name(got), name(want))
			}
		}
	}
}

func TestMatchAllocatesNothing(t *testing.T) {
	routes, requests := mixed(1000)
	d := drawn{rand.New(rand.NewPCG(3, 4)).IntN}
	first := d.routes(20)
	for _, r := range first {
		if r.Match.Kind == config.PathRegex { // package regexp pools its machines, and the race detector has pools forget some
			r.Match = prefix("/none")
		}
	}
	routes = append(first, routes...)
	routes[1].Match.Also = &config.Conditions{Query: []config.QueryMatch{{Name: "x", String: text(config.StringExact, "2")}},
		Cookies: []config.CookieMatch{{Name: "a", String: text(config.StringExact, "b"), Invert: true}}, Share: &config.Fraction{Of: 99, In: 100}}
	routes[1].Match.Kind, routes[1].Match.Path = config.PathPrefix, ""
	routes[0].Match.Headers = []config.HeaderMatch{{Name: "x", Range: &config.Int64Range{End: 9}}, {Name: "x-other", Present: true}}
	requests = append(requests, d.request(), request("GET", "h", strings.Repeat("/A", 500), "x: none", "x: 99999999999999999999"))
	table := Compile(&config.RouteConfiguration{VirtualHosts: []*config.VirtualHost{
		{Domains: []string{"*.x", "h"}, Routes: routes}, {Domains: []string{"*"}}}})
	inputs := ins(requests)
	if n := testing.AllocsPerRun(20, func() {
		for _, in := range inputs {
			table.Match(in)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	redirect, where := config.Redirect{HTTPS: true, Port: 8443, StripQuery: true}, prefix("/")
	r, buffer := request("GET", "h:80", "/a?b"), make([]byte, 0, 200)
	if n := testing.AllocsPerRun(20, func() {
		AppendLocation(buffer, &redirect, &where, r, nil)
		AppendRewritten(buffer, &config.Forward{PrefixRewrite: "/x"}, &where, r)
	}); n != 0 {
		t.Errorf("%v allocations for a location and a rewritten path", n)
	}
}

func BenchmarkMatch(b *testing.B) {
	for _, n := range []int{10, 100, 1000, 10000} {
		routes, requests := mixed(n)
		inputs := ins(requests)
		table := Compile(&config.RouteConfiguration{VirtualHosts: []*config.VirtualHost{{Domains: []string{"*"}, Routes: routes}}})
		b.Run(fmt.Sprintf("routes=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if table.Match(inputs[i%len(inputs)]).Route == nil {
					b.Fatal("no route")
				}
			}
		})
	}
}

// BenchmarkFind is the index against walking the rules.
func BenchmarkFind(b *testing.B) {
	compare := func(name string, routes []*config.Route, requests []*http.Request) {
		inputs, x, walk := ins(requests), index{routes: routes}, index{routes: routes, linear: true}
		x.build()
		for how, x := range map[string]*index{"index": &x, "walk": &walk} {
			b.Run(name+"/"+how, func(b *testing.B) {
				for i := 0; b.Loop(); i++ {
					if x.find(inputs[i%len(inputs)]) == nil {
						b.Fatal("no route")
					}
				}
			})
		}
	}
	last := []*http.Request{request("GET", "h", "/api/b1k/items?id=1")}
	for _, n := range []int{4, 6, 8, 11} {
		compare(fmt.Sprintf("prefixes=%d", n), elevenPrefixes()[11-n:], last)
	}
	routes, requests := mixed(10)
	compare("routes=10", routes, requests)
}

func BenchmarkCompile(b *testing.B) {
	routes, _ := mixed(10000)
	b.ReportAllocs()
	for b.Loop() {
		compileIndex(routes)
	}
}
