package istio

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/test/e2e"
	"github.com/weftmesh/weft/test/envoy"
	"github.com/weftmesh/weft/test/vacant"
	"github.com/weftmesh/weft/xds/decode"
)

// serving is one of the two programs with a configuration.
type serving struct {
	name        string
	port, admin int
	up          *e2e.Upstream
}

// serve runs a program until the test ends. Of its configuration @PORT@ is where it listens, and @UP@ the port of an upstream.
func serve(t *testing.T, name, text string, up func(testing.TB) *e2e.Upstream) *serving {
	t.Helper()
	find := program
	if name != "weft" {
		find = envoy.Find
	}
	path, err := find()
	if err != nil {
		t.Fatal(err)
	}
	ports := vacant.Ports(t, 2)
	s := &serving{name: name, port: ports[0], admin: ports[1], up: up(t)}
	text = strings.NewReplacer("@PORT@", fmt.Sprint(s.port), "@UP@", fmt.Sprint(s.up.Port)).Replace(text) +
		fmt.Sprintf("\nadmin: {address: {socket_address: {address: 127.0.0.1, port_value: %d}}}\n", s.admin)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "boot.yaml"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(path, "-c", "boot.yaml", "--concurrency", "1", "--disable-hot-restart", "-l", "error")
	c.Dir = dir
	said := &bytes.Buffer{}
	c.Stderr = said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { c.Wait(); close(ended) }()
	t.Cleanup(func() { c.Process.Kill(); <-ended })
	end := time.Now().Add(deadline)
	for tick := time.NewTicker(5 * time.Millisecond); s.page("/ready") != "LIVE\n"; <-tick.C {
		if time.Now().After(end) {
			c.Process.Kill()
			<-ended
			t.Fatalf("%s is not ready within %v:\n%s\n%s", name, deadline, said, text)
		}
	}
	return s
}

func (s *serving) page(path string) string {
	r, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d%s", s.admin, path))
	if err != nil {
		return ""
	}
	defer r.Body.Close()
	b, _ := io.ReadAll(r.Body)
	return string(b)
}

func (s *serving) dial(t *testing.T) *e2e.Conn {
	return e2e.Dial(t, fmt.Sprintf("127.0.0.1:%d", s.port))
}

// byChance are the parts of an answer that differ from one to the next.
var byChance = regexp.MustCompile(`(?m)^(date|x-request-id|x-envoy-upstream-service-time): .*\r\n`)

// asked is what comes of a request, here and at the upstream.
func asked(request string) func(*testing.T, *serving) string {
	return func(t *testing.T, s *serving) string {
		r := s.dial(t).Send(request).Read("GET")
		out := fmt.Sprint(r.Status, "\n", byChance.ReplaceAllString(r.Head, ""), "\n")
		for _, head := range s.up.Heads() {
			out += byChance.ReplaceAllString(strings.ReplaceAll(head, fmt.Sprint(s.up.Port), "UP"), "")
		}
		return out
	}
}

// said is what comes back of some bytes, up to the end.
func said(text string) func(*testing.T, *serving) string {
	return func(t *testing.T, s *serving) string {
		c := s.dial(t)
		c.Send(text)
		c.Conn.(*net.TCPConn).CloseWrite()
		c.SetReadDeadline(time.Now().Add(deadline))
		b, err := io.ReadAll(c.Conn)
		return fmt.Sprintf("%q %v", b, err)
	}
}

// mirrors gives back what it is sent.
func mirrors(t testing.TB) *e2e.Upstream {
	return e2e.Serve(t, func(_ *e2e.Upstream, c *e2e.Conn) { io.Copy(c.Conn, c.Conn) })
}

func echoes(t testing.TB) *e2e.Upstream { return e2e.Echo(t) }

const upCluster = `
  clusters: [{name: up, connect_timeout: 5s, load_assignment: {cluster_name: up, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: @UP@}}}}]}]}}]
`

// overHTTP is a listener of HTTP; more is YAML of its connection manager.
func overHTTP(more string) string {
	return `static_resources:
  listeners:
  - name: l
    address: {socket_address: {address: 127.0.0.1, port_value: @PORT@}}
    filter_chains: [{filters: [{name: h, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: in, ` + more + `
      route_config: {virtual_hosts: [{name: v, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: up}}]}]}, http_filters: [{name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]}}]}]` + upCluster
}

