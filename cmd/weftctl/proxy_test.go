package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/weftmesh/weft/filters/builtin"
	"github.com/weftmesh/weft/proxy"
	view "github.com/weftmesh/weft/proxy/admin"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/telemetry/accesslog"
	"github.com/weftmesh/weft/test/authority"
	"github.com/weftmesh/weft/test/envoy"
	"github.com/weftmesh/weft/xds"
)

// looked is a configuration with something for every command to show. Its listener is on a port that the kernel chooses.
func looked(t *testing.T) string {
	folder := t.TempDir()
	a := authority.New(t, folder)
	a.Issue("a", []string{"a.test"}, nil)
	pem := func(name string) string {
		b, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%q", b)
	}
	const router = `{name: router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}`
	a.Write("rds.yaml", []byte(`
version_info: "3"
resources:
- "@type": type.googleapis.com/envoy.config.route.v3.RouteConfiguration
  name: "9080"
  virtual_hosts:
  - name: reviews
    domains: [reviews, "reviews:9080", reviews.default]
    routes:
    - {name: beta, match: {prefix: /api, headers: [{name: x-user, string_match: {exact: tester}}]}, route: {cluster: beta}}
    - {name: rest, match: {prefix: /}, route: {weighted_clusters: {clusters: [{name: beta, weight: 1}, {name: up, weight: 3}]}}}
    - {match: {path: /never}, redirect: {path_redirect: /old}}
    - {match: {safe_regex: {regex: "/t.a"}}, direct_response: {status: 418}}
`))
	a.Write("drds.yaml", []byte(`
resources:
- "@type": type.googleapis.com/envoy.extensions.filters.network.dubbo_proxy.v3.MultipleRouteConfiguration
  name: greetings
  route_config:
  - name: greeter
    interface: org.example.Greeter
    version: 1.0.0
    group: blue
    routes:
    - {match: {method: {name: {exact: greet}, params_match: {1: {exact_match: ann}}}, headers: [{name: canary, present_match: true}]}, route: {cluster: beta}}
    - {match: {method: {name: {safe_regex: {regex: ".*"}}}}, route: {weighted_clusters: {clusters: [{name: beta, weight: 1}, {name: up, weight: 3}]}}}
  - {interface: "*", routes: []}
`))
	return `
node: {id: looked, cluster: c}
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}
static_resources:
  secrets:
  - {name: own, tls_certificate: {certificate_chain: {inline_string: ` + pem("a.pem") + `}, private_key: {inline_string: ` + pem("a.key") + `}}}
  listeners:
  - name: web
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains:
    - name: plain
      filters: [{name: hcm, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: web, rds: {route_config_name: "9080", config_source: {path_config_source: {path: ` + filepath.Join(folder, "rds.yaml") + `}}}, http_filters: [` + router + `]}}]
  - name: greeter
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains:
    - filters: [{name: d, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.dubbo_proxy.v3.DubboProxy, stat_prefix: d, drds: {route_config_name: greetings, config_source: {path_config_source: {path: ` + filepath.Join(folder, "drds.yaml") + `}}}}}]
  - name: greeter-inline
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains:
    - filters: [{name: d, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.dubbo_proxy.v3.DubboProxy, stat_prefix: e, multiple_route_config: {name: own}}}]
  - name: database
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    listener_filters: [{name: tls, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector}}]
    filter_chains:
    - filter_chain_match: {server_names: [db.test], transport_protocol: tls}
      transport_socket: {name: tls, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext, common_tls_context: {tls_certificate_sds_secret_configs: [{name: own}]}}}
      filters: [{name: tcp, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: db, weighted_clusters: {clusters: [{name: up, weight: 1}, {name: beta, weight: 1}]}}}]
  clusters:
  - {name: up, type: STATIC, connect_timeout: 1s, load_assignment: {cluster_name: up, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 7}}}}]}]}}
  - {name: beta, type: STATIC, connect_timeout: 1s, load_assignment: {cluster_name: beta, endpoints: [{priority: 0, locality: {region: eu, zone: a}, lb_endpoints: [{health_status: UNHEALTHY, endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 8}}}}, {endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 9}}}}]}]}}
`
}

