package oracle

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/weftmesh/weft/test/e2e"
	"github.com/weftmesh/weft/test/envoy"
	"github.com/weftmesh/weft/test/vacant"
	"github.com/weftmesh/weft/wire/dubbo"
)

// dubboRoutes are of one table, which both are asked about.
const dubboRoutes = `
- interface: org.example.Greeter
  version: 1.0.0
  routes:
  - {match: {method: {name: {exact: greet}, params_match: {0: {exact_match: ann}, 1: {range_match: {start: 5, end: 10}}}}}, route: {cluster: two}}
  - {match: {method: {name: {exact: count}, params_match: {0: {range_match: {start: -5, end: 10}}}}}, route: {cluster: two}}
  - {match: {method: {name: {exact: any}, params_match: {0: {exact_match: ""}}}}, route: {cluster: two}}
  - {match: {@ANY@, headers: [{name: canary, string_match: {exact: "yes"}}]}, route: {cluster: two}}
  - {match: {@ANY@, headers: [{name: tries, range_match: {start: 3, end: 4}}]}, route: {cluster: two}}
  - {match: {@ANY@, headers: [{name: there, present_match: true}]}, route: {cluster: two}}
  - {match: {method: {name: {prefix: greet}}}, route: {cluster: one}}
- {interface: org.example.Other, group: blue, routes: [{match: {@ANY@}, route: {cluster: one}}]}
- {interface: "org.*", version: 9.0.0, routes: [{match: {@ANY@}, route: {cluster: one}}]}
- {interface: "*.Wild", routes: [{match: {@ANY@}, route: {cluster: two}}]}
- {interface: org.example.Lost, routes: [{match: {@ANY@}, route: {cluster: nowhere}}]}
- {interface: org.example.Down, routes: [{match: {@ANY@}, route: {cluster: empty}}]}
- {interface: org.example.Refused, routes: [{match: {@ANY@}, route: {cluster: refused}}]}
- {interface: org.example.Subset, routes: [{match: {@ANY@}, route: {cluster: parts, metadata_match: {filter_metadata: {envoy.lb: {v: "2"}}}}}]}
- {interface: org.example.Weighted, routes: [{match: {@ANY@}, route: {weighted_clusters: {clusters: [{name: one, weight: 0}, {name: two, weight: 5}]}}}]}`

// dubboText is the bootstrap of both: the port of the listener, and those of two providers.
func dubboText(port, one, two int) string {
	return strings.Replace(e2e.Bootstrap(strings.Replace(e2e.DubboListener(strings.ReplaceAll(dubboRoutes, "@ANY@", `method: {name: {safe_regex: {regex: ".*"}}}`)), "port_value: 0", fmt.Sprint("port_value: ", port), 1), e2e.Cluster("one", one), e2e.Cluster("two", two), e2e.Cluster("refused", 1), "\n- {name: empty, type: STATIC}\n", dubboParts(one, two)),
		"static_resources:", "admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}\nstatic_resources:", 1)
}

// dubboParts is a cluster of two subsets.
func dubboParts(one, two int) string {
	member := func(v string, port int) string {
		return fmt.Sprintf(`{metadata: {filter_metadata: {envoy.lb: {v: %q}}}, endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %d}}}}`, v, port)
	}
	return "\n- {name: parts, type: STATIC, lb_subset_config: {subset_selectors: [{keys: [v]}]}, load_assignment: {cluster_name: parts, endpoints: [{lb_endpoints: [" + member("1", one) + ", " + member("2", two) + "]}]}}\n"
}

