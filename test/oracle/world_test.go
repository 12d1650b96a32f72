package oracle

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"sigs.k8s.io/yaml"

	"github.com/weftmesh/weft/filters/builtin"
	"github.com/weftmesh/weft/proxy"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/telemetry/accesslog"
	"github.com/weftmesh/weft/xds/decode"
)

// scenario is a listener with its clusters, and what is sent to it. In its texts $name is a cluster of its own: $up, $b and $c lead to
// upstreams that differ in what they call themselves, $dead to a port where nobody listens, $none to no endpoint.
type scenario struct {
	name     string
	vhost    string            // YAML of a virtual host for any domain, below its name; empty: everything goes to $up
	hosts    string            // a list in YAML of more virtual hosts
	manager  string            // YAML of the connection manager
	logs     string            // YAML of a filter of the access log
	json     string            // YAML of an object, instead of the text of the access log
	filters  string            // a list in YAML of HTTP filters before the router
	tcp      string            // YAML of a TCP proxy, instead of all of the above
	clusters map[string]string // more YAML of a cluster, by its name without $
	sends    []exchange
}

// exchange is one connection: what is sent, at once, and what upstreams answer.
type exchange struct {
	// send is bytes as they are if a line end is in it, else "METHOD target; name: value; ...", which several may be, one to a line
	// that ends in \n, pipelined.
	send    string
	answers []string // in turn to each request, the last one for ever; none: 200 and what was asked; "" closes
	then    string   // sent once the first answer has come, for tunnels
}

// logged are the operators of every access log here.
var logged = strings.Fields(`PROTOCOL RESPONSE_CODE RESPONSE_CODE_DETAILS CONNECTION_TERMINATION_DETAILS RESPONSE_FLAGS RESPONSE_FLAGS_LONG
	BYTES_RECEIVED BYTES_SENT DOWNSTREAM_WIRE_BYTES_RECEIVED DOWNSTREAM_WIRE_BYTES_SENT UPSTREAM_WIRE_BYTES_RECEIVED UPSTREAM_WIRE_BYTES_SENT
	REQUEST_HEADERS_BYTES RESPONSE_HEADERS_BYTES RESPONSE_TRAILERS_BYTES UPSTREAM_HOST UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT
	UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT
	DOWNSTREAM_LOCAL_ADDRESS DOWNSTREAM_DIRECT_LOCAL_ADDRESS_WITHOUT_PORT ROUTE_NAME UPSTREAM_CLUSTER UPSTREAM_CLUSTER_RAW
	FILTER_CHAIN_NAME UPSTREAM_REQUEST_ATTEMPT_COUNT UPSTREAM_TRANSPORT_FAILURE_REASON REQ(:METHOD) REQ(:PATH) REQ(:AUTHORITY) REQ(:SCHEME)
	REQ(X-ENVOY-ORIGINAL-PATH?:PATH) REQ(X-FORWARDED-FOR) REQ(X-A):3 RESP(:STATUS) RESP(CONTENT-TYPE) RESP(X-A) TRAILER(X-T)
	QUERY_PARAM(q) REQUESTED_SERVER_NAME DOWNSTREAM_TRANSPORT_FAILURE_REASON DYNAMIC_METADATA(oracle) FILTER_STATE(oracle:PLAIN)
	PATH PATH(NQ:PATH) QUERY_PARAMS GRPC_STATUS GRPC_STATUS(SNAKE_STRING) GRPC_STATUS_NUMBER LOCAL_REPLY_BODY ACCESS_LOG_TYPE
	UPSTREAM_PROTOCOL UPSTREAM_HOST_NAME METADATA(DYNAMIC:oracle) BYTES_RETRANSMITTED CUSTOM_FLAGS TRACE_ID DOWNSTREAM_PEER_SUBJECT RESPONSE_TRAILER(X-T)`)

var own = regexp.MustCompile(`\$([a-z]+)`)

