package peers

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/test/e2e"
)

const dubboHTTP = `{"@type": type.googleapis.com/weft.dubbo.v1.HTTP`

// httpListener has requests become calls: of Greeter by the server that the path begins with, of Shop in Java.
func httpListener() string {
	route := func(server, methods string) string {
		return fmt.Sprintf(`{match: {prefix: /%s/}, route: {cluster: dubbo-%[1]s, timeout: 1s}, typed_per_filter_config: {weft.filters.http.dubbo: `+dubboHTTP+`, services: [%s]}}}`, server, methods)
	}
	greets := func(server string) string {
		text := "parameters: [{type: java.lang.String, query: text}]"
		return fmt.Sprintf(`{interface: %s, methods: [{name: greet, path: /%s/greet, %[3]s}, {name: attached, path: /%[2]s/attached, %[3]s, attach: [traceparent]}, {name: fail, path: /%[2]s/fail, %[3]s}]}`, greeter, server, text)
	}
	const shop = `{interface: org.example.peers.Shop, version: 1.0.0, group: blue, methods: [
  {name: place, path: /java/orders, http_methods: [POST], parameters: [{type: "org.example.peers.Shop$Order", body: true}]},
  {name: twice, path: /java/twice, parameters: [{type: "org.example.peers.Shop$Order", body: true}]},
  {name: told, path: /java/told, parameters: [{type: int, field: a}, {type: long, field: b}, {type: short, field: c}, {type: byte, field: d}, {type: char, field: e}, {type: float, field: f}, {type: double, field: g}, {type: boolean, field: h}, {type: java.lang.String, field: i}, {type: java.util.Date, field: j}, {type: java.math.BigDecimal, field: k}, {type: "org.example.peers.Shop$Kind", field: l}, {type: "int[]", field: m}, {type: "java.util.List<java.lang.String>", field: "n"}, {type: "java.util.Map<java.lang.String, java.lang.Integer>", field: o}, {type: "byte[]", field: p}]},
  {name: boxes, path: /java/boxes, parameters: [{type: java.lang.Integer, query: a}, {type: java.lang.Long, query: b}, {type: java.lang.Boolean, query: c}, {type: java.lang.String, query: d}]},
  {name: any, path: /java/any, parameters: [{type: java.lang.Object, body: true}]},
  {name: nothing, path: /java/nothing},
  {name: fail, path: /java/thrown, parameters: [{type: java.lang.String, query: text}]},
  {name: late, path: /java/late, parameters: [{type: int, query: ms}]},
  {name: missing, path: /java/missing}]}`
	return `
- name: http
  address: {socket_address: {address: 127.0.0.1, port_value: 0}}
  filter_chains:
  - filters:
    - name: h
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
        stat_prefix: http
        route_config: {name: r, virtual_hosts: [{name: all, domains: ["*"], routes: [` + route("java", greets("java")+", "+shop) + ", " + route("go", greets("go")) + `]}]}
        http_filters:
        - {name: weft.filters.http.dubbo, typed_config: ` + dubboHTTP + `}}
        - {name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
`
}

// httpRequests asks methods by HTTP, in JSON.
func httpRequests(t *testing.T, p *e2e.Proxy) {
	client := &http.Client{Timeout: limit}
	const told = `{"a": -5, "b": 9007199254740993, "c": 300, "d": -1, "e": "ü", "f": 1.5, "g": 2.25, "h": true, "i": "x\u00e4\ud83d\ude00\"y", "j": "2026-11-27T10:00:00Z", "k": 12345678901234567890.123, "l": "USED", "m": [1, 2, 3], "n": ["a", "b"], "o": {"x": 1, "y": 2}, "p": "AQID"}`
	const order = `{"id":41,"name":"ann","weight":1.5,"price":"12.50","when":1795773600123,"kind":"NEW","items":[{"sku":"a","count":3},{"sku":"b","count":4}],"stock":{"a":1,"b":2},"gift":true}`
	placed := strings.NewReplacer("41", "42", `"12.50"`, "12.50").Replace(strings.TrimSuffix(order, "}") + `,"none":null}`) // a number with decimals is exact as a text
	for _, c := range []struct {
		send, body string
		status     int
		want       string // of JSON, whatever the order of its fields
	}{
		{"GET /java/greet?text=a%20b", "", 200, `"java a b"`},
		{"GET /go/greet?text=a+b", "", 200, `"go a b"`},
		{"GET /java/attached?text=traceparent", "", 200, `"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"`},
		{"GET /go/attached?text=traceparent", "", 200, `"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"`},
		{"GET /java/attached?text=generic", "", 200, `"true"`},
		{"GET /java/thrown?text=so", "", 500, `{"exception": "java.lang.IllegalStateException", "message": "so"}`},
		{"GET /java/fail?text=so", "", 500, `{"exception": "java.lang.IllegalStateException", "message": "so"}`},
		{"GET /java/nothing", "", 200, `null`},
		{"POST /java/orders", order, 200, placed},
		{"POST /java/twice", order, 200, "[" + strings.Replace(placed, "42", "41", 1) + "," + strings.Replace(placed, "42", "41", 1) + "]"},
		{"POST /java/told", told, 200, `"-5|9007199254740993|300|-1|ü|1.5|2.25|true|xä😀\"y|1795773600000|12345678901234567890.123|USED|[1, 2, 3]|[a, b]|{x=1, y=2}|[1, 2, 3]"`},
		{"GET /java/boxes?a=1&c=false", "", 200, `"1|null|false|null"`},
		{"GET /java/boxes?b=9007199254740993&d=", "", 200, `"null|9007199254740993|null|"`},
		{"POST /java/any", `{"a": [1, 2.5, null, "x", {"b": 9007199254740993}], "c": {}, "d": [], "e": true}`, 200, `{"a": [1, 2.5, null, "x", {"b": 9007199254740993}], "c": {}, "d": [], "e": true}`},
		{"POST /java/any", `"` + strings.Repeat("ü😀", 60000) + `"`, 200, `"` + strings.Repeat("ü😀", 60000) + `"`},
		{"POST /java/any", `{"class": "java.lang.Runtime"}`, 400, ""},
		{"GET /java/late?ms=2000", "", 504, ""},
		{"GET /java/missing", "", 500, ""},
	} {
		verb, path, _ := strings.Cut(c.send, " ")
		r, err := http.NewRequest(verb, "http://"+p.Address("http")+path, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
		r.Header.Set("content-type", "application/json")
		began := time.Now()
		answer, err := client.Do(r)
		if err != nil {
			t.Errorf("%s: %v", c.send, err)
			continue
		}
		var got, want any
		d := json.NewDecoder(answer.Body)
		d.UseNumber()
		err = d.Decode(&got)
		answer.Body.Close()
		if c.want != "" {
			d := json.NewDecoder(strings.NewReader(c.want))
			d.UseNumber()
			if err := d.Decode(&want); err != nil {
				t.Fatalf("%s: %v", c.want, err)
			}
		}
		if answer.StatusCode != c.status || c.want != "" && (err != nil || fmt.Sprint(got) != fmt.Sprint(want)) {
			t.Errorf("%s %.300s: %d %.600v after %v\nwant %.600v", c.send, c.body, answer.StatusCode, got, time.Since(began), want)
		}
	}
}
