package accesslog

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/wire/http"
)

func TestWhatCostsSomething(t *testing.T) {
	a, b := netip.MustParseAddrPort("10.0.0.1:80"), netip.MustParseAddrPort("10.0.0.2:81")
	tunnel := &Entry{More: &More{Listener: "l", Ready: 3 * time.Millisecond, Chosen: true, Lent: true,
		Tried: []Tried{{Address: a}, {Address: b, Name: "b.example:81"}}, Reset: ResetByUs, UpstreamReset: ResetByPeer, Closed: "why", UpstreamClosed: "because"},
		UpstreamConnectionID: 7, UpstreamHost: b, UpstreamName: "b.example:81", UpstreamRemote: b}
	exchange := &Entry{HasProtocol: true, UpstreamHost: a, UpstreamConnectionID: 8, UpstreamRemote: a,
		More: &More{Chosen: true, Lent: true, Resolutions: 2, Resolving: 5 * time.Microsecond, Sent: HeadBytes{3, 4}, To: HeadBytes{4, 5}}}
	exchange.More.Received.Head(0, 0)
	exchange.More.Received.Head(10, 0)
	exchange.More.Received.Trailers(6, 0)
	waiting := &Entry{HasProtocol: true, UpstreamHost: a, More: &More{Chosen: true, Ready: -1}}
	nobody := &Entry{}
	for _, c := range []struct {
		text                                     string
		tunnel, exchange, waiting, without, json string // json: of the one without
	}{
		{"LISTENER_NAME", "l", "-", "-", "-", "null"},
		{"ROUTE_RESOLUTION_COUNT", "0", "2", "0", "0", "0"},
		{"ROUTE_RESOLUTION_TIME_US", "-", "5", "-", "-", "null"},
		{"UPSTREAM_CONNECTION_POOL_READY_DURATION", "3", "0", "-", "-", "null"},
		{"DOWNSTREAM_CX_RTT", "0", "0", "0", "0", "0"},
		{"DOWNSTREAM_HEADER_BYTES_RECEIVED", "0", "19", "0", "0", "0"},
		{"DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED", "0", "16", "0", "0", "0"},
		{"DOWNSTREAM_HEADER_BYTES_SENT", "0", "3", "0", "0", "0"},
		{"UPSTREAM_DECOMPRESSED_HEADER_BYTES_SENT", "0", "5", "0", "0", "0"},
		{"UPSTREAM_HEADER_BYTES_RECEIVED", "0", "0", "0", "0", "0"},
		{"DOWNSTREAM_DETECTED_CLOSE_TYPE", "LocalReset", "Normal", "Normal", "Normal", `"Normal"`},
		{"UPSTREAM_DETECTED_CLOSE_TYPE", "RemoteReset", "Normal", "Normal", "-", "null"},
		{"DOWNSTREAM_LOCAL_CLOSE_REASON", "why", "-", "-", "-", "null"},
		{"UPSTREAM_LOCAL_CLOSE_REASON", "because", "-", "-", "-", "null"},
		{"UPSTREAM_CONNECTION_IDS_ATTEMPTED", "7", "8", "-", "-", "null"},
		{"UPSTREAM_HOSTS_ATTEMPTED", "10.0.0.1:80,10.0.0.2:81", "10.0.0.1:80", "-", "-", "null"},
		{"UPSTREAM_HOSTS_ATTEMPTED_WITHOUT_PORT", "10.0.0.1,10.0.0.2", "10.0.0.1", "-", "-", "null"},
		{"UPSTREAM_HOST_NAMES_ATTEMPTED", "10.0.0.1:80,b.example:81", "10.0.0.1:80", "-", "-", "null"},
		{"UPSTREAM_HOST_NAMES_ATTEMPTED_WITHOUT_PORT", "10.0.0.1,b.example", "10.0.0.1", "-", "-", "null"},
		{"UPSTREAM_HOST_NAME_WITHOUT_PORT", "b.example", "10.0.0.1", "10.0.0.1", "-", "null"},
		{"DOWNSTREAM_LOCAL_ADDRESS_ENDPOINT_ID", "", "", "", "", `""`},
		{"UPSTREAM_REMOTE_ADDRESS_ENDPOINT_ID", "", "", "-", "-", "null"},
		{"UPSTREAM_SERVER_NAME", "-", "-", "-", "-", "null"},
		{"DOWNSTREAM_TLS_GROUP", "-", "-", "-", "-", "null"},
	} {
		f, err := Parse("%"+c.text+"%", Options{})
		if err != nil {
			t.Fatal(err)
		}
		for want, e := range map[*string]*Entry{&c.tunnel: tunnel, &c.exchange: exchange, &c.waiting: waiting, &c.without: nobody} {
			if got := string(f.Append(nil, e)); got != *want {
				t.Errorf("%s: %q, want %q", c.text, got, *want)
			}
		}
		j, err := ParseJSON(map[string]any{"v": "%" + c.text + "%"}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := string(j.Append(nil, nobody)), `{"v":`+c.json+"}\n"; got != want {
			t.Errorf("%s: %s, want %s", c.text, got, want)
		}
	}
	if !Asked() {
		t.Error("nobody is said to have asked")
	}
	f, _ := Parse("%UPSTREAM_HOSTS_ATTEMPTED% %UPSTREAM_HOST_NAMES_ATTEMPTED_WITHOUT_PORT% %COALESCE({\"operators\":[\"ROUTE_NAME\",\"LISTENER_NAME\"]})%", Options{})
	room := make([]byte, 0, 512)
	for _, e := range []*Entry{tunnel, exchange} {
		if n := testing.AllocsPerRun(100, func() { f.Append(room, e) }); n != 0 {
			t.Errorf("a line costs %v allocations", n)
		}
	}
}

func TestCoalesce(t *testing.T) {
	r := &http.Request{}
	r.SetAuthority([]byte("a.example"))
	r.SetMethod([]byte("GET"))
	r.AddNamed([]byte("x-empty"), nil)
	r.AddNamed([]byte("x-quote"), []byte(`say "a"`))
	e := &Entry{Request: r, Status: 200, About: About{OfCluster: config.Metadata{"ns": {"k": "v"}}}}
	for text, want := range map[string]string{
		`%COALESCE({"operators":["REQUESTED_SERVER_NAME",{"command":"REQ","param":":authority"}]})%`:       `a.example|"a.example"`,
		`%COALESCE({"operators":[{"command":"REQ","param":":authority","max_length":4}]})%`:                `a.ex|"a.ex"`,
		`%COALESCE({"operators":[{"command":"REQ","param":":authority","max_length":4}]}):2%`:              `a.|"a."`,
		`%COALESCE({"operators":[{"command":"REQ","param":"x-empty"},"RESPONSE_CODE"]})%`:                  `200|200`,
		`%COALESCE({"operators":["RESPONSE_CODE"]}):1%`:                                                    `2|200`,
		`%COALESCE({"operators":["ROUTE_NAME"]})%`:                                                         `-|null`,
		`%COALESCE({"operators":[{"command":"REQ","param":"x-quote"}]})%`:                                  `say "a"|"say \"a\""`,
		`%COALESCE({"operators":[{"command":"CLUSTER_METADATA","param":"ns:k"}]})%`:                        `v|"v"`,
		`%COALESCE({"operators":[{"command":"COALESCE","param":"{\"operators\":[\"RESPONSE_CODE\"]}"}]})%`: `200|200`,
	} {
		f, err := Parse(text, Options{})
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		j, _ := ParseJSON(map[string]any{"v": text}, Options{})
		line, _ := strings.CutSuffix(string(j.Append(nil, e)), "}\n")
		if got := string(f.Append(nil, e)) + "|" + strings.TrimPrefix(line, `{"v":`); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	deep := `{"operators":["PROTOCOL"]}`
	for text, want := range map[string]string{
		`%COALESCE%`:                         "wants a parameter",
		`%COALESCE()%`:                       "wants a parameter",
		`%COALESCE(x)%`:                      "want {",
		`%COALESCE({"operators":[]})%`:       "at least one",
		`%COALESCE({"operators":["NOPE"]})%`: "operators[0]: NOPE: not an operator",
		`%COALESCE({"operators":["REQ"]})%`:  "wants a parameter",
		`%COALESCE({"operators":[{"command":"PROTOCOL","param":"x"}]})%`:           "neither a parameter",
		`%COALESCE({"operators":[{"command":"REQ","param":"a","max_length":0}]})%`: "at least 1",
		`%COALESCE({"operators":[{"command":"REQ","param":"a","max_lenght":3}]})%`: "unknown field",
		`%COALESCE(` + deep + deep + `)%`:                                          "something follows",
		`%COALESCE({"operators":[7]})%`:                                            "want the name",
		`%COALESCE({"operators":[null]})%`:                                         "not an operator",
		`%CLUSTER_METADATA%`:                                                       "wants a parameter",
		`%LISTENER_NAME:3%`:                                                        "neither a parameter",
	} {
		if _, err := Parse(text, Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