// overTCP is a listener of TCP, with filters before the one that carries bytes.
func overTCP(filters string) string {
	return `static_resources:
  listeners:
  - name: l
    address: {socket_address: {address: 127.0.0.1, port_value: @PORT@}}
    filter_chains: [{filters: [` + filters + `{name: t, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: up}}]}]` + upCluster
}

// query is a message of MongoDB's, OP_QUERY for {}.
const query = "\x2b\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\xd4\x07\x00\x00\x00\x00\x00\x00" + "db.coll\x00" + "\x00\x00\x00\x00\x01\x00\x00\x00" + "\x05\x00\x00\x00\x00"

// trial is a configuration without an extension, and with it.
type trial struct {
	without, with string
	up            func(testing.TB) *e2e.Upstream
	outcomes      []func(*testing.T, *serving) string
}

var plainRequest = "GET /a?b=c HTTP/1.1\r\nhost: a\r\nx-client-trace-id: t\r\n\r\n"

// trials are by the extension's message and where it stands. Those of fields, which are in no list of extensions, have a name that says which.
var trials = map[string]trial{
	"envoy.extensions.bootstrap.internal_listener.v3.InternalListener in bootstrap_extensions": {
		without: overHTTP(""), up: echoes, outcomes: []func(*testing.T, *serving) string{asked(plainRequest)},
		with: overHTTP("") + `bootstrap_extensions: [` + wrapped("i", "envoy.extensions.bootstrap.internal_listener.v3.InternalListener", "buffer_size_kb: 64", false) + `]`,
	},
	"envoy.extensions.filters.network.mongo_proxy.v3.MongoProxy in filters of a filter chain": {
		without: overTCP(""), up: mirrors, outcomes: []func(*testing.T, *serving) string{said(query), said("no message of MongoDB's"), said(query[:7]), said(strings.Repeat(query, 100) + "x")},
		with: overTCP(`{name: m, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.mongo_proxy.v3.MongoProxy, stat_prefix: m}}, `),
	},
	"tracing of a connection manager, without a tracer": {
		without: overHTTP(""), up: echoes, outcomes: []func(*testing.T, *serving) string{asked(plainRequest)},
		with: overHTTP(`tracing: {client_sampling: {value: 100}, random_sampling: {value: 1}, overall_sampling: {value: 100}, custom_tags: [{tag: t, literal: {value: v}}]},`),
	},
	"tracing of the bootstrap, without one of a connection manager": {
		without: overHTTP(""), up: echoes, outcomes: []func(*testing.T, *serving) string{asked(plainRequest)},
		with: overHTTP("") + `tracing: {http: {name: z, typed_config: {"@type": type.googleapis.com/envoy.config.trace.v3.ZipkinConfig, collector_cluster: up, collector_endpoint: /, collector_endpoint_version: HTTP_JSON}}}`,
	},
}

// TestHarmlessIsHarmless has the real Envoy serve the same with and without what is said to be harmless, and wants no difference; and none to what
// we make of it. Every extension that a stock Envoy has must have been seen so, and it says who has not.
func TestHarmlessIsHarmless(t *testing.T) {
	for _, h := range decode.HarmlessExtensions() {
		if _, ok := trials[h.Message+" in "+h.Where]; ok != h.Seen {
			t.Errorf("%s in %s: seen is %v, and there is a trial: %v", h.Message, h.Where, h.Seen, ok)
		}
	}
	for name, c := range trials {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sides := []*serving{serve(t, "Envoy", c.without, c.up), serve(t, "Envoy", c.with, c.up), serve(t, "weft", c.with, c.up)}
			for i, outcome := range c.outcomes {
				want := outcome(t, sides[0])
				for _, s := range sides[1:] {
					if got := outcome(t, s); got != want {
						t.Errorf("%d: with it %s gives\n%s\nwithout it Envoy gives\n%s", i, s.name, got, want)
					}
				}
			}
		})
	}
}

