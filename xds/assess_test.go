package xds

import (
	"bytes"
	"fmt"
	"io"
	nethttp "net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/filters"
	"github.com/weftmesh/weft/test/authority"
	"github.com/weftmesh/weft/test/envoy"
)

func fetch(t *testing.T, url string) []byte {
	t.Helper()
	r, err := nethttp.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != 200 {
		t.Fatalf("%s: %d, %v: %s", url, r.StatusCode, err, b)
	}
	return b
}

// liveWorld has everything that a dump may hold: what is static, what came from files as from a control plane, secrets inline, by file and by
// name, extensions as TypedStruct in both spellings, and some that this program does not run.
func liveWorld(t *testing.T) string {
	folder := t.TempDir()
	a := authority.New(t, folder)
	a.Issue("a", []string{"a.test"}, nil)
	inline := func(name string) string {
		b, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%q", b)
	}
	const router = `{name: router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}`
	manager := func(name, more, filters string) string {
		return `{name: ` + name + `, address: {socket_address: {address: 127.0.0.1, port_value: 0}}, filter_chains: [{filters: [{name: hcm, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: h, ` +
			more + `, http_filters: [` + filters + router + `]}}]` + "SOCKET" + `}]}`
	}
	context := func(certificate string) string {
		return `, transport_socket: {name: tls, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext, common_tls_context: {` + certificate + `}}}`
	}
	plain := func(s string) string { return strings.Replace(s, "SOCKET", "", 1) }
	secure := func(s, certificate string) string { return strings.Replace(s, "SOCKET", context(certificate), 1) }
	routes := `route_config: {name: inline, virtual_hosts: [{name: v, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: up}}]}]}`
	write := func(name, text string) string {
		a.Write(name, []byte(text))
		return filepath.Join(folder, name)
	}
	resources := func(kind string, list ...string) string {
		text := "version_info: \"7\"\nresources:\n"
		for _, r := range list {
			text += `- {"@type": type.googleapis.com/` + kind + ", " + strings.TrimPrefix(r, "{") + "\n"
		}
		return text
	}
	const route = "envoy.config.route.v3.RouteConfiguration"
	rds := write("rds.yaml", resources(route, `{name: dynamic, virtual_hosts: [{name: v, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: eds}}]}]}`))
	drds := write("drds.yaml", resources(DubboRoutes.Message(), `{name: calls, route_config: [{interface: "*", routes: [{match: {method: {name: {exact: greet}}}, route: {cluster: eds}}]}]}`))
	sds := write("sds.yaml", resources("envoy.extensions.transport_sockets.tls.v3.Secret", `{name: named, tls_certificate: {certificate_chain: {inline_string: `+inline("a.pem")+`}, private_key: {inline_string: `+inline("a.key")+`}}}`))
	eds := write("eds.yaml", resources("envoy.config.endpoint.v3.ClusterLoadAssignment", `{cluster_name: eds, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 1}}}}]}]}`))
	cds := write("cds.yaml", resources("envoy.config.cluster.v3.Cluster",
		`{name: eds, type: EDS, connect_timeout: 1s, eds_cluster_config: {eds_config: {path_config_source: {path: `+eds+`}}}}`,
		`{name: odd, type: STATIC, connect_timeout: 1s, lb_policy: ROUND_ROBIN, transport_socket: {name: alts, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.tap.v3.Tap, common_config: {static_config: {match: {any_match: true}, output_config: {sinks: [{file_per_tap: {path_prefix: `+folder+`/tap}}]}}}, transport_socket: {name: raw, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer}}}}}`))
	srds := write("srds.yaml", resources("envoy.config.route.v3.ScopedRouteConfiguration", `{name: one, route_configuration_name: dynamic, key: {fragments: [{string_key: a}]}}`))
	write("cds-good.yaml", resources("envoy.config.cluster.v3.Cluster", `{name: eds, type: EDS, connect_timeout: 1s, eds_cluster_config: {eds_config: {path_config_source: {path: `+eds+`}}}}`))
	write("lds-good.yaml", resources("envoy.config.listener.v3.Listener",
		secure(manager("byname", "rds: {route_config_name: dynamic, config_source: {path_config_source: {path: "+rds+"}}}", ""), "tls_certificate_sds_secret_configs: [{name: named, sds_config: {path_config_source: {path: "+sds+"}}}]")))
	typedStruct := func(spelling string) string {
		return `{name: fault, typed_config: {"@type": type.googleapis.com/` + spelling + `, type_url: type.googleapis.com/envoy.extensions.filters.http.router.v3.Router, value: {suppress_envoy_headers: true}}}`
	}
	structs := func(spelling string) string {
		return strings.Replace(plain(manager(strings.ReplaceAll(strings.ToLower(spelling[:4]), ".", ""), routes, "")), router, typedStruct(spelling), 1)
	}
	lds := write("lds.yaml", resources("envoy.config.listener.v3.Listener",
		secure(manager("byname", "rds: {route_config_name: dynamic, config_source: {path_config_source: {path: "+rds+"}}}", ""), "tls_certificate_sds_secret_configs: [{name: named, sds_config: {path_config_source: {path: "+sds+"}}}]"),
		plain(manager("scoped", `append_local_overload: true, scoped_routes: {name: s, scope_key_builder: {fragments: [{header_value_extractor: {name: x, element: {key: k, separator: ":"}}}]}, rds_config_source: {path_config_source: {path: `+rds+`}}, scoped_rds: {scoped_rds_config_source: {path_config_source: {path: `+srds+`}}}}`, "")),
		`{name: calls, address: {socket_address: {address: 127.0.0.1, port_value: 0}}, filter_chains: [{filters: [{name: d, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.dubbo_proxy.v3.DubboProxy, stat_prefix: d, drds: {route_config_name: calls, config_source: {path_config_source: {path: `+drds+`}}}}}]}]}`,
		structs("udpa.type.v1.TypedStruct"), structs("xds.type.v3.TypedStruct")))
	return `
node: {id: live, cluster: c}
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}
dynamic_resources: {lds_config: {path_config_source: {path: ` + lds + `}}, cds_config: {path_config_source: {path: ` + cds + `}}}
static_resources:
  secrets:
  - {name: own, tls_certificate: {certificate_chain: {filename: ` + filepath.Join(folder, "a.pem") + `}, private_key: {filename: ` + filepath.Join(folder, "a.key") + `}}}
  - {name: keys, session_ticket_keys: {keys: [{inline_string: ` + strings.Repeat("k", 80) + `}]}}
  listeners:
  - ` + secure(manager("inline", routes, ""), "tls_certificates: [{certificate_chain: {inline_string: "+inline("a.pem")+"}, private_key: {inline_string: "+inline("a.key")+"}}]") + `
  - ` + plain(manager("lua", routes, `{name: lua, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua, default_source_code: {inline_string: "function envoy_on_request(h) end"}}}, `)) + `
  clusters:
  - {name: up, type: STATIC, connect_timeout: 1s, load_assignment: {cluster_name: up, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 1}}}}]}]}}
`
}