// weftAt runs a weft in this process and gives its admin address.
func weftAt(t *testing.T, bootstrap string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "weft.yaml")
	if err := os.WriteFile(path, []byte(bootstrap), 0o600); err != nil {
		t.Fatal(err)
	}
	specs := builtin.All()
	boot, err := xds.ReadBootstrap(xds.Source{Path: path}, specs)
	if err != nil {
		t.Fatal(err)
	}
	feed, err := xds.Open(boot, xds.Options{Filters: specs})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { feed.Close() })
	stats, log := telemetry.NewStore(1), slog.New(slog.NewTextHandler(io.Discard, nil))
	logs := accesslog.NewFiles(1, stats, time.Second, 64<<10)
	t.Cleanup(logs.Close)
	p, err := proxy.New(proxy.Options{Concurrency: 1, Specs: specs, Stats: stats, Logs: logs, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	if err := p.Update(feed.Snapshot()); err != nil {
		t.Fatal(err)
	}
	server, err := view.Listen(boot.Admin.Address, view.View{Stats: stats, Refresh: p.Refresh, Clusters: p.Clusters, Listeners: p.Listeners, Certificates: p.Certificates, Explain: p.Explain, Ready: p.State,
		Dump: func(w io.Writer, q url.Values) error { return feed.Dump(w, boot, q) }, Log: func(*accesslog.Entry) {}}, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	return server.Address.String()
}

// control runs weftctl.
func control(args ...string) (code int, out, err string) {
	var o, e bytes.Buffer
	code = run(args, streams{out: &o, err: &e})
	return code, o.String(), e.String()
}

// asTold is a table with its columns parted by one space, and without what differs between two processes.
func asTold(text string) string {
	text = regexp.MustCompile(` {2,}`).ReplaceAllString(text, " ")
	return regexp.MustCompile(`127\.0\.0\.1:\d{4,5}`).ReplaceAllString(text, "PLACE")
}

// TestProxyCommands looks at weft and at the real Envoy with the same configuration.
func TestProxyCommands(t *testing.T) {
	text := looked(t)
	for name, address := range map[string]string{"weft": weftAt(t, text), "envoy": envoy.Start(t, text)} {
		t.Run(name, func(t *testing.T) {
			for _, c := range []struct {
				args []string
				want []string
				not  []string
			}{
				{[]string{"routes"}, []string{"NAME VHOST DOMAINS MATCH TO\n", "9080 reviews reviews, reviews:9080 +1 more /api* if x-user beta\n", "/* beta 25%, up 75%\n", "/never redirect to /old\n", "~ /t.a answer 418\n"}, nil},
				{[]string{"routes", "greetings"}, []string{"greetings greeter org.example.Greeter version 1.0.0 group blue greet if #1, canary beta\n", "* beta 25%, up 75%\n", "greetings - * - no route\n"}, []string{"9080"}},
				{[]string{"routes", "own"}, []string{"own - - - no interface\n"}, nil},
				{[]string{"routes", "-o", "json"}, []string{`"virtual_hosts"`}, []string{"VHOST"}},
				{[]string{"listeners"}, []string{"NAME ADDRESS CHAIN MATCH TO\n", "web PLACE plain everything routes 9080\n", "database PLACE #0 sni db.test; tls up 50%, beta 50%\n", "greeter PLACE #0 everything Dubbo routes greetings\n", "greeter-inline PLACE #0 everything Dubbo routes own (inline)\n"}, []string{"127.0.0.1:0"}},
				{[]string{"listeners", "web"}, []string{"web "}, []string{"database"}},
				{[]string{"clusters"}, []string{"NAME ENDPOINTS HEALTHY REQUESTS FAILED UNDER WAY\n", "beta 2 1 0 0 0\n", "up 1 1 0 0 0\n"}, nil},
				{[]string{"clusters", "--endpoints", "bet"}, []string{"beta 127.0.0.1:8 0 eu/a 1 unhealthy by EDS 0 0 0\n", "beta 127.0.0.1:9 0 eu/a 1 healthy 0 0 0\n"}, []string{"127.0.0.1:7"}},
				{[]string{"secrets"}, []string{"SECRET KIND STATE SUBJECT NAMES VALID UNTIL DAYS\n", "own certificate static ", "a.test", "IN USE FROM KIND SERIAL"}, []string{"PRIVATE"}},
				{[]string{"secrets", "own", "-o", "yaml"}, []string{"certificate_chain", "[redacted]"}, []string{"PRIVATE"}},
				{[]string{"stats", "-o", "table", "^server\\.(live|state)$"}, []string{"NAME VALUE\n", "server.live 1\n", "server.state 0\n"}, []string{"cluster"}},
				{[]string{"stats", "-o", "json", "^server\\.live$"}, []string{`"server.live"`}, nil},
				{[]string{"config", "--mask", "bootstrap.node.id"}, []string{`"id": "looked"`}, []string{"ListenersConfigDump"}},
				{[]string{"config", "--resource", "static_clusters", "-o", "yaml", "bet"}, []string{"name: beta"}, []string{"name: up", "port_value: \"8\""}},
				{[]string{"config", "--endpoints"}, []string{"EndpointsConfigDump", "[redacted]"}, []string{"PRIVATE"}},
			} {
				code, out, err := control(append([]string{"proxy", c.args[0], "--admin", address}, c.args[1:]...)...)
				if out = asTold(out); code != exitDone || err != "" {
					t.Errorf("%q: exit code %d: %s", c.args, code, err)
				}
				for _, w := range c.want {
					if !strings.Contains(out, w) && !strings.Contains(out, strings.ReplaceAll(w, "[redacted]", "W3JlZGFjdGVkXQ==")) {
						t.Errorf("%q: no %q in\n%s", c.args, w, out)
					}
				}
				for _, w := range c.not {
					if strings.Contains(out, w) {
						t.Errorf("%q: %q in\n%s", c.args, w, out)
					}
				}
			}
			for _, c := range []struct {
				args []string
				want string
			}{
				{[]string{"routes", "nobody"}, `has no route table with "nobody" in its name: leave the name out to see all`},
				{[]string{"clusters", "nobody"}, `has no cluster with "nobody" in its name`},
				{[]string{"stats", "("}, "answers /stats with 400"},
				{[]string{"config", "--resource", "nonsense"}, "nonsense not found in config dump"},
			} {
				if code, out, err := control(append([]string{"proxy", c.args[0], "--admin", address}, c.args[1:]...)...); code != exitFailed || out != "" || !strings.Contains(err, c.want) {
					t.Errorf("%q: %d, %q, %q: want %q", c.args, code, out, err, c.want)
				}
			}
		})
	}
}

func TestProxyExplain(t *testing.T) {
	text := looked(t)
	address := weftAt(t, text)
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"--listener", "web", "http://reviews/api/x"}, []string{"listener web at PLACE\n", "filter chain plain\n", "virtual host reviews\n", `not #0 beta: header x-user: want it to be "tester", is not there`, `route #1 rest: path begins with "/"`,
			"HTTP filters: envoy.filters.http.router\n", "shared by chance, by weight\n", "cluster up, weight 3 of 4\n", "127.0.0.1:8 unhealthy (its source says that it is unhealthy), in eu/a, not picked now\n", "127.0.0.1:9 healthy, in eu/a\n"}},
		{[]string{"http://reviews/api/x", "-H", "x-user: tester", "--listener", "web"}, []string{`route #0 beta`, "forward, timeout 15s\n"}},
		{[]string{"--listener", "web", "/api"}, []string{"no virtual host is for", "no route 404"}},
		{[]string{"--listener", "database", "--sni", "db.test"}, []string{"filter chain #0\n", "cluster up, weight 1 of 2\n"}},
		{[]string{"--listener", "database"}, []string{"not #0: server name: want db.test, is none\n", "the end: no filter chain matches"}},
		{[]string{"--listener", "web", "-o", "yaml", "http://reviews/"}, []string{"filter_chain: plain\n", "weight: 3\n"}},
		{[]string{"--listener", "greeter"}, []string{`calls of Dubbo, each by its own route of "greetings"`}},
		{[]string{"dubbo://10.0.0.1:20880/org.example.Greeter?group=blue&side=consumer", "--listener", "greeter", "--method", "greet", "--version", "1.0.0", "--argument", "java.lang.String=ann", "--argument", "int=3", "--attachment", "canary=no"}, []string{
			`note: "side" of the URL is nothing of a call, and passed over`, "call org.example.Greeter.greet(java.lang.String, int) version 1.0.0 group blue\n", "routes greetings of Dubbo\n", "service #0 org.example.Greeter version 1.0.0 group blue\n", `not #0: argument 1: want it to be "ann", is 3, of type int`, "route #1: every call\n",
			"forward\n", "shared by chance, by weight\n", "cluster up, weight 3 of 4\n", "127.0.0.1:9 healthy, in eu/a\n"}},
		{[]string{"dubbo:///org.example.Nobody", "--listener", "greeter", "--method", "greet"}, []string{"call org.example.Nobody.greet() version 0.0.0\n", `not service #0 org.example.Greeter version 1.0.0 group blue: interface: want "org.example.Greeter", is "org.example.Nobody"`, "answered 60: dubbo router: no route for interface 'org.example.Nobody'\n"}},
		{[]string{"dubbo:///a.B", "--listener", "web", "--method", "m"}, []string{"the end: the chain reads HTTP and the connection speaks Dubbo"}},
		{[]string{"--address", "10.0.0.1:80"}, []string{"the end: no listener is at 10.0.0.1:80"}},
	} {
		code, out, err := control(append([]string{"proxy", "explain", "--admin", address}, c.args...)...)
		if out = asTold(out); code != exitDone {
			t.Errorf("%q: exit code %d: %s", c.args, code, err)
		}
		for _, w := range c.want {
			if !strings.Contains(out, w) {
				t.Errorf("%q: no %q in\n%s", c.args, w, out)
			}
		}
	}
	for _, c := range []struct{ args, want string }{
		{"", "say --address IP:PORT, or --listener NAME"},
		{"--listener nobody", `there is no listener "nobody": there are "database", "greeter", "greeter-inline", "web"`},
		{"--listener web ftp://x/", `want http://authority/path`},
		{"--address nowhere", "want IP:PORT"},
		{"--listener web -H x http://reviews/", `want "name: value"`},
		{"--listener web --source x", "want IP or IP:PORT"},
		{"dubbo://greeter/a.B --method m", `"greeter" is no IP:PORT: say address=IP:PORT or listener=NAME, too`},
		{"--listener greeter dubbo:///a.B", "say the method that is called"},
		{"--listener greeter dubbo:///a.B --method m --argument int=x", "argument 0: "},
		{"--listener web http://a/ --group g", "group is of a call of Dubbo: say its url, too"},
	} {
		if code, out, err := control(append([]string{"proxy", "explain", "--admin", address}, strings.Fields(c.args)...)...); code != exitFailed || out != "" || !strings.Contains(err, c.want) {
			t.Errorf("%s: %d %q %q, want %q", c.args, code, out, err, c.want)
		}
	}
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	if code, _, err := control("proxy", "explain", "--admin", other.URL, "--listener", "x"); code != exitFailed || !strings.Contains(err, "has no page /explain: it is Envoy") {
		t.Errorf("%d %q", code, err)
	}
}

