package e2e

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weftmesh/weft/wire/dubbo"
)

// dubboBehind is a Dubbo proxy for everything behind filters.
func dubboBehind(filters string) string {
	return DubboListener(`- {interface: "*", routes: [{match: {}, route: {cluster: up}}]}`) + "\n" + indent(8, "dubbo_filters:\n"+filters)
}

// DubboRules is the filter of policies, in YAML.
func dubboRules(rules string) string {
	return `- {name: weft.filters.dubbo.rbac, config: {"@type": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC, rules: ` + rules + `}}
`
}

func dubboLimit(limit string) string {
	return `- {name: weft.filters.dubbo.local_rate_limit, config: {"@type": type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit, stat_prefix: l, filter_enabled: {default_value: {numerator: 100}}, filter_enforced: {default_value: {numerator: 100}}, ` + limit + `}}
`
}

func dubboRouter(config string) string { return "- {name: envoy.filters.dubbo.router" + config + "}\n" }

// calls makes one call and says what came back.
func (c *Conn) calls(frame []byte) string {
	c.t.Helper()
	c.Write(frame)
	h, body, err := ReadFrame(c)
	if err != nil {
		return err.Error()
	}
	return Said(c.t, h, body)
}

// Policies decide by method, attachment and identity, and what they cannot judge does not pass.
func TestDubboPolicies(t *testing.T) {
	a := NewAuthority(t, t.TempDir())
	a.Issue("front", []string{"front.test"}, nil)
	ann, bob := a.Issue("ann", []string{"spiffe://td/ann"}, nil), a.Issue("bob", []string{"spiffe://td/bob"}, nil)
	u := Provider(t, "one", 1)
	rules := dubboRules(`{action: DENY, policies: {no-delete: {permissions: [{url_path: {path: {exact: /org.example.Shop/delete}}}], principals: [{any: true}]}, no-ghosts: {permissions: [{any: true}], principals: [{header: {name: userid, string_match: {exact: ghost}}}]}}}`) +
		dubboRules(`{policies: {ann: {permissions: [{header: {name: ":method", string_match: {exact: POST}}}], principals: [{authenticated: {principal_name: {exact: "spiffe://td/ann"}}}]}}}`)
	p := Start(t, Bootstrap(Secured(dubboBehind(rules+dubboRouter("")), DownstreamTLS("tls_certificates: ["+a.Source("front")+"], validation_context: "+a.Trusts(""), "require_client_certificate: true")), Cluster("up", u.Port)))
	dial := func(who tls.Certificate) *Conn {
		return DialTLS(t, p.Address(), &tls.Config{RootCAs: a.Pool(), ServerName: "front.test", Certificates: []tls.Certificate{who}})
	}
	of := func(method string, attachments map[any]any) []byte {
		return CallFrame(t, 1, TwoWay, "org.example.Shop", method, attachments, "x")
	}
	const denied = "70 RBAC: access denied"
	unread := of("buy", nil)
	unread[2] = TwoWay | byte(dubbo.Kryo)
	c := dial(ann)
	for _, one := range []struct {
		name  string
		frame []byte
		want  string
	}{
		{"allowed", of("buy", nil), "20 one x"},
		{"a method", of("delete", nil), denied},
		{"an attachment, whatever its spelling", of("buy", map[any]any{"userId": "ghost"}), denied},
		{"another one", of("buy", map[any]any{"userId": "ann"}), "20 one x"},
		{"two of a name", of("buy", map[any]any{"userId": "ann", "USERID": "ghost"}), denied + ": an attachment that a policy asks for is there twice"},
		{"an interface with a slash, which dubbo-go passes over", CallFrame(t, 1, TwoWay, "/org.example.Shop", "delete", nil, "x"), denied + `: the interface "/org.example.Shop" has a / or a : in it, by which a provider may take it for another one`},
		{"an interface that is a key of Java's", CallFrame(t, 1, TwoWay, "blue/org.example.Shop:1.0.0", "delete", nil, "x"), denied + `: the interface "blue/org.example.Shop:1.0.0" has a / or a : in it, by which a provider may take it for another one`},
		{"the path is attached", of("buy", map[any]any{"path": "org.example.Shop"}), "20 one x"},
		{"another path is attached", of("buy", map[any]any{"path": "org.example.Vault"}), denied + `: the call is for "org.example.Shop", and its attachment path says another one`},
		{"a generic call", CallFrame(t, 1, TwoWay, "org.example.Shop", "$invoke", nil, "buy", []string{"java.lang.String"}, []any{"x"}), "20 one buy"},
		{"a generic call of the method", CallFrame(t, 1, TwoWay, "org.example.Shop", "$invoke", nil, "delete", []string{"java.lang.String"}, []any{"x"}), denied},
		{"a generic call of other types, which Java takes for one", CallFrame(t, 1, TwoWay, "org.example.Shop", "$invokeAsync", nil, "delete", true, true), denied + ": a generic call does not say which method it stands for"},
		{"what nobody reads", unread, denied + ": the call cannot be read, and there are policies about calls"},
	} {
		if got := c.calls(one.frame); got != one.want {
			t.Errorf("%s: %q: want %q", one.name, got, one.want)
		}
	}
	if got := dial(bob).calls(of("buy", nil)); got != denied {
		t.Errorf("another identity: %q", got)
	}
	p.WantStat("dubbo.d.rbac.denied", 10)
	p.WantStat("dubbo.d.rbac.allowed", 4+4+1) // each of two filters, and the first one of bob's call
	if n := len(u.Heads()); n != 4 {
		t.Errorf("the provider got %d calls: want 4", n)
	}
}