// bootstrap is the configuration that has all scenarios in it. ports are those of upstreams, logs is a folder.
func bootstrap(list []scenario, ports map[string]int, logs string) string {
	var listeners, clusters strings.Builder
	for i := range list {
		s := &list[i]
		format := `text_format_source: {inline_string: "%` + strings.Join(logged, "%\u00a6%") + `%\n"}`
		if s.json != "" {
			format = s.json
		}
		log := `access_log: [{name: file, `
		if s.logs != "" {
			log += "filter: {" + s.logs + "}, "
		}
		log += fmt.Sprintf(`typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: %s, log_format: {%s}}}]`, filepath.Join(logs, s.name), format)
		var filter string
		if s.tcp != "" {
			filter = "name: envoy.filters.network.tcp_proxy\ntyped_config:\n  \"@type\": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy\n" +
				indent(2, "stat_prefix: "+s.name+"\n"+log+"\n"+s.tcp)
		} else {
			vhost := s.vhost
			if vhost == "" {
				vhost = "routes: [{match: {prefix: /}, route: {cluster: $up}}]"
			}
			filter = "name: envoy.filters.network.http_connection_manager\ntyped_config:\n  \"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager\n" +
				indent(2, "stat_prefix: "+s.name+"\n"+log+"\n"+s.manager+"\nhttp_filters:\n"+strings.TrimSpace(s.filters)+
					"\n- {name: envoy.filters.http.router, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}\n"+
					"route_config:\n  name: table\n  virtual_hosts:\n"+indent(2, strings.TrimSpace(s.hosts))+"\n  - name: all\n    domains: [\"*\"]\n"+indent(4, vhost))
		}
		text := fmt.Sprintf("- name: %s\n  stat_prefix: %s\n  address: {socket_address: {address: 127.0.0.1, port_value: 0}}\n  filter_chains:\n  - name: chain\n    filters:\n    - %s\n",
			s.name, s.name, strings.TrimSpace(indent(6, filter)))
		named := map[string]bool{}
		for _, m := range own.FindAllStringSubmatch(text, -1) {
			named[m[1]] = true
		}
		for _, name := range sorted(named) {
			text := "- name: $" + name + "\n  connect_timeout: 5s\n"
			if port := ports[name]; port != 0 {
				text += fmt.Sprintf("  load_assignment: {cluster_name: $%s, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %d}}}}]}]}\n", name, port)
			}
			clusters.WriteString(own.ReplaceAllString(text+indent(2, s.clusters[name])+"\n", s.name+"_$1"))
		}
		listeners.WriteString(own.ReplaceAllString(text, s.name+"_$1"))
	}
	return "static_resources:\n  listeners:\n" + indent(2, listeners.String()) + "  clusters:\n" + indent(2, clusters.String())
}

func sorted(m map[string]bool) []string {
	var list []string
	for k := range m {
		list = append(list, k)
	}
	slices.Sort(list)
	return list
}

func indent(n int, text string) string {
	pad := strings.Repeat(" ", n)
	var b strings.Builder
	for line := range strings.Lines(text) {
		if strings.TrimSpace(line) != "" {
			b.WriteString(pad)
		}
		b.WriteString(line)
	}
	return b.String()
}

// side is one of the two proxies, with upstreams and a folder of its own.
type side struct {
	name  string
	up    map[string]*upstream
	logs  string
	at    map[string]string // where listeners are bound
	stats func() map[string]int64
}

func newSide(t *testing.T, name string) *side {
	s := &side{name: name, up: map[string]*upstream{}, logs: t.TempDir()}
	for _, name := range []string{"up", "b", "c"} {
		s.up[name] = serve(t, name)
	}
	return s
}

func (s *side) text(list []scenario) string {
	ports := map[string]int{"dead": 1}
	for name, u := range s.up {
		ports[name] = u.port
	}
	return bootstrap(list, ports, s.logs)
}