// TestProxyAddress: a Unix socket, the environment, and nobody there.
func TestProxyAddress(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "a.b: 7\n") })}
	go server.Serve(l)
	defer server.Close()
	for _, address := range []string{path, "unix://" + path, "unix:" + path} {
		if code, out, err := control("proxy", "stats", "--admin", address); code != exitDone || asTold(out) != "NAME VALUE\na.b 7\n" {
			t.Errorf("%s: %d %q %q", address, code, out, err)
		}
	}
	t.Setenv("WEFT_ADMIN", path)
	if code, out, err := control("proxy", "stats"); code != exitDone || !strings.Contains(out, "a.b") {
		t.Errorf("%d %q %q", code, out, err)
	}
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	for address, want := range map[string]string{gone.Addr().String(): "nobody answers at the admin address", path + ".gone": "nobody answers at the admin address", "nowhere": "want HOST:PORT or the path of a Unix socket"} {
		if code, out, err := control("proxy", "stats", "--admin", address); code == exitDone || out != "" || !strings.Contains(err, want) {
			t.Errorf("%s: %d %q %q", address, code, out, err)
		}
	}
}

// TestSecretsAreHidden from whoever has a proxy that shows them.
func TestSecretsAreHidden(t *testing.T) {
	const dump = `{"configs": [{"@type": "type.googleapis.com/envoy.admin.v3.SecretsConfigDump", "static_secrets": [{"name": "s", "secret": {"name": "s",
"tls_certificate": {"certificate_chain": {"inline_string": "seen"}, "private_key": {"inline_string": "SECRET"}, "password": {"inline_bytes": "SECRET"}, "pkcs12": {"filename": "SECRET"}}}}, {"name": "k", "secret": {"name": "k", "session_ticket_keys": {"keys": [{"inline_string": "SECRET"}]}}}]}]}`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/certs" {
			io.WriteString(w, `{"certificates": []}`)
			return
		}
		io.WriteString(w, dump)
	}))
	defer server.Close()
	for _, args := range []string{"secrets", "secrets -o json", "secrets -o yaml", "config", "config -o yaml"} {
		code, out, err := control(append(append([]string{"proxy"}, strings.Fields(args)...), "--admin", server.URL)...)
		if code != exitDone || strings.Contains(strings.ReplaceAll(out, "SECRET  ", ""), "SECRET") {
			t.Errorf("%s: %d %s\n%s", args, code, err, out)
		}
	}
}