func (a *Assessment) find(kind, name string) *Assessed {
	for i := range a.Resources {
		if r := &a.Resources[i]; r.Kind == kind && r.Name == name {
			return r
		}
	}
	return nil
}

// TestAssessLive reads what a real Envoy says of itself.
func TestAssessLive(t *testing.T) {
	admin := "http://" + envoy.Start(t, liveWorld(t))
	var dump []byte
	for end := time.Now().Add(5 * time.Second); !bytes.Contains(dump, []byte("ScopedRouteConfiguration")) || !bytes.Contains(dump, []byte(`"named"`)); {
		if time.Now().After(end) {
			t.Fatalf("the dump has not all:\n%s", dump)
		}
		dump = fetch(t, admin+"/config_dump?include_eds")
	}
	a, err := Assess(dump, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		kind, name string
		refused    string // part of the only finding; empty: it runs
	}{
		{"Bootstrap", "live", ""},
		{"Listener", "inline", ""}, {"Listener", "byname", ""}, {"Listener", "udpa", ""}, {"Listener", "xds", ""},
		{"Listener", "lua", "envoy.extensions.filters.http.lua.v3.Lua is not supported here"},
		{"Listener", "scoped", "append_local_overload: not supported"},
		{"RouteConfiguration", "dynamic", ""},
		{"Listener", "calls", ""}, {"MultipleRouteConfiguration", "calls", ""},
		{"Cluster", "up", ""}, {"Cluster", "eds", ""},
		{"Cluster", "odd", "envoy.extensions.transport_sockets.tap.v3.Tap is not supported here"},
		{"ClusterLoadAssignment", "eds", ""},
		{"Secret", "own", ""}, {"Secret", "keys", ""}, {"Secret", "named", ""},
		{"ScopedRouteConfiguration", "one", ""},
	} {
		r := a.find(c.kind, c.name)
		switch {
		case r == nil:
			t.Errorf("there is no %s %q", c.kind, c.name)
		case c.refused == "" && !r.Runs():
			t.Errorf("%s %q is refused: %+v", c.kind, c.name, r.Refused)
		case c.refused != "" && (r.Runs() || !strings.Contains(r.Refused[0].Path+": "+r.Refused[0].Why, c.refused)):
			t.Errorf("%s %q: %+v, want %q", c.kind, c.name, r.Refused, c.refused)
		}
	}
	refused := a.Refused()
	for i := range a.Resources {
		if a.Resources[i].Runs() != (i >= refused) {
			t.Errorf("what is refused does not come first: %d is %s %q", i, a.Resources[i].Kind, a.Resources[i].Name)
		}
	}
	harmless := 0
	for _, s := range a.Summary {
		harmless += s.Harmless
	}
	if harmless == 0 || a.find("Bootstrap", "live").Harmless == nil {
		t.Errorf("Envoy says much of itself that changes nothing, and none of it is told: %+v", a.Summary)
	}
	if t.Failed() {
		t.Logf("%s", dump)
	}

	// What a query picks is read, too.
	for query, want := range map[string]string{"?resource=dynamic_active_clusters": "Cluster odd", "?resource=dynamic_listeners": "Listener scoped", "?resource=static_listeners": "Listener lua", "?resource=dynamic_active_secrets": "", "?resource=dynamic_route_configs": "", "?mask=static_listeners": "Listener lua"} {
		a, err := Assess(fetch(t, admin+"/config_dump"+query), nil)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, r := range a.Resources {
			if !r.Runs() {
				got = r.Kind + " " + r.Name
			}
		}
		if got != want || len(a.Resources) == 0 {
			t.Errorf("%s: %q is refused, want %q: %+v", query, got, want, a.Resources)
		}
	}
}