// TestDubbo has a real Envoy's dubbo_proxy and ours be asked the same calls, and holds answers and numbers against one another. Two differences are meant. Envoy 1.40 compares arguments that are texts
// only, so that no range holds of a number: here it does, and numbers are asked about where it makes no difference. And behind the head of an error it writes the type of a result, and then the
// text, where Dubbo's own write the text alone and so read it.
func TestDubbo(t *testing.T) {
	type call struct {
		path, method string
		attachments  map[any]any
		arguments    []any
	}
	var calls []call
	for _, method := range []string{"greet", "greetAll", "count", "any", "part"} {
		for _, arguments := range [][]any{nil, {"ann"}, {"ann", "7"}, {"ann", "10"}, {"bob", "7"}, {"ann", "x"}, {"ann", "5.5"}, {"-5"}, {"-6"}, {"9"}, {"10"}, {""}, {"bob", int32(7)}, {"a", []any{"b"}}, {"ann", "7", []any{int32(1)}}} {
			for _, attachments := range []map[any]any{nil, {"canary": "yes"}, {"tries": "3"}, {"there": ""}, {"tries": "x"}} {
				calls = append(calls, call{"org.example.Greeter", method, attachments, arguments})
			}
		}
	}
	for _, path := range []string{"org.example.Other", "org.example.Wild", ".Wild", "Wild", "org.example.Lost", "org.example.Down", "org.example.Refused", "org.example.Weighted", "org.example.Subset", "com.example", "org."} {
		for _, attachments := range []map[any]any{nil, {"group": "blue"}, {"group": "green"}} {
			calls = append(calls, call{path, "greet", attachments, []any{"x"}})
		}
	}
	one, two := e2e.Provider(t, "one", 1), e2e.Provider(t, "two", 1)
	var theirs, ours *e2e.Conn
	ask := func(c *e2e.Conn, i int) string {
		is := calls[i]
		c.Write(e2e.CallFrame(t, uint64(i), e2e.TwoWay, is.path, is.method, is.attachments, is.arguments...))
		h, body, err := e2e.ReadFrame(c)
		if err != nil {
			return err.Error()
		}
		if c == theirs && h.Status != dubbo.OK && len(body) > 0 && body[0] == 0x90 {
			body = body[1:]
		}
		return fmt.Sprintf("%d %v %s", h.ID, h.Event, e2e.Said(t, h, body))
	}
	beat := func(c *e2e.Conn) string {
		c.Write(e2e.CallFrame(t, 1<<40, e2e.Heartbeat, "", "", nil))
		h, body, err := e2e.ReadFrame(c)
		return fmt.Sprintf("%+v %x %v", h, body, err)
	}
	port := vacant.Ports(t, 1)[0]
	admin := envoy.Start(t, dubboText(port, one.Port, two.Port))
	weft := e2e.StartLoops(t, 1, dubboText(0, one.Port, two.Port))
	theirs, ours = e2e.Dial(t, fmt.Sprint("127.0.0.1:", port)), weft.Dial()
	for i := range calls {
		if want, got := ask(theirs, i), ask(ours, i); got != want {
			t.Errorf("%+v: %q: Envoy says %q", calls[i], got, want)
		}
	}
	if want, got := beat(theirs), beat(ours); got != want {
		t.Errorf("a heartbeat: %s: Envoy says %s", got, want)
	}
	for _, c := range []*e2e.Conn{theirs, ours} { // one that wants no answer, and then one that does
		c.Write(e2e.CallFrame(t, 5, e2e.OneWay, "org.example.Wild", "note", nil, "x"))
	}
	if want, got := ask(theirs, 1), ask(ours, 1); got != want {
		t.Errorf("behind one that wants no answer: %q: Envoy says %q", got, want)
	}
	r, err := http.Get("http://" + admin + "/stats?filter=^dubbo\\.d\\.")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	numbers := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^(dubbo\.d\.\S+): (\d+)$`).FindAllStringSubmatch(string(b), -1) {
		numbers[m[1]] = m[2]
	}
	if len(numbers) < 10 {
		t.Fatalf("Envoy's numbers are %s", b)
	}
	for _, name := range slices.Sorted(maps.Keys(numbers)) {
		if got := fmt.Sprint(weft.Stat(name)); got != numbers[name] {
			t.Errorf("%s is %s: Envoy's is %s", name, got, numbers[name])
		}
	}
}
