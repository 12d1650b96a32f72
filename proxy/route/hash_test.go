package route

import (
	"net/netip"
	"regexp"
	"testing"

	"github.com/weftmesh/weft/config"
)

func replacing(pattern string, with ...config.ReplacementPart) *config.Replacement {
	return &config.Replacement{Pattern: regexp.MustCompile(pattern), With: with}
}

func literally(text string) config.ReplacementPart { return config.ReplacementPart{Text: text} }

// Envoy 1.40 was asked which of 97 equal shares it chooses by the hash: what it answered is the remainder here.
func TestHashIsEnvoys(t *testing.T) {
	header := func(name string) config.HashPolicy { return config.HashPolicy{Kind: config.HashHeader, Name: name} }
	query, source, cookie := config.HashPolicy{Kind: config.HashQuery, Name: "q"}, config.HashPolicy{Kind: config.HashSource}, config.HashPolicy{Kind: config.HashCookie, Name: "c"}
	rewritten, last := header("x-h"), query
	rewritten.Replace, last.Terminal = replacing("b+", literally("x")), true
	none := -1
	for _, test := range []struct {
		policies []config.HashPolicy
		path     string
		fields   []string
		want     int
	}{
		{[]config.HashPolicy{header("x-h")}, "/", []string{"x-h: abc"}, 50},
		{[]config.HashPolicy{header("x-h")}, "/", []string{"x-h: abc", "x-h: def"}, 2},
		{[]config.HashPolicy{header("x-h")}, "/", []string{"x-h: def", "x-h: abc"}, 2},
		{[]config.HashPolicy{header("x-h")}, "/", []string{"x-h: b", "x-h: a", "x-h: c"}, 4},
		{[]config.HashPolicy{header("x-h")}, "/", []string{"x-h: "}, 11},
		{[]config.HashPolicy{header("x-h")}, "/", nil, none},
		{[]config.HashPolicy{source}, "/", nil, 55},
		{[]config.HashPolicy{query, rewritten}, "/w4?q=v", []string{"x-h: abbc"}, 43},
		{[]config.HashPolicy{query, rewritten}, "/w4?q=v", nil, 62},
		{[]config.HashPolicy{query, rewritten}, "/w4", []string{"x-h: abbc"}, 20},
		{[]config.HashPolicy{query, rewritten}, "/w4?q=%76", nil, 49},
		{[]config.HashPolicy{query, rewritten}, "/w4?q", nil, 11},
		{[]config.HashPolicy{query, rewritten}, "/w4", nil, none},
		{[]config.HashPolicy{last, header("x-h")}, "/w5?q=v", []string{"x-h: abbc"}, 62},
		{[]config.HashPolicy{last, header("x-h")}, "/w5", []string{"x-h: abbc"}, 30},
		{[]config.HashPolicy{cookie}, "/", []string{"cookie: c=abc"}, 50},
		{[]config.HashPolicy{cookie}, "/", []string{`cookie: c="abc"`}, 50},
		{[]config.HashPolicy{cookie}, "/", []string{"cookie: c="}, none},
		{[]config.HashPolicy{header(":path"), header("host"), header(":method")}, "/w7?a", nil, 33},
		{nil, "/", nil, none},
	} {
		hash, ok, given := Hash(test.policies, request("GET", "v.t", test.path, test.fields...), netip.MustParseAddr("127.0.0.1"), nil, nil)
		got := none
		if ok {
			got = int(hash % 97)
		}
		if got != test.want || given != 0 {
			t.Errorf("%+v, %s %q: %d, given %b; want %d", test.policies, test.path, test.fields, got, given, test.want)
		}
	}
	if _, ok, _ := Hash([]config.HashPolicy{source}, request("GET", "h", "/"), netip.Addr{}, nil, nil); ok {
		t.Error("a client without an address has a hash")
	}
}