// TestAssessIsServing: what is not served is not judged good of another's dump either.
func TestAssessIsServing(t *testing.T) {
	looked := 0
	for _, v := range slices.Concat(asked, askedTLS, askedHTTP2) {
		if v.file != "" || strings.Contains(v.text, "PEMS") || v.bad == "" {
			continue // needs files
		}
		path := write(t, v.text, v.file)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		root, err := parseYAML(b)
		if err != nil || root.child("static_resources") == nil || len(root.child("static_resources").children("listeners"))+len(root.child("static_resources").children("clusters")) == 0 {
			continue // no resource is wrong, but the text or the bootstrap
		}
		as := &assessor{out: &Assessment{}}
		for _, kind := range []Kind{Listeners, Clusters} {
			for _, n := range root.child("static_resources").children(map[Kind]string{Listeners: "listeners", Clusters: "clusters"}[kind]) {
				n.keys, n.items = append(n.keys, &node{kind: stringNode, text: "@type"}), append(n.items, &node{kind: stringNode, text: "type.googleapis.com/" + kind.Message()})
				as.pieces = append(as.pieces, piece{from: "static", node: n})
			}
		}
		as.pieces = append(as.pieces, piece{from: "bootstrap", node: root})
		as.prepare()
		for i := range as.pieces {
			as.judge(&as.pieces[i])
		}
		looked++
		if as.out.Refused() == 0 && !slices.Contains(together, v.name) {
			t.Errorf("%s: refused when it is served (%s), and taken to be good here", v.name, v.bad)
		}
	}
	if looked < 100 {
		t.Errorf("%d configurations: the test hardly looks at any", looked)
	}
}

