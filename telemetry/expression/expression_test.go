package expression

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/telemetry/accesslog"
	"github.com/weftmesh/weft/wire/http"
)

// exchange is one that was served by an upstream.
func exchange() *accesslog.Entry {
	r := &http.Request{}
	r.SetMethod([]byte("GET"))
	r.SetScheme([]byte("http"))
	r.SetAuthority([]byte("a.example"))
	r.SetPath([]byte("/p?q=1#f"))
	r.AddNamed([]byte("x-a"), []byte("1"))
	r.AddNamed([]byte("x-a"), []byte("2"))
	r.AddString(http.ContentLength, "7")
	s := &http.Response{Status: 404}
	s.AddNamed([]byte("x-b"), []byte("3"))
	return &accesslog.Entry{Request: r, Response: s, HasProtocol: true, Protocol: http.HTTP11, Status: 404, Flags: accesslog.NoRouteFound | accesslog.UpstreamOverflow,
		Start: time.Unix(1, 0), End: 1500 * time.Millisecond, UpstreamFirstSent: time.Millisecond, UpstreamEnd: 3 * time.Millisecond, BytesReceived: 5, BytesSent: 6,
		Cluster: "c", Routed: true, Route: "r", VirtualHost: "v", ConnectionID: 9, Attempts: 2,
		Metadata: config.Metadata{"m": {"n": 1.5, "s": "t"}}, State: []config.State{{Name: "k", Value: "w"}}}
}

func TestValues(t *testing.T) {
	none := &accesslog.Entry{End: -1, UpstreamFirstSent: -1, UpstreamEnd: -1}
	for text, want := range map[string][2]any{ // of an exchange, and of a connection that nothing is known of
		"request.path":             {"/p?q=1#f", error(nil)},
		"request.url_path":         {"/p", error(nil)},
		"request.query":            {"q=1", error(nil)},
		"request.host":             {"a.example", error(nil)},
		"request.headers['X-A']":   {"1,2", error(nil)},
		"request.headers.host":     {"a.example", error(nil)},
		"size(request.headers)":    {int64(6), int64(0)},
		"'x-c' in request.headers": {false, false},
		"has(request.headers.x)":   {false, false},
		"request.size":             {int64(7), int64(0)},
		"request.protocol":         {"HTTP/1.1", error(nil)},
		"request.duration":         {1500 * time.Millisecond, error(nil)},
		"request.time < timestamp('2020-01-01T00:00:00Z')": {true, true},
		"response.code":                       {int64(404), error(nil)},
		"response.code >= 400.5":              {true, error(nil)},
		"response.flags":                      {int64(1<<8 | 1<<7), int64(0)},
		"response.headers[':status']":         {"404", error(nil)},
		"response.headers":                    {map[string]any{":status": "404", "x-b": "3"}, map[string]any{}},
		"response.backend_latency":            {2 * time.Millisecond, error(nil)},
		"connection.id":                       {uint64(9), uint64(0)},
		"connection.mtls":                     {false, false},
		"connection.tls_version":              {error(nil), error(nil)},
		"upstream.request_attempt_count":      {uint64(2), uint64(0)},
		"xds.cluster_name":                    {"c", error(nil)},
		"xds.route_name":                      {"r", error(nil)},
		"metadata.filter_metadata.m.n":        {1.5, error(nil)},
		"metadata.filter_metadata['m']":       {map[string]any{"n": 1.5, "s": "t"}, error(nil)},
		"filter_state.k":                      {[]byte("w"), error(nil)},
		"request":                             {accesslog.Opaque("CelMap"), accesslog.Opaque("CelMap")},
		"[1u, 'a', null]":                     {[]any{uint64(1), "a", nil}, []any{uint64(1), "a", nil}},
		"type(1)":                             {accesslog.Opaque("CelType"), accesslog.Opaque("CelType")},
		"response.code ? 1 : 2":               {error(nil), error(nil)},
		"response.code == 404 || 1 / 0 > 0":   {true, error(nil)},
		"request.method + request.path":       {error(nil), error(nil)},
		"request.duration + request.duration": {3 * time.Second, error(nil)},
	} {
		x, err := Compile(text, Options{})
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		for i, e := range []*accesslog.Entry{exchange(), none} {
			v, ok := x.Value(e)
			if ok != (want[i] != error(nil)) || ok && !reflect.DeepEqual(v, want[i]) {
				t.Errorf("%s is %#v (%v), want %#v", text, v, ok, want[i])
			}
		}
	}
}

func TestOptions(t *testing.T) {
	x, err := Compile("string(response.code) + request.method == '404GET'", Options{Conversion: true, Concat: true})
	if err != nil || !x.Holds(exchange()) {
		t.Fatal(err)
	}
}

func TestWhatHoldsNot(t *testing.T) {
	for _, text := range []string{"response.code", "1 / 0 == 1", "request.headers.none == ''", "false", "'true'"} {
		if x, err := Compile(text, Options{}); err != nil || x.Holds(exchange()) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestWhatIsRefused(t *testing.T) {
	for text, want := range map[string]string{
		"":                               "is empty",
		"request.path ==":                "line 1, column 16",
		"request.header['x'] == 'y'":     `request has no "header"; it has path, `,
		"1 == 1 && request['pth'] == ''": `request has no "pth"`,
		"has(response.status)":           `response has no "status"`,
		"upstream.locality.region":       "upstream.locality is not supported yet",
		"metadata":                       "only metadata.filter_metadata",
		"xds.route_metadata":             "only xds.route_metadata.filter_metadata",
		"nothing":                        "undeclared reference to 'nothing'",
		"string(1)":                      "undeclared reference to 'string'",
		"'a' + 'b'":                      "no matching overload for '_+_'",
		"request.path.matches(request.headers.x)": "is to be written out",
		"matches('a', request.path)":              "is to be written out",
		"request.path.matches('(')":               "missing closing )",
		"request.path.matches('((a{100}){100})')": "regex",
		"[1] + [2]":                           "no matching overload for '_+_'",
		"[1].all(x, x == 1)":                  "undeclared reference",
		"true\n && 'a'":                       "line 2, column",
		strings.Repeat("!", maxText) + "true": "size",
		strings.Repeat("(", 100) + "1" + strings.Repeat(")", 100): "recursion",
	} {
		if _, err := Compile(text, Options{}); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%.40q: %v, want %s", text, err, want)
		}
	}
}

// TestWhatCostsTooMuch wants an expression that looks at a long path too often to fail, and not to take its time.
func TestWhatCostsTooMuch(t *testing.T) {
	x, err := Compile("request.path.matches('("+strings.Repeat("a?", 50)+")*x')"+strings.Repeat(" || request.path.matches('a*"+strings.Repeat("b", 200)+"')", 50)+" || true", Options{})
	if err != nil {
		t.Fatal(err)
	}
	e := exchange()
	e.Request.SetPath([]byte(strings.Repeat("a", 60<<10)))
	if x.Holds(e) {
		t.Error("it cost too much, and was answered")
	}
}

// TestEnvironmentsAreShared wants what is needed for expressions once for all of them.
func TestEnvironmentsAreShared(t *testing.T) {
	a, err := environment(Options{})
	b, _ := environment(Options{})
	if err != nil || a != b {
		t.Error(err)
	}
}
