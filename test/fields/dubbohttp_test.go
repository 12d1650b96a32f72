package fields

import (
	"strings"
	"testing"

	"github.com/weftmesh/weft/test/e2e"
)

// dubboHTTPTrials are those of weft.dubbo.v1.HTTP. The probe asks by GET, or by POST with a JSON body, and gives what the provider heard, or why not.
var dubboHTTPTrials = []trial{
	{paths: "dubbo.v1.HTTP.services dubbo.v1.HTTPService.interface", site: becoming, base: "services: [{interface: a.B, methods: [{name: m, path: /a}]}]", flip: "services: [{interface: a.C, methods: [{name: m, path: /a}]}]", up: shopkeeper, probe: getting("/a"), want: [2]string{`"a.B:0.0.0:<nil> $invoke m [][]"`, `"a.C:0.0.0:<nil> $invoke m [][]"`}},
	{paths: "dubbo.v1.HTTPService.version", site: becomingOf, base: "version: 1.0.0", flip: "version: 2.0.0", up: shopkeeper, probe: getting("/a"), want: [2]string{`"a.B:1.0.0:<nil> $invoke m [][]"`, `"a.B:2.0.0:<nil> $invoke m [][]"`}},
	{paths: "dubbo.v1.HTTPService.group", site: becomingOf, base: "group: g", flip: "group: h", up: shopkeeper, probe: getting("/a"), want: [2]string{`"a.B:0.0.0:g $invoke m [][]"`, `"a.B:0.0.0:h $invoke m [][]"`}},
	{paths: "dubbo.v1.HTTPService.methods dubbo.v1.HTTPMethod.name", site: becomingBy, base: "name: m, path: /a", flip: "name: other, path: /a", up: shopkeeper, probe: getting("/a"), want: [2]string{heardBy("m [][]"), heardBy("other [][]")}},
	{paths: "dubbo.v1.HTTPMethod.path", site: becomingBy, base: "name: m, path: /a", flip: "name: m, path: /b", up: shopkeeper, probe: getting("/a"), want: [2]string{heardBy("m [][]"), noDubboMethod}},
	{paths: "dubbo.v1.HTTPMethod.http_methods", site: becomingBy, base: "name: m, path: /a, http_methods: [GET]", flip: "name: m, path: /a, http_methods: [PUT]", up: shopkeeper, probe: getting("/a"), want: [2]string{heardBy("m [][]"), `{"message":"no method is called by GET here: want PUT"}`}},
	{paths: "dubbo.v1.HTTPMethod.attach", site: becomingBy, base: "name: m, path: /a, attach: [group]", flip: "name: m, path: /a, attach: [x-a]", up: attached, probe: getting("/a"), want: [2]string{`"none"`, `"b"`}},
	{paths: "dubbo.v1.HTTPMethod.parameters dubbo.v1.HTTPParameter.type", site: becomingWith, base: "type: int, query: x", flip: "type: java.lang.String, query: x", up: shopkeeper, probe: getting("/a/s?x=5"), want: [2]string{heardBy("m [int][5]"), heardBy("m [java.lang.String][5]")}},
	{paths: "dubbo.v1.HTTPParameter.query", site: becomingWith, base: "type: int, query: x", flip: "type: int, query: z", up: shopkeeper, probe: getting("/a/s?x=5"), want: [2]string{heardBy("m [int][5]"), `{"message":"query parameter z is missing: want a value of type int"}`}},
	{paths: "dubbo.v1.HTTPParameter.header", site: becomingWith, base: "type: java.lang.String, header: x-a", flip: "type: java.lang.String, header: x-b", up: shopkeeper, probe: getting("/a/s"), want: [2]string{heardBy("m [java.lang.String][b]"), heardBy(`m [java.lang.String][<nil>]`)}},
	{paths: "dubbo.v1.HTTPParameter.segment", site: becomingWith, base: "type: java.lang.String, segment: s", flip: "type: java.lang.String, query: s", up: shopkeeper, probe: getting("/a/t"), want: [2]string{heardBy("m [java.lang.String][t]"), heardBy(`m [java.lang.String][<nil>]`)}},
	{paths: "dubbo.v1.HTTPParameter.field", site: becomingWith, base: "type: long, field: f", flip: "type: java.lang.Long, field: h", up: shopkeeper, probe: posting(`{"f": 7}`), want: [2]string{heardBy("m [long][7]"), heardBy(`m [java.lang.Long][<nil>]`)}},
	{paths: "dubbo.v1.HTTPParameter.body", site: becomingWith, base: "type: a.B, body: true", flip: "type: a.B, field: f", up: shopkeeper, probe: posting(`{"f": 7}`), want: [2]string{heardBy("m [a.B][map[f:7]]"), heardBy("m [a.B][7]")}},
	{paths: "Cluster.typed_extension_protocol_options", site: func(piece string) string {
		return strings.Replace(becomingBy("name: m, path: /a"), e2e.DubboUpstream, piece, 1)
	}, base: e2e.DubboUpstream, flip: "", up: shopkeeper, probe: getting("/a"), want: [2]string{heardBy("m [][]"), `{"message":"the endpoints of cluster \"up\" do not speak Dubbo: it needs weft.upstreams.dubbo in its typed_extension_protocol_options"}`}},
}

const noDubboMethod = `{"message":"no method is called by this path"}`

// heardBy is what the provider hears of a method of a.B.
func heardBy(said string) string { return `"a.B:0.0.0:<nil> $invoke ` + said + `"` }

func shopkeeper(t testing.TB) *e2e.Upstream { return e2e.Shopkeeper(t) }

// attached answers calls with what is attached under x-a.
func attached(t testing.TB) *e2e.Upstream {
	return e2e.Serve(t, func(_ *e2e.Upstream, c *e2e.Conn) {
		for {
			g, err := e2e.TakeGeneric(t, c)
			if err != nil {
				return
			}
			said, is := g.Attachments["x-a"]
			if !is {
				said = "none"
			}
			c.Write(e2e.DubboAnswer(t, g.Head.ID, 20, int32(1), said))
		}
	})
}

// becoming is a route whose requests become calls.
func becoming(piece string) string {
	const filter = `weft.filters.http.dubbo: {"@type": type.googleapis.com/weft.dubbo.v1.HTTP, `
	return e2e.Bootstrap(e2e.WithFilters(e2e.HTTPListener("routes: [{match: {prefix: /}, route: {cluster: up}, typed_per_filter_config: {"+filter+piece+"}}}]"), `- {name: weft.filters.http.dubbo, typed_config: {"@type": type.googleapis.com/weft.dubbo.v1.HTTP}}`), upCluster(e2e.DubboUpstream))
}

func becomingOf(piece string) string {
	return becoming("services: [{interface: a.B, " + piece + ", methods: [{name: m, path: /a}]}]")
}

func becomingBy(piece string) string {
	return becoming("services: [{interface: a.B, methods: [{" + piece + "}]}]")
}

func becomingWith(piece string) string {
	return becomingBy(`name: m, path: "/a/{s}", parameters: [{` + piece + "}]")
}

func getting(path string) func(*world) string {
	return func(w *world) string { return w.dial().Get(path, "x-a: b").Body }
}

func posting(body string) func(*world) string {
	return func(w *world) string {
		return w.dial().Send("POST /a/s HTTP/1.1\r\nhost: a\r\ncontent-length: 8\r\n\r\n" + body).Read("POST").Body
	}
}