// startWeft runs our proxy in this process.
func startWeft(t *testing.T, list []scenario) *side {
	s := newSide(t, "weft")
	json, err := yaml.YAMLToJSON([]byte(s.text(list)))
	if err != nil {
		t.Fatal(err)
	}
	var m bootstrapv3.Bootstrap
	if err := protojson.Unmarshal(json, &m); err != nil {
		t.Fatal(err)
	}
	boot, err := decode.New(builtin.All(), decode.Options{}).Bootstrap(&m)
	if err != nil {
		t.Fatal(err)
	}
	stats := telemetry.NewStore(1)
	logs := accesslog.NewFiles(1, stats, 10*time.Millisecond, 1)
	t.Cleanup(logs.Close)
	p, err := proxy.New(proxy.Options{Concurrency: 1, Host: host(), Specs: builtin.All(), Stats: stats, Logs: logs, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	if err := p.Update(&boot.Static); err != nil {
		t.Fatal(err)
	}
	s.at = map[string]string{}
	for name, a := range p.Addresses() {
		s.at[name] = a.String()
	}
	s.stats = func() map[string]int64 {
		p.Refresh()
		all := map[string]int64{}
		for _, v := range stats.Read(telemetry.Filter{}) {
			all[v.Name] = v.Value
		}
		return all
	}
	return s
}

// host is this host's address, as Envoy finds it.
func host() netip.Addr {
	addresses, _ := net.InterfaceAddrs()
	for _, a := range addresses {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && !p.Addr().IsLoopback() {
			return p.Addr()
		}
	}
	return netip.Addr{}
}

// startEnvoy runs the real one, on one worker.
func startEnvoy(t *testing.T, list []scenario) *side {
	t.Helper()
	binary, err := findEnvoy()
	if err != nil {
		t.Fatalf("no Envoy to compare with: %v; make setup installs one, or name a binary in WEFT_ENVOY", err)
	}
	s := newSide(t, "envoy")
	folder := t.TempDir()
	file, admin := filepath.Join(folder, "envoy.yaml"), filepath.Join(folder, "admin")
	text := "admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}\n" + s.text(list)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	c := exec.Command(binary, "-c", file, "--concurrency", "1", "--disable-hot-restart", "-l", "error", "--file-flush-interval-msec", "20", "--admin-address-path", admin)
	c.Stdout, c.Stderr = &out, &out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { c.Wait(); close(ended) }()
	t.Cleanup(func() { c.Process.Kill(); <-ended })
	var address string
	ask := func(path string, into any) bool {
		r, err := http.Get("http://" + address + path)
		if err != nil {
			return false
		}
		defer r.Body.Close()
		return r.StatusCode == 200 && json.NewDecoder(r.Body).Decode(into) == nil
	}
	var listening struct {
		Statuses []struct {
			Name    string
			Address struct {
				Socket struct {
					Port int `json:"port_value"`
				} `json:"socket_address"`
			} `json:"local_address"`
		} `json:"listener_statuses"`
	}
	for end, tick := time.Now().Add(time.Minute), time.NewTicker(10*time.Millisecond); ; <-tick.C {
		b, _ := os.ReadFile(admin)
		if address = string(bytes.TrimSpace(b)); address != "" && ask("/listeners?format=json", &listening) && len(listening.Statuses) == len(list) {
			break
		}
		over := time.Now().After(end)
		select {
		case <-ended:
			over = true
		default:
		}
		if over {
			c.Process.Kill()
			<-ended
			t.Fatalf("Envoy does not serve:\n%s", out.String())
		}
	}
	s.at = map[string]string{}
	for _, l := range listening.Statuses {
		s.at[l.Name] = "127.0.0.1:" + strconv.Itoa(l.Address.Socket.Port)
	}
	s.stats = func() map[string]int64 {
		var all struct {
			Stats []struct {
				Name  string
				Value *int64
			}
		}
		if !ask("/stats?format=json", &all) {
			t.Error("Envoy does not tell its statistics")
		}
		values := map[string]int64{}
		for _, v := range all.Stats {
			if v.Value != nil {
				values[v.Name] = *v.Value
			}
		}
		return values
	}
	return s
}

// findEnvoy prefers the binary that WEFT_ENVOY names.
func findEnvoy() (string, error) {
	if named := os.Getenv("WEFT_ENVOY"); named != "" {
		return exec.LookPath(named)
	}
	return exec.LookPath("envoy")
}

// run sends what a scenario sends, one exchange after the other, and tells all that was seen: by name of what it is.
func (s *side) run(c *scenario) (seen []fact) {
	for i := range c.sends {
		e := &c.sends[i]
		for _, u := range s.up {
			u.expect(e.answers, len(e.then))
		}
		note := func(what, value string) { seen = append(seen, fact{fmt.Sprintf("%s/%d/%s", c.name, i, what), value}) }
		address, ok := s.at[c.name]
		if !ok {
			note("listener", "is missing")
			return seen
		}
		client, err := net.DialTimeout("tcp", address, patience)
		if err != nil {
			note("dial", err.Error())
			continue
		}
		client.SetDeadline(time.Now().Add(patience))
		// What is refused half way may be answered, and the connection closed, before all is sent.
		bytes, methods := raw(e.send)
		io.WriteString(client, bytes)
		if c.tcp != "" {
			methods = nil
			client.(*net.TCPConn).CloseWrite()
		}
		r := newReader(client)
		for n, method := range methods {
			m, err := r.response(method)
			if err != nil && m.line == "" {
				note(fmt.Sprintf("answer%d", n), "none: "+ending(err))
				break
			}
			note(fmt.Sprintf("answer%d", n), m.line)
			for _, f := range m.fields() {
				note(fmt.Sprintf("answer%d:%s", n, f.what), f.value)
			}
			note(fmt.Sprintf("answer%d body", n), fmt.Sprintf("%q %s", m.plain(), ending(err)))
			if e.then != "" && n == 0 {
				io.WriteString(client, e.then)
			}
			if err != nil {
				break
			}
		}
		if c.tcp != "" || e.then != "" {
			rest, err := io.ReadAll(r.r)
			note("rest", fmt.Sprintf("%q %s", rest, ending(err)))
		}
		client.Close()
		for name, u := range s.up {
			for n, got := range u.got(strings.Contains(c.vhost, "mirror")) {
				note(fmt.Sprintf("%s%d", name, n), got.line)
				for _, f := range got.fields() {
					note(fmt.Sprintf("%s%d:%s", name, n, f.what), f.value)
				}
				note(fmt.Sprintf("%s%d body", name, n), fmt.Sprintf("%q", got.plain()))
			}
		}
	}
	for i := range seen {
		seen[i].value = s.mask(c, seen[i].what, seen[i].value)
	}
	return seen
}

// logsOf gives the lines of a scenario's log as facts, once there are that many or patience is over.
func (s *side) logsOf(c *scenario) []string {
	b, err := os.ReadFile(filepath.Join(s.logs, c.name))
	if err != nil || len(b) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
}

// fact is something that was seen.
type fact struct{ what, value string }

var (
	ports  = regexp.MustCompile(`127\.0\.0\.1:\d+`)
	uuid   = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
	number = regexp.MustCompile(`^\d+$`)
)

// mask puts words in the place of what differs from run to run.
func (s *side) mask(c *scenario, what, value string) string {
	switch {
	case strings.HasSuffix(strings.ToLower(what), ":date"):
		_, err := http.ParseTime(value)
		return fmt.Sprint("a date: ", err == nil)
	case strings.HasSuffix(what, ":x-envoy-expected-rq-timeout-ms") && number.MatchString(value):
		if n, err := strconv.Atoi(value); err == nil && n > 1000 {
			return strconv.Itoa((n + 500) / 1000 * 1000) // what is left of it when a try begins
		}
	case strings.HasSuffix(what, ":x-forwarded-port") && strings.HasSuffix(s.at[c.name], ":"+value):
		return "PORT"
	case strings.HasSuffix(what, ":x-request-id") && uuid.MatchString(value):
		return "a random id"
	case strings.HasSuffix(strings.ToLower(what), ":x-envoy-upstream-service-time") && number.MatchString(value):
		return "milliseconds"
	}
	return ports.ReplaceAllStringFunc(value, func(a string) string {
		if a == s.at[c.name] {
			return "LISTENER"
		}
		for name, u := range s.up {
			if a == "127.0.0.1:"+strconv.Itoa(u.port) {
				return strings.ToUpper(name)
			}
		}
		return "127.0.0.1:PORT"
	})
}