func TestAssessCommand(t *testing.T) {
	good := envoy.Start(t, looked(t))
	code, out, err := control("assess", good)
	if code != exitDone || !strings.Contains(out, "resources would run\n") || !strings.Contains(asTold(out), "KIND RUN REFUSED HARMLESS FIELDS\nBootstrap 1 0 ") || !strings.Contains(asTold(out), "Listener 4 0 ") || !strings.Contains(asTold(out), "MultipleRouteConfiguration 1 0 ") {
		t.Errorf("%d %q\n%s", code, err, out)
	}
	if code, out, err = control("assess", good, "--harmless", "--all"); code != exitDone || !strings.Contains(out, "harmless: node.extensions") && !strings.Contains(out, "harmless: node.") || !strings.Contains(out, `Cluster "up" (static_clusters) runs`) {
		t.Errorf("%d %q\n%s", code, err, out)
	}
	file := filepath.Join(t.TempDir(), "dump.json")
	dump := fmt.Sprintf(`{"configs": [{"@type": "type.googleapis.com/envoy.admin.v3.ClustersConfigDump", "dynamic_active_clusters": [{"cluster": %s}]}]}`,
		`{"@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster", "name": "one", "connect_timeout": "1s", "lb_policy": "LOAD_BALANCING_POLICY_CONFIG", "load_balancing_policy": {"policies": [{"typed_extension_config": {"name": "x", "typed_config": {"@type": "type.googleapis.com/new.Policy", "a": 1}}}]}}`)
	if err := os.WriteFile(file, []byte(dump), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, err = control("assess", file)
	if code != exitFailed || !strings.HasPrefix(out, "Cluster \"one\" (dynamic_active_clusters) would be refused\n  ") || !strings.HasSuffix(out, "1 of 1 resources would be refused\n") || err != "" {
		t.Errorf("%d %q\n%s", code, err, out)
	}
	code, out, _ = control("assess", "-o", "json", file)
	var a xds.Assessment
	if e := json.Unmarshal([]byte(out), &a); e != nil || code != exitFailed || a.Refused() != 1 || a.Summary[0].Refused != 1 {
		t.Errorf("%d %v\n%s", code, e, out)
	}
	var y map[string]any
	if code, out, _ = control("assess", "-o", "yaml", file); code != exitFailed || yaml.Unmarshal([]byte(out), &y) != nil || y["resources"] == nil {
		t.Errorf("%d\n%s", code, out)
	}
	in, e := os.Open(file)
	if e != nil {
		t.Fatal(e)
	}
	defer in.Close()
	var o, errs bytes.Buffer
	if code := run([]string{"assess", "-"}, streams{in: in, out: &o, err: &errs}); code != exitFailed || !strings.Contains(o.String(), "would be refused") {
		t.Errorf("%d %s %s", code, &o, &errs)
	}
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"", exitUsage, "what is to be assessed?"},
		{"a b", exitUsage, `unexpected argument "b"`},
		{"a -o toml", exitUsage, "want table, json, yaml"},
		{filepath.Join(t.TempDir(), "absent"), exitFailed, "no such file"},
		{"127.0.0.1:1", exitFailed, "nobody answers at the admin address"},
	} {
		if code, out, err := control(append([]string{"assess"}, strings.Fields(c.args)...)...); code != c.code || out != "" || !strings.Contains(err, c.want) {
			t.Errorf("assess %s: %d %q %q, want %d %q", c.args, code, out, err, c.code, c.want)
		}
	}
}