func TestNewCookie(t *testing.T) {
	policies := []config.HashPolicy{{Kind: config.HashCookie, Name: "a"}, {Kind: config.HashCookie, Name: "b", Cookie: &config.NewCookie{}, Terminal: true},
		{Kind: config.HashCookie, Name: "c", Cookie: &config.NewCookie{}}}
	value := AppendCookieValue(nil, netip.MustParseAddrPort("127.0.0.1:1"), netip.MustParseAddrPort("127.0.0.1:2"))
	if string(value) != "3b508523cc08f873" {
		t.Errorf("value %s", value)
	}
	first, ok, given := Hash(policies, request("GET", "h", "/"), netip.Addr{}, nil, value)
	if !ok || given != 1<<1 {
		t.Errorf("%v, given %b: want the second, and nothing after it", ok, given)
	}
	// Who brings the cookie back is hashed the same.
	if hash, _, given := Hash(policies, request("GET", "h", "/", "cookie: b="+string(value)), netip.Addr{}, nil, nil); hash != first || given != 0 {
		t.Errorf("%x, given %b; want %x", hash, given, first)
	}
	if _, _, given := Hash(policies, request("GET", "h", "/", "cookie: b="), netip.Addr{}, nil, value); given != 1<<1 {
		t.Errorf("given %b for an empty cookie", given)
	}
	for want, c := range map[string]config.NewCookie{
		`n="v"; HttpOnly`:             {},
		`n="v"; Max-Age=10; HttpOnly`: {TTL: 10.5e9},
		`n="v"; Path=/x; HttpOnly`:    {TTL: 0.5e9, Path: "/x"},
		`n="v"; Max-Age=10; Path=/x; SameSite=Strict; Secure; HttpOnly`: {TTL: 10e9, Path: "/x", Attributes: []config.CookieAttribute{{Name: "SameSite", Value: "Strict"}, {Name: "Secure"}}},
	} {
		if got := string(AppendCookie(nil, &config.HashPolicy{Name: "n", Cookie: &c}, []byte("v"))); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestHashAllocatesNothing(t *testing.T) {
	policies := []config.HashPolicy{{Kind: config.HashHeader, Name: "x-h"}, {Kind: config.HashCookie, Name: "c"}, {Kind: config.HashSource}, {Kind: config.HashQuery, Name: "q"}}
	r, source := request("GET", "h", "/?q=1", "x-h: b", "x-h: a", "cookie: c=d"), netip.MustParseAddr("2001:db8::1")
	if n := testing.AllocsPerRun(20, func() { Hash(policies, r, source, nil, nil) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// The rows were asked of Envoy 1.40.
func TestReplaced(t *testing.T) {
	group := func(n int) config.ReplacementPart { return config.ReplacementPart{Group: n} }
	for _, test := range []struct {
		with       *config.Replacement
		path, want string
	}{
		{replacing("/r1/([a-z]+)/", literally("/n/"), group(1), group(1), literally("-"), group(0), literally("/")), "/r1/abc/d;e/f?/r1/abc/", "/n/abcabc-/r1/abc//d;e/f?/r1/abc/"},
		{replacing("x*", literally("-")), "/r2xx/yx?xx", "-/-r-2-/-y-?xx"},
		{replacing("^/r3"), "/r3/a?b", "/a?b"},
		{replacing("^/r3"), "/r3?b", ""},
		{replacing("/nothing"), "/a?b", "/a?b"},
		{replacing("(a)|(b)", group(2)), "/a?b", "/?b"},
	} {
		f := &config.Forward{Path: &config.PathRewrite{Replace: test.with}}
		if got := string(AppendRewritten(nil, f, nil, request("GET", "h", test.path))); got != test.want {
			t.Errorf("%s of %s: %s, want %s", test.with.Pattern, test.path, got, test.want)
		}
	}
	for _, test := range []struct {
		with       *config.Replacement
		strip      bool
		path, want string
	}{
		{replacing("^/r4/(.*)$", literally("/"), group(1), literally("?y")), false, "/r4/a/b?q", "http://h/a/b?y?q"},
		{replacing("^/r5/(.*)$", literally("/"), group(1)), true, "/r5/a/b?q", "http://h/a/b"},
		{replacing("^/r4/(.*)$"), false, "/r4", "http://h/r4"},
	} {
		d := &config.Redirect{Rewrite: &config.PathRewrite{Replace: test.with}, StripQuery: test.strip}
		if got := string(AppendLocation(nil, d, nil, request("GET", "h", test.path), nil)); got != test.want {
			t.Errorf("%s of %s: %s, want %s", test.with.Pattern, test.path, got, test.want)
		}
	}
}

func TestNumber(t *testing.T) {
	for value, want := range map[string]uint64{"0": 0, "13": 13, "+1": 1, "18446744073709551615": 1<<64 - 1} {
		if got, ok := Number(request("GET", "h", "/", "x: "+value), "x"); !ok || got != want {
			t.Errorf("%s: %d %v", value, got, ok)
		}
	}
	for _, value := range []string{"", "-1", "+", "1.5", "0x3", "abc", "18446744073709551616"} {
		if got, ok := Number(request("GET", "h", "/", "x: "+value), "x"); ok {
			t.Errorf("%q: %d", value, got)
		}
	}
}