// together are what is wrong only beside something else, which another proxy's dump cannot have, or on this machine.
var together = []string{"address of another listener", "two listeners of a name", "rds without a file", "secret that is not there"}

// TestAssessText is about dumps that nobody could have taken live.
func TestAssessText(t *testing.T) {
	for _, c := range []struct{ text, err, refused string }{
		{"", "not JSON", ""},
		{"{", "not JSON: line 1: the text ends too soon", ""},
		{"[]", `want an object with "configs"`, ""},
		{`{"configs": []}`, "", ""},
		{`{"configs": [{"@type": "type.googleapis.com/envoy.admin.v9.NewDump"}]}`, "", `nothing is known of "envoy.admin.v9.NewDump" in a dump`},
		{`{"configs": [{"@type": "type.googleapis.com/envoy.admin.v3.ClustersConfigDump", "dynamic_active_clusters": [{"cluster": {"@type": "type.googleapis.com/new.Cluster", "name": "n"}}]}]}`, "", "not supported: nothing is known about new.Cluster"},
		{`{"configs": [{"@type": "type.googleapis.com/envoy.admin.v3.ClustersConfigDump", "dynamicActiveClusters": [{"cluster": {"@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster", "name": "n", "newField": 1}}]}]}`, "", `Cluster has no field "newField"`},
		{`{"configs": [{"@type": "type.googleapis.com/envoy.admin.v3.ClustersConfigDump", "static_clusters": [{"cluster": {"name": "n"}}]}]}`, "", `"@type" is missing`},
		{`{"configs": [{"@type": "type.googleapis.com/envoy.admin.v3.ListenersConfigDump", "dynamic_listeners": [{"name": "l", "active_state": {"listener": {"@type": "type.googleapis.com/envoy.config.listener.v3.Listener", "name": "l", "address": {"socket_address": {"address": "127.0.0.1", "port_value": 1}},
			"filter_chains": [{"filters": [{"name": "x", "typed_config": {"@type": "type.googleapis.com/istio.telemetry.New", "a": {"b": 1}}}]}]}}}]}]}`, "", "istio.telemetry.New is not supported here"},
		{`{"configs": [{"@type": "type.googleapis.com/envoy.admin.v3.EcdsConfigDump", "ecds_filters": [{"ecds_filter": {"@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig", "name": "e", "typed_config": {"@type": "type.googleapis.com/google.protobuf.Empty"}}}]}]}`, "", "google.protobuf.Empty is not supported here"},
		{`{"configs": [{"@type": "type.googleapis.com/envoy.admin.v3.SecretsConfigDump", "dynamic_active_secrets": [{"name": "s", "secret": {"@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret", "name": "s", "tls_certificate": {"certificate_chain": {"inline_bytes": "aGVsbG8="}, "private_key": {"inline_bytes": "W3JlZGFjdGVkXQ=="}}}}]}]}`, "", ""},
		{`{"configs": [{"@type": "type.googleapis.com/envoy.admin.v3.SecretsConfigDump", "dynamic_active_secrets": [{"name": "s", "secret": {"@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret", "name": "s", "validation_context": {"trusted_ca": {"inline_string": "hello"}}}}]}]}`, "", "there is no certificate in it"},
	} {
		a, err := Assess([]byte(c.text), []filters.Spec{})
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%.80s: %v, want %s", c.text, err, c.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%.80s: %v", c.text, err)
			continue
		}
		got := ""
		for _, r := range a.Resources {
			for _, f := range r.Refused {
				got += f.Path + ": " + f.Why
			}
		}
		if c.refused == "" && got != "" || !strings.Contains(got, c.refused) {
			t.Errorf("%.200s:\n%s\nwant %s", c.text, got, c.refused)
		}
	}
}