// A limit of a method is that method's, one of all is for all, and the connection goes on.
func TestDubboLimits(t *testing.T) {
	u := Provider(t, "one", 1)
	p := Start(t, Bootstrap(dubboBehind(dubboLimit(`token_bucket: {max_tokens: 4, fill_interval: 3600s}, descriptors: [{entries: [{key: method, value: rare}], token_bucket: {max_tokens: 1, fill_interval: 3600s}}]`)+dubboRouter("")), Cluster("up", u.Port)))
	c := p.Dial()
	const limited = "100 local_rate_limited"
	for i, one := range []struct{ method, want string }{{"rare", "20 one x"}, {"rare", limited}, {"other", "20 one x"}, {"other", "20 one x"}, {"other", "20 one x"}, {"other", limited}} {
		if got := c.calls(CallFrame(t, uint64(i), TwoWay, "a", one.method, nil, "x")); got != one.want {
			t.Errorf("call %d, of %s: %q: want %q", i, one.method, got, one.want)
		}
	}
	p.WantStat("l.dubbo_local_rate_limit.ok", 4)
	p.WantStat("l.dubbo_local_rate_limit.enforced", 2)
}

// A log tells of each call what was called and how it went, in the words of Dubbo and in those that formats of HTTP ask for.
func TestDubboLogs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	u := Provider(t, "one", 1)
	p := Start(t, Bootstrap(dubboBehind(dubboRules(`{action: DENY, policies: {p: {permissions: [{url_path: {path: {exact: /org.example.Shop/delete}}}], principals: [{any: true}]}}}, shadow_rules: {policies: {s: {permissions: [{url_path: {path: {exact: /org.example.Shop/buy}}}], principals: [{any: true}]}}}`)+
		dubboRules(`{action: LOG, policies: {l: {permissions: [{url_path: {path: {exact: /org.example.Shop/tell}}}], principals: [{any: true}]}}}`)+dubboRouter(`, config: {"@type": type.googleapis.com/weft.dubbo.v1.Router, access_log: [{name: l, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: `+path+
		`, format: "%REQ(:METHOD)% %REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %REQ(traceparent)% %UPSTREAM_CLUSTER% %DYNAMIC_METADATA(dubbo:interface)% %DYNAMIC_METADATA(dubbo:method)% %DYNAMIC_METADATA(dubbo:version)% %DYNAMIC_METADATA(dubbo:serialization)% %DYNAMIC_METADATA(dubbo:status)% %DYNAMIC_METADATA(envoy.filters.http.rbac:shadow_engine_result)% %DYNAMIC_METADATA(envoy.filters.http.rbac:shadow_effective_policy_id)% %DYNAMIC_METADATA(envoy.common:access_log_hint)%\n"}}]}`)), Cluster("up", u.Port)))
	c := p.Dial()
	trace := map[any]any{"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
	c.calls(CallFrame(t, 1, TwoWay, "org.example.Shop", "buy", trace, "x"))
	c.calls(CallFrame(t, 2, TwoWay, "org.example.Shop", "delete", nil, "x"))
	c.Write(CallFrame(t, 3, OneWay, "org.example.Shop", "tell", nil, "x"))
	p.WantStat("dubbo.d.request_oneway", 1)
	u.Stop()
	c.calls(CallFrame(t, 4, TwoWay, "org.example.Shop", "buy", nil, "x"))
	p.Eventually("four lines", func() bool { b, _ := os.ReadFile(path); return strings.Count(string(b), "\n") == 4 })
	const want = `POST /org.example.Shop/buy 200 - - 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01 up org.example.Shop buy 1.0.0 hessian2 20 allowed s false
POST /org.example.Shop/delete 500 UAEX rbac_access_denied_matched_policy[p] - - org.example.Shop delete 1.0.0 hessian2 70 denied - -
POST /org.example.Shop/tell 0 - - - up org.example.Shop tell 1.0.0 hessian2 - denied - true
POST /org.example.Shop/buy 500 ` // and UF or UC, as the line is found to be gone before or after
	b, _ := os.ReadFile(path)
	if got, last, ok := strings.Cut(string(b), " upstream_reset_before_response_started"); !ok || got != want+"UF" && got != want+"UC" || last != " - up org.example.Shop buy 1.0.0 hessian2 80 allowed s false\n" {
		t.Errorf("%s", b)
	}
}