// TestAsEnvoy has both programs serve what Istio's bootstrap asks for and stock Envoys have not by default, and wants the same.
func TestAsEnvoy(t *testing.T) {
	const kept = `
layered_runtime: {layers: [{name: a, static_layer: {envoy.reloadable_features.http_reject_path_with_fragment: REJECT}}]}
stats_config:
  use_all_default_tags: false
  stats_tags: [{tag_name: cluster_name, regex: '^cluster(\.(.+?))\.(?:up)'}, {tag_name: listener, regex: '^listener(?=\.).*?(\.http\.(in))'}, {tag_name: response_code_class, regex: '_rq(_(\dxx))$'}, {tag_name: response_code, regex: '_rq(_(\d{3}))$'}, {tag_name: fixed, fixed_value: f}]
  stats_matcher: {inclusion_list: {patterns: [{safe_regex: {regex: 'cluster\.up\.upstream_(cx_total|rq_total|rq_2xx|rq_200)'}}, {suffix: .in.downstream_rq_2xx}, {prefix: http.in.downstream_rq_time}]}}
  histogram_bucket_settings: [{match: {prefix: http.in}, buckets: [10, 100000]}]
`
	for _, refuse := range []string{"true", "false"} {
		text := overHTTP("") + strings.Replace(kept, "REJECT", refuse, 1)
		var answers, names []string
		for _, name := range []string{"Envoy", "weft"} {
			s := serve(t, name, text, echoes)
			var out strings.Builder
			for _, target := range []string{"/a#f", "/a#", "/a?q#f?r", "/a%23", "/a#b#c", "/#"} {
				r := s.dial(t).Send("GET " + target + " HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").Read("GET")
				fmt.Fprintln(&out, target, r.Status)
			}
			for _, head := range s.up.Heads() {
				line, _, _ := strings.Cut(head, "\r\n")
				fmt.Fprintln(&out, line)
			}
			answers = append(answers, out.String())
			var shown []string
			for line := range strings.Lines(s.page("/stats/prometheus")) {
				if name, _, _ := strings.Cut(line, " "); !strings.HasPrefix(line, "#") && strings.TrimSpace(name) != "" {
					shown = append(shown, inOrder(strings.ReplaceAll(name, fmt.Sprint(s.port), "PORT")))
				}
			}
			slices.Sort(shown)
			names = append(names, strings.Join(shown, "\n"))
		}
		if answers[0] != answers[1] {
			t.Errorf("refused %s: Envoy gives\n%s\nweft gives\n%s", refuse, answers[0], answers[1])
		}
		if names[0] != names[1] {
			t.Errorf("Envoy shows\n%s\nweft shows\n%s", names[0], names[1])
		}
	}
}

// inOrder is a name of Prometheus's with its labels in the order of the alphabet, which means nothing to anybody.
func inOrder(name string) string {
	family, labels, _ := strings.Cut(strings.TrimSuffix(name, "}"), "{")
	list := strings.Split(labels, ",")
	slices.Sort(list)
	return family + " " + strings.Join(list, ",")
}

// TestLimitAsEnvoy has both programs take two connections, whichever listeners they are for, and one that does not count.
func TestLimitAsEnvoy(t *testing.T) {
	text := strings.Replace(overTCP(""), upCluster, `
  - name: beyond
    ignore_global_conn_limit: true
    address: {socket_address: {address: 127.0.0.2, port_value: @PORT@}}
    filter_chains: [{filters: [{name: t, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo}}]}]`+upCluster, 1) +
		`overload_manager: {resource_monitors: [{name: envoy.resource_monitors.global_downstream_max_connections, typed_config: {"@type": type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig, max_active_downstream_connections: 2}}]}`
	hears := func(c net.Conn) string {
		io.WriteString(c, "x")
		c.SetReadDeadline(time.Now().Add(deadline))
		var b [1]byte
		if _, err := io.ReadFull(c, b[:]); err != nil {
			return "closed"
		}
		return string(b[:])
	}
	for _, name := range []string{"Envoy", "weft"} {
		s := serve(t, name, text, mirrors)
		first, second := s.dial(t), s.dial(t)
		got := []string{hears(first.Conn), hears(second.Conn), hears(s.dial(t).Conn), hears(e2e.Dial(t, fmt.Sprintf("127.0.0.2:%d", s.port)).Conn)}
		first.Close()
		again := ""
		for end := time.Now().Add(deadline); again != "x" && time.Now().Before(end); {
			again = hears(s.dial(t).Conn)
		}
		if want := []string{"x", "x", "closed", "x"}; !slices.Equal(got, want) || again != "x" {
			t.Errorf("%s: %q, and %q once one has gone, want %q", name, got, again, want)
		}
		for host, zero := range map[string]bool{"127.0.0.1": false, "127.0.0.2": true} {
			counter := fmt.Sprintf("listener.%s_%d.downstream_global_cx_overflow", host, s.port)
			if text := s.page("/stats?filter=" + counter); strings.HasSuffix(text, ": 0\n") != zero || !strings.HasPrefix(text, counter) {
				t.Errorf("%s: %s", name, text)
			}
		}
	}
}
