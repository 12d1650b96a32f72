package accesslog

import (
	"testing"
	"time"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/wire/http"
)

func TestFilters(t *testing.T) {
	response := &http.Response{}
	response.AddString(http.GRPCStatus, "5")
	request := &Entry{Request: &http.Request{}, Response: response, HasProtocol: true, Status: 404, End: 20 * time.Millisecond, Flags: NoRouteFound}
	connection := &Entry{End: -1}
	status := func(c config.Comparison, v uint32) config.LogFilter {
		return config.LogFilter{Kind: config.LogStatus, Compare: c, Value: v}
	}
	yes, no := status(config.CompareAtLeast, 0), status(config.CompareAtLeast, 1000)
	var fits everything
	for name, c := range map[string]struct {
		filter config.LogFilter
		entry  *Entry
		match  Rules
		want   bool
	}{
		"status":               {filter: status(config.CompareEqual, 404), want: true},
		"another status":       {filter: status(config.CompareEqual, 405)},
		"not another status":   {filter: status(config.CompareOther, 405), want: true},
		"at most":              {filter: status(config.CompareAtMost, 404), want: true},
		"less":                 {filter: status(config.CompareAtMost, 403)},
		"no status is 0":       {filter: status(config.CompareEqual, 0), entry: connection, want: true},
		"long enough":          {filter: config.LogFilter{Kind: config.LogDuration, Compare: config.CompareAtLeast, Value: 20}, want: true},
		"too short":            {filter: config.LogFilter{Kind: config.LogDuration, Compare: config.CompareAtLeast, Value: 21}},
		"not over":             {filter: config.LogFilter{Kind: config.LogDuration, Compare: config.CompareAtLeast}, entry: connection},
		"no health check":      {filter: config.LogFilter{Kind: config.LogNoHealthCheck}, want: true},
		"health check":         {filter: config.LogFilter{Kind: config.LogNoHealthCheck}, entry: &Entry{HealthCheck: true}},
		"nobody":               {filter: config.LogFilter{Kind: config.LogShare, Share: config.Fraction{Of: 0, In: 100}}},
		"the 7th of 10":        {filter: config.LogFilter{Kind: config.LogShare, Share: config.Fraction{Of: 8, In: 10}}, want: true},
		"not among 7 of 10":    {filter: config.LogFilter{Kind: config.LogShare, Share: config.Fraction{Of: 7, In: 10}}},
		"both":                 {filter: config.LogFilter{Kind: config.LogAll, Parts: []config.LogFilter{yes, yes}}, want: true},
		"not both":             {filter: config.LogFilter{Kind: config.LogAll, Parts: []config.LogFilter{yes, no}}},
		"one":                  {filter: config.LogFilter{Kind: config.LogAny, Parts: []config.LogFilter{no, yes}}, want: true},
		"none":                 {filter: config.LogFilter{Kind: config.LogAny, Parts: []config.LogFilter{no, no}}},
		"field":                {filter: config.LogFilter{Kind: config.LogHeaders, Headers: make([]config.HeaderMatch, 1)}, match: fits, want: true},
		"no fields":            {filter: config.LogFilter{Kind: config.LogHeaders, Headers: make([]config.HeaderMatch, 1)}, entry: connection},
		"absent field":         {filter: config.LogFilter{Kind: config.LogHeaders, Headers: []config.HeaderMatch{{Invert: true}}}, entry: connection, want: true},
		"any flag":             {filter: config.LogFilter{Kind: config.LogFlags}, want: true},
		"no flag":              {filter: config.LogFilter{Kind: config.LogFlags}, entry: connection},
		"flag":                 {filter: config.LogFilter{Kind: config.LogFlags, Flags: []string{"UH", "NR"}}, want: true},
		"another flag":         {filter: config.LogFilter{Kind: config.LogFlags, Flags: []string{"UH"}}},
		"status of gRPC":       {filter: config.LogFilter{Kind: config.LogGRPC, Codes: []int{0, 5}}, want: true},
		"none of gRPC's":       {filter: config.LogFilter{Kind: config.LogGRPC, Codes: []int{0, 5}, Exclude: true}},
		"what HTTP stands for": {filter: config.LogFilter{Kind: config.LogGRPC, Codes: []int{12 + 2}}, entry: &Entry{Status: 503}, want: true},
		"nothing is unknown":   {filter: config.LogFilter{Kind: config.LogGRPC, Codes: []int{2}}, entry: connection, want: true},
		"a request's end":      {filter: config.LogFilter{Kind: config.LogTypes, OfHTTP: 1 << config.LogAtEnd}, want: true},
		"not a connection's":   {filter: config.LogFilter{Kind: config.LogTypes, OfHTTP: 1 << config.LogAtEnd}, entry: connection},
		"not its beginning":    {filter: config.LogFilter{Kind: config.LogTypes, OfHTTP: 1 << config.LogAtStart}},
		"a value":              {filter: config.LogFilter{Kind: config.LogMetadata, Metadata: &config.MetadataMatch{}}, entry: &Entry{Metadata: config.Metadata{}}, match: fits, want: true},
		"nothing noted":        {filter: config.LogFilter{Kind: config.LogMetadata, Metadata: &config.MetadataMatch{}}, match: fits},
		"nothing is enough":    {filter: config.LogFilter{Kind: config.LogMetadata, Metadata: &config.MetadataMatch{}, Missing: true}, match: fits, want: true},
		"all but connections":  {filter: config.LogFilter{Kind: config.LogTypes, OfTCP: 1 << config.LogAtEnd, Exclude: true}, want: true},
	} {
		e := c.entry
		if e == nil {
			e = request
		}
		if got := NewFilter(&c.filter).Wants(e, 1007, c.match); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if !NewFilter(nil).Wants(request, 0, nil) {
		t.Error("no filter lets nothing be logged")
	}
	f := config.LogFilter{Kind: config.LogAll, Parts: []config.LogFilter{{Kind: config.LogFlags, Flags: []string{"NR"}}, {Kind: config.LogGRPC, Codes: []int{5}}}}
	compiled := NewFilter(&f)
	if n := testing.AllocsPerRun(100, func() { compiled.Wants(request, 1, fits) }); n != 0 {
		t.Errorf("%v allocations for each entry", n)
	}
}

// everything is rules that everything fits.
type everything struct{}

func (everything) MatchHeaders([]config.HeaderMatch, *http.Request) bool { return true }
func (everything) MatchMetadata(*config.MetadataMatch, config.Metadata) (fits, found bool) {
	return true, true
}

// TestWhatFewFormatsAskFor writes what the real Envoy wrote when it was asked.
func TestWhatFewFormatsAskFor(t *testing.T) {
	r := &http.Request{}
	r.SetPath([]byte("/new?q=1&r=%20"))
	r.AddString(http.XEnvoyOriginalPath, "/old?q=%41")
	r.AddString(http.ContentType, "application/grpc")
	trailers := &http.Header{}
	trailers.AddString(http.GRPCStatus, "5")
	e := &Entry{Request: r, ResponseTrailers: trailers, HasProtocol: true, UpstreamConnectionID: 1, UpstreamProtocol: http.HTTP11, UpstreamName: "named.test",
		About: About{OfEndpoint: {"a": {"b": "ep"}}, OfRoute: {"a": {"b": "rt"}}}, Metadata: config.Metadata{"a": {"b": "noted"}}}
	for text, want := range map[string]string{
		"%PATH%": "/old?q=%41", "%PATH(NQ)%": "/old", "%PATH(NQ:PATH)%": "/new", "%PATH(WQ:PATH)%": "/new?q=1&r=%20", "%PATH(WQ:ORIG)%": "/old?q=%41",
		"%REQ_WITHOUT_QUERY(x-envoy-original-path?:path)%": "/old", "%REQ_WITHOUT_QUERY(:PATH):2%": "/n", "%REQUEST_HEADER(content-type):5%": "appli",
		"%QUERY_PARAMS%": "q=%41", "%GRPC_STATUS%": "NotFound", "%GRPC_STATUS(SNAKE_STRING)%": "NOT_FOUND",
		"%GRPC_STATUS(NUMBER)%": "5", "%GRPC_STATUS_NUMBER%": "5", "%LOCAL_REPLY_BODY%": "", "%ACCESS_LOG_TYPE%": "DownstreamEnd",
		"%UPSTREAM_PROTOCOL%": "HTTP/1.1", "%UPSTREAM_HOST_NAME%": "named.test", "%METADATA(DYNAMIC:a:b)%": "noted", "%METADATA(UPSTREAM_HOST:a:b)%": "ep", "%METADATA(ROUTE:a:b)%": "rt", "%METADATA(CLUSTER:a:b)%": "-",
		"%UPSTREAM_METADATA(a)%": `{"b":"ep"}`, "%BYTES_RETRANSMITTED%": "0", "%CUSTOM_FLAGS%": "", "%TRACE_ID%": "-", "%DOWNSTREAM_PEER_CERT_V_START(%Y)%": "-",
	} {
		f, err := Parse(text, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := string(f.Append(nil, e)); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
	for _, text := range []string{"%PATH(X)%", "%PATH(WQ:X)%", "%QUERY_PARAMS(DECODED)%", "%GRPC_STATUS(X)%", "%METADATA(OTHER:a)%", "%METADATA(DYNAMIC)%", "%METADATA%", "%CEL(1)%"} {
		if _, err := Parse(text, Options{}); err == nil {
			t.Errorf("%s is taken", text)
		}
	}
}

// TestOmittedInJSON leaves out what the real Envoy leaves out.
func TestOmittedInJSON(t *testing.T) {
	f, err := ParseJSON(map[string]any{"a": "%REQ(x)%", "b": "%PROTOCOL%", "c": "p %REQ(x)% q", "d": map[string]any{"e": "%REQ(x)%"}, "f": []any{"%REQ(x)%", "%RESPONSE_CODE%"},
		"g": "", "p": []any{"%REQ(x)%"}, "h": map[string]any{"i": "%REQ(x)%", "j": 1.5, "k": nil, "l": true, "m": 12345678901.0}}, Options{OmitEmpty: true})
	if err != nil {
		t.Fatal(err)
	}
	e := &Entry{Request: &http.Request{}, HasProtocol: true, Protocol: http.HTTP11, Status: 200}
	const want = `{"b":"HTTP/1.1","c":"p  q","f":[200],"g":"","h":{"j":1.5,"l":true,"m":12345678901},"p":[]}` + "\n"
	if got := string(f.Append(nil, e)); got != want {
		t.Errorf("got  %swant %s", got, want)
	}
}
