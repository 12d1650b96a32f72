package e2e

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
)

// TestExplainCallIsServing makes the calls that it asks about, and wants them to be answered as explain says.
func TestExplainCallIsServing(t *testing.T) {
	one, two := Provider(t, "one", 1), Provider(t, "two", 1)
	filters := dubboRules(`{action: DENY, policies: {no-delete: {permissions: [{url_path: {path: {exact: /org.example.Shop/delete}}}], principals: [{any: true}]}}}, shadow_rules: {policies: {s: {permissions: [{url_path: {path: {exact: /org.example.Shop/search}}}], principals: [{any: true}]}}}`) +
		dubboLimit(`descriptors: [{entries: [{key: method, value: rare}], token_bucket: {max_tokens: 2, fill_interval: 3600s}}]`) + dubboRouter("")
	p := Start(t, Bootstrap(DubboListener(`
- {interface: org.example.Old, version: 0.9.0, routes: [{match: {}, route: {cluster: one}}]}
- interface: org.example.Shop
  version: 1.0.0
  routes:
  - {match: {method: {name: {exact: search}, params_match: {1: {range_match: {start: 5, end: 10}}}}}, route: {cluster: two}}
  - match: {headers: [{name: canary, string_match: {exact: "yes"}}]}
    route: {cluster: empty, metadata_match: {typed_filter_metadata: {weft.dubbo: {"@type": type.googleapis.com/weft.dubbo.v1.Route, timeout: 2s, retry: {attempts: 2, idempotent: true}, mirrors: [{cluster: gone, fraction: {numerator: 10}}], fallbacks: {empty: {clusters: [gone, two]}}}}}}
  - {match: {method: {name: {exact: down}}}, route: {cluster: empty}}
  - {match: {method: {name: {exact: lost}}}, route: {cluster: nowhere}}
  - {match: {method: {name: {safe_regex: {regex: "search|rare|delete"}}}}, route: {cluster: one}}`)+"\n"+indent(8, "dubbo_filters:\n"+filters), Cluster("one", one.Port), Cluster("two", two.Port), "\n- {name: empty, type: STATIC}\n"))
	c := p.Dial()
	for _, call := range []struct {
		path, method string
		attachments  map[any]any
		arguments    []any
		want         []string
	}{
		{"org.example.Shop", "search", nil, []any{"tea", int32(7)}, []string{`"service":1,"route":0`, `"cluster":"two"`, `shadow rules: allowed by policy s`, `passes: no policy that denies is for it`, `no bucket is for it`, `interface: want \"org.example.Old\", is \"org.example.Shop\"`}},
		{"org.example.Shop", "search", nil, []any{"tea", int32(4)}, []string{`argument 1: want it to be a number from 5 up to and without 10, is 4, of type int`, `"near":true`, `attachment canary: want it to be \"yes\", is not there`, `shadow rules: allowed by policy s`}},
		{"org.example.Shop", "search", map[any]any{"canary": "yes"}, []any{"x"}, []string{`"timeout":"2s","retries":2`, `"taken_by":"two"`, `there is no cluster \"gone\", so that no copy is sent`, `idempotent`, `"of":10,"in":100`}},
		{"org.example.Shop", "delete", nil, []any{"x"}, []string{`denied by policy no-delete`}},
		{"org.example.Shop", "down", nil, []any{"x"}, nil},
		{"org.example.Shop", "lost", nil, []any{"x"}, nil},
		{"org.example.Shop", "part", nil, []any{"x"}, []string{`no route is for the call`, `method: want it to match search|rare|delete, is \"part\"`}},
		{"org.example.Old", "any", nil, []any{"x"}, []string{`no service of the table is for the call`, `version: want \"0.9.0\", is \"1.0.0\"`}},
		{"org.example.Shop", "rare", nil, []any{"x"}, []string{`asks the bucket of method rare, which has 2 of 2 tokens`}},
		{"org.example.Shop", "rare", nil, []any{"x"}, []string{`which has 1 of 2 tokens`}},
		{"org.example.Shop", "rare", nil, []any{"x"}, []string{`which has 0 of 2 tokens`}},
		{"org.example.Shop", "$invoke", nil, []any{"search", []string{"java.lang.String"}, []any{"tea"}}, []string{`"stands_for":"search"`, `"cluster":"one"`}},
	} {
		query := url.Values{"url": {"dubbo://" + p.Address() + "/" + call.path}, "method": {call.method}, "version": {"1.0.0"}}
		for k, v := range call.attachments {
			query.Add("attachment", fmt.Sprintf("%v=%v", k, v))
		}
		for _, v := range call.arguments {
			switch v := v.(type) {
			case string:
				query.Add("argument", "java.lang.String="+v)
			case int32:
				query.Add("argument", fmt.Sprintf("int=%d", v))
			case []string:
				text, _ := json.Marshal(v)
				query.Add("argument", "java.lang.String[]="+string(text))
			default:
				text, _ := json.Marshal(v)
				query.Add("argument", "java.lang.Object[]="+string(text))
			}
		}
		explain(t, p, query.Encode()) // which takes no token
		a := explain(t, p, query.Encode()).Dubbo
		text, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range call.want {
			if !strings.Contains(string(text), w) {
				t.Errorf("%s.%s%v: no %s in\n%s", call.path, call.method, call.arguments, w, text)
			}
		}
		want := ""
		switch no := a.Answered; {
		case no != nil:
			want = fmt.Sprintf("%d %s", no.Status, no.Words)
		case a.Clusters[0].Answered != nil:
			want = fmt.Sprintf("%d %s", a.Clusters[0].Answered.Status, a.Clusters[0].Answered.Words)
		case a.Clusters[0].Taken != "":
			want = fmt.Sprintf("20 %s %v", a.Clusters[0].Taken, call.arguments[0])
		default:
			want = fmt.Sprintf("20 %s %v", a.Clusters[0].Cluster, call.arguments[0])
		}
		if got := c.calls(CallFrame(t, 1, TwoWay, call.path, call.method, call.attachments, call.arguments...)); got != want {
			t.Errorf("%s.%s%v: explain says %q, and it is %q", call.path, call.method, call.arguments, want, got)
		}
	}
	for query, want := range map[string]string{"listener=dubbo": "say url=dubbo://IP:PORT/INTERFACE", "listener=dubbo&url=http://a/": "the chain reads Dubbo and the connection speaks HTTP", "listener=dubbo&url=dubbo:///a?timeout=3%26side=x&method=m": `\"side\", \"timeout\" of the URL is nothing of a call`} {
		if text, _ := json.Marshal(explain(t, p, query)); !strings.Contains(string(text), want) {
			t.Errorf("%s: no %s in\n%s", query, want, text)
		}
	}
}

// TestExplainSaysWhatIsCalled: of a request that becomes a call, which method it is of, or how it is refused.
func TestExplainSaysWhatIsCalled(t *testing.T) {
	p := Start(t, shop(Shopkeeper(t).Port, ""))
	for _, c := range []struct {
		query, want string
		status      uint16
	}{
		{"url=/shop/books/search?limit=5", "a call of org.example.Shop.search(java.lang.String, int, java.util.List, java.lang.String) version 1.0.0 group blue", 0},
		{"url=/shop/orders&method=POST", "a call of org.example.Shop.order(org.example.Order) version 1.0.0 group blue", 0},
		{"url=/shop/orders/1", "no method is called by this verb here: want PUT, PATCH", 405},
		{"url=/shop/orders/1&method=OPTIONS", "no method is called by this verb here: want PUT, PATCH", 405},
		{"url=/nothing", "no method is called by this path", 404},
	} {
		f := explain(t, p, "listener=http&"+c.query).HTTP.Outcomes[0].Filters[0]
		if f.Says != c.want || f.Status != c.status {
			t.Errorf("%s: %q, %d: want %q, %d", c.query, f.Says, f.Status, c.want, c.status)
		}
	}
}
