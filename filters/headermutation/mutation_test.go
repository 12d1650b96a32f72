package headermutation_test

import (
	"strings"
	"testing"

	"github.com/weftmesh/weft/test/e2e"
)

const message = "header_mutation.v3.HeaderMutation"

func TestQuery(t *testing.T) {
	add := func(key, value, action string) string {
		return "{append: {record: {key: \"" + key + "\", value: \"" + value + "\"}, action: " + action + "}}"
	}
	for _, x := range []struct{ mutation, path, want string }{
		{add("q", "1 2&=%%/", "APPEND_IF_EXISTS_OR_ADD"), "/p", "/p?q=1%202%26%3D%25%2F"},
		{add("q", "%REQ(x)%", "APPEND_IF_EXISTS_OR_ADD"), "/p?", "/p?q=v%20w"},
		{add("a b", "1", "OVERWRITE_IF_EXISTS_OR_ADD"), "/p?a%20b=2&c", "/p?c&a%20b=1"},
		{add("q", "1", "ADD_IF_ABSENT"), "/p?%71=", "/p?%71="},
		{add("q", "1", "OVERWRITE_IF_EXISTS"), "/p?qq=1", "/p?qq=1"},
		{"{remove: q}", "/p?q&q=1&%51=2&x=%zz;q=3&q=4", "/p?%51=2&x=%zz;q=3"},
		{"{remove: q}", "/p?q=1", "/p"},
	} {
		u := e2e.Echo(t)
		p := e2e.Filtered(t, u, e2e.Filter("m", message, "mutations: {query_parameter_mutations: ["+x.mutation+"]}"), e2e.All)
		r := p.Dial().Get(x.path, "x: v w")
		if got := strings.Fields(r.Body)[1]; got != x.want {
			t.Errorf("%s on %s: %s, want %s", x.mutation, x.path, got, x.want)
		}
	}
}

// A query of many parameters is walked once for each mutation, and none of its bytes is lost.
func TestLongQuery(t *testing.T) {
	query := strings.Repeat("a=1&", 5000)
	p := e2e.Filtered(t, e2e.Echo(t), e2e.Filter("m", message, "mutations: {query_parameter_mutations: [{remove: b}]}"), e2e.All)
	if got := strings.Fields(p.Dial().Get("/?" + query + "b").Body)[1]; got != "/?"+query[:len(query)-1] {
		t.Errorf("%d bytes arrived", len(got))
	}
}

func TestHeaders(t *testing.T) {
	p := e2e.Filtered(t, e2e.Echo(t), e2e.Filter("m", message, `mutations: {request_mutations: [{remove_on_match: {key_matcher: {prefix: x-}}}, {append: {header: {key: x-a, value: "%REQ(b)%"}}}, {remove: b}],
  response_mutations: [{append: {header: {key: x-s, value: "%RESPONSE_CODE%"}}}, {remove: x-envoy-upstream-service-time}]}`), e2e.All)
	r := p.Dial().Get("/", "x-b: 1", "X-C: 2", "x-b: 3", "b: v").Want(t, 200, "x-s: 200", "x-envoy-upstream-service-time: ")
	if !strings.Contains(r.Body, "x-a: v\r\n") || strings.Contains(r.Body, "x-b") || strings.Contains(r.Body, "x-c") || strings.Contains(r.Body, "\r\nb: ") {
		t.Errorf("the upstream got\n%s", r.Body)
	}
}
