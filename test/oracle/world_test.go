package oracle

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/test/e2e"

	// What weft is built from, or go test would take the last result for one of what has changed since.
	_ "github.com/weftmesh/weft/proxy"
	_ "github.com/weftmesh/weft/proxy/admin"
	"github.com/weftmesh/weft/test/envoy"
	_ "github.com/weftmesh/weft/xds"
)

// scenario is a listener with its clusters, and what is sent to it. In its texts $name is a cluster of its own: $up, $b and $c lead to
// upstreams that differ in what they call themselves, $dead to a port where nobody listens, $none to no endpoint. @name is the port of an
// upstream, in what is sent, too, and @folder a folder that holds the scenario's files.
type scenario struct {
	name     string
	vhost    string            // YAML of a virtual host for any domain, below its name; empty: everything goes to $up
	hosts    string            // a list in YAML of more virtual hosts
	table    string            // YAML of the route configuration
	manager  string            // YAML of the connection manager
	rds      string            // YAML of the connection manager's route discovery, instead of hosts, vhost and table
	logs     string            // YAML of a filter of the access log
	json     string            // YAML of an object, instead of the text of the access log
	loggers  string            // a list in YAML of more access logs
	filters  string            // a list in YAML of HTTP filters before the router
	router   string            // YAML of the router
	tcp      string            // YAML of a TCP proxy, instead of all of the above
	network  string            // a list in YAML of network filters before the one that owns the connection
	alone    string            // a list in YAML of network filters instead of everything above
	chain    string            // YAML of the filter chain
	chains   string            // a list in YAML of more filter chains
	listener string            // YAML of the listener
	clusters map[string]string // more YAML of a cluster, by its name without $
	ends     map[string]string // a list in YAML of a cluster's localities, by its name without $, and what follows it; "-": it has none
	files    map[string]string // by name
	late     bool              // upstreams may hear of it after the client
	two      bool              // its clients speak HTTP/2
	dynamic  bool              // the listener and its clusters come from files
	sends    []exchange
}

// raw tells whether what comes back is bytes and not answers.
func (c *scenario) raw() bool { return c.tcp != "" || c.alone != "" }

// exchange is one connection: what is sent, at once, and what upstreams answer.
type exchange struct {
	// send is bytes as they are if a line end is in it, or they begin with what no text begins with, else "METHOD target; name: value; ...", which several may be, one to a line
	// that ends in \n, pipelined.
	send    string
	after   string   // a statistic that is to be at least 1 before anything is sent
	answers []string // in turn to each request, the last one for ever; none: 200 and what was asked; "" closes
	then    string   // sent once the first answer has come, for tunnels
	tls     *meeting // the client speaks TLS
	take    int      // how many bytes are read before the client closes, of what is no HTTP; 0: all
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
	UPSTREAM_PROTOCOL UPSTREAM_HOST_NAME METADATA(DYNAMIC:oracle) BYTES_RETRANSMITTED CUSTOM_FLAGS TRACE_ID DOWNSTREAM_PEER_SUBJECT RESPONSE_TRAILER(X-T)
	DOWNSTREAM_HEADER_BYTES_RECEIVED DOWNSTREAM_HEADER_BYTES_SENT DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED
	DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_SENT UPSTREAM_HEADER_BYTES_RECEIVED UPSTREAM_HEADER_BYTES_SENT
	UPSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED UPSTREAM_DECOMPRESSED_HEADER_BYTES_SENT DOWNSTREAM_DETECTED_CLOSE_TYPE
	DOWNSTREAM_LOCAL_CLOSE_REASON UPSTREAM_DETECTED_CLOSE_TYPE UPSTREAM_LOCAL_CLOSE_REASON
	DOWNSTREAM_LOCAL_ADDRESS_ENDPOINT_ID DOWNSTREAM_DIRECT_LOCAL_ADDRESS_ENDPOINT_ID UPSTREAM_REMOTE_ADDRESS_ENDPOINT_ID
	DOWNSTREAM_PEER_ISSUER_FINGERPRINT_256 DOWNSTREAM_PEER_ISSUER_SERIAL DOWNSTREAM_TLS_GROUP UPSTREAM_TLS_GROUP UPSTREAM_SERVER_NAME
	LISTENER_NAME ROUTE_RESOLUTION_COUNT ROUTE_RESOLUTION_TIME_US UPSTREAM_CONNECTION_POOL_READY_DURATION
	UPSTREAM_CONNECTION_IDS_ATTEMPTED UPSTREAM_HOSTS_ATTEMPTED UPSTREAM_HOSTS_ATTEMPTED_WITHOUT_PORT UPSTREAM_HOST_NAMES_ATTEMPTED
	UPSTREAM_HOST_NAMES_ATTEMPTED_WITHOUT_PORT UPSTREAM_HOST_NAME_WITHOUT_PORT CLUSTER_METADATA(oracle)
	COALESCE({"operators":["ROUTE_NAME","UPSTREAM_SERVER_NAME",{"command":"REQ","param":"x-a?:path","max_length":4},"LISTENER_NAME"]}):20
	FILTER_STATE(oracle:FIELD:f) XFCC_VALUE(uri) COMMON_DURATION(DS_CX_BEG:DS_CX_BEG:us) COMMON_DURATION(DS_CX_END:DS_CX_END:us)
	COMMON_DURATION(DS_RX_BEG:DS_RX_BEG:us) COMMON_DURATION(DS_RX_HDR_END:DS_RX_HDR_END:us) COMMON_DURATION(DS_RX_END:DS_RX_END:us) COMMON_DURATION(US_CX_BEG:US_CX_BEG:us)
	COMMON_DURATION(US_CX_END:US_CX_END:us) COMMON_DURATION(US_HS_END:US_HS_END:us) COMMON_DURATION(US_TX_BEG:US_TX_BEG:us) COMMON_DURATION(US_TX_END:US_TX_END:us)
	COMMON_DURATION(US_RX_BEG:US_RX_BEG:us) COMMON_DURATION(US_RX_BODY_BEG:US_RX_BODY_BEG:us) COMMON_DURATION(US_RX_END:US_RX_END:us)
	COMMON_DURATION(DS_TX_BEG:DS_TX_BEG:us) COMMON_DURATION(DS_TX_END:DS_TX_END:us) COMMON_DURATION(DS_RX_BEG:nobody)
	DOWNSTREAM_TLS_VERSION DOWNSTREAM_TLS_CIPHER DOWNSTREAM_TLS_SESSION_ID DOWNSTREAM_PEER_ISSUER DOWNSTREAM_PEER_SERIAL DOWNSTREAM_PEER_FINGERPRINT_256
	DOWNSTREAM_PEER_FINGERPRINT_1 DOWNSTREAM_PEER_CERT DOWNSTREAM_PEER_CERT_V_START DOWNSTREAM_PEER_CERT_V_END(%Y/%m/%d) DOWNSTREAM_PEER_URI_SAN
	DOWNSTREAM_PEER_DNS_SAN DOWNSTREAM_PEER_IP_SAN DOWNSTREAM_PEER_EMAIL_SAN DOWNSTREAM_PEER_OTHERNAME_SAN DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_256
	DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_1 DOWNSTREAM_PEER_CHAIN_SERIALS DOWNSTREAM_LOCAL_SUBJECT DOWNSTREAM_LOCAL_URI_SAN DOWNSTREAM_LOCAL_DNS_SAN
	DOWNSTREAM_LOCAL_IP_SAN DOWNSTREAM_LOCAL_EMAIL_SAN DOWNSTREAM_LOCAL_OTHERNAME_SAN DOWNSTREAM_HANDSHAKE_DURATION UPSTREAM_TLS_VERSION UPSTREAM_TLS_CIPHER
	UPSTREAM_TLS_SESSION_ID UPSTREAM_PEER_SUBJECT UPSTREAM_PEER_ISSUER UPSTREAM_PEER_CERT UPSTREAM_PEER_CERT_V_START(%Y) UPSTREAM_PEER_CERT_V_END UPSTREAM_PEER_URI_SAN
	UPSTREAM_PEER_DNS_SAN UPSTREAM_PEER_IP_SAN UPSTREAM_LOCAL_URI_SAN UPSTREAM_LOCAL_DNS_SAN UPSTREAM_LOCAL_IP_SAN
	COMMON_DURATION(DS_HS_BEG:DS_HS_BEG:us) COMMON_DURATION(DS_HS_END:DS_HS_END:us)`)

// line is the text of every access log, within quotes.
func line() string {
	return "%" + strings.ReplaceAll(strings.Join(logged, "%\u00a6%"), `"`, `\"`) + `%\n`
}

var own = regexp.MustCompile(`\$([a-z]+)`)

// general is what the configuration says of the process.
const general = `
node: {id: oracle, cluster: oracles, locality: {region: r1, zone: z1, sub_zone: s1}}
application_log_config: {log_format: {text_format: "%v"}}
cluster_manager: {outlier_detection: {event_log_path: @folder/ejections.log}, upstream_bind_config: {source_address: {address: 127.0.0.1, port_value: 0}}}
typed_dns_resolver_config: {name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig, resolvers: [{socket_address: {address: 127.0.0.1, port_value: @names}}]}}
dynamic_resources: {lds_config: {path_config_source: {path: @folder/lds.yaml}}, cds_config: {path_config_source: {path: @folder/cds.yaml}}}
admin:
  address: {socket_address: {address: 127.0.0.1, port_value: 0}}
  profile_path: @folder/profile
  allow_paths: [{prefix: /}]
  access_log_path: @folder/admin-too.log
  access_log: [{name: l, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: @folder/admin.log}}]
`

// text is the configuration that has all scenarios in it but those from files.
func (s *side) text(list []scenario) string {
	var listeners, clusters strings.Builder
	for i := range list {
		if !list[i].dynamic {
			l, c := list[i].resources()
			listeners.WriteString(l)
			clusters.WriteString(c)
		}
	}
	return s.fill(general + layers + "static_resources:\n  listeners:\n" + indent(2, listeners.String()) + "  clusters:\n" + indent(2, clusters.String()) + ownSecrets)
}

// discovered are the files of those that come from files.
func (s *side) discovered(list []scenario) (lds, cds string) {
	// Only what stands at the margin is a resource.
	first := regexp.MustCompile(`(?m)^- name: `)
	typed := func(message, resources string) string {
		return first.ReplaceAllString(resources, `- "@type": type.googleapis.com/envoy.config.`+message+"\n  name: ")
	}
	for i := range list {
		if list[i].dynamic {
			l, c := list[i].resources()
			lds += typed("listener.v3.Listener", l)
			cds += typed("cluster.v3.Cluster", c)
		}
	}
	return s.fill("resources:\n" + lds), s.fill("resources:\n" + cds)
}

// resources are the scenario's listener and its clusters, each a list in YAML.
func (c *scenario) resources() (listener, clusters string) {
	listener, named := c.text()
	for _, name := range sorted(named) {
		clusters += own.ReplaceAllString(c.cluster(name), c.name+"_$1")
	}
	return own.ReplaceAllString(listener, c.name+"_$1"), clusters
}

// text is the listener, and the clusters that are named in it.
func (c *scenario) text() (text string, named map[string]bool) {
	const manager = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
	const proxy = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
	format := `text_format_source: {inline_string: "` + line() + `"}`
	if c.json != "" {
		format = c.json
	}
	log := "access_log:\n- {name: file, "
	if c.logs != "" {
		log += "filter: {" + c.logs + "}, "
	}
	log += fmt.Sprintf("typed_config: {\"@type\": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: @folder/%s, log_format: {%s}}}\n%s", c.name, format, c.loggers)
	filters := c.alone
	switch {
	case filters != "":
	case c.tcp != "":
		filters = c.network + "\n- name: envoy.filters.network.tcp_proxy\n  typed_config:\n    \"@type\": type.googleapis.com/" + proxy + "\n" +
			indent(4, "stat_prefix: "+c.name+"\n"+log+"\n"+c.tcp)
	default:
		filters = c.network + "\n- name: envoy.filters.network.http_connection_manager\n  typed_config:\n    \"@type\": type.googleapis.com/" + manager + "\n" +
			indent(4, "stat_prefix: "+c.name+"\n"+log+"\n"+c.manager+"\nhttp_filters:\n"+strings.TrimSpace(c.filters)+
				"\n- {name: envoy.filters.http.router, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router, "+c.router+"}}\n"+c.routing())
	}
	chains := strings.TrimLeft(c.chains, "\n")
	if strings.TrimSpace(filters) != "none" {
		chains += "\n- name: chain\n" + indent(2, c.chain) + "\n  filters:\n" + indent(2, strings.Trim(filters, "\n"))
	}
	text = fmt.Sprintf("- name: %s\n  stat_prefix: %[1]s\n%s\n  filter_chains:\n%s\n", c.name, indent(2, "address: {socket_address: {address: 127.0.0.1, port_value: 0}}\n"+c.listener), indent(2, chains))
	named = map[string]bool{}
	all := text
	for _, file := range c.files {
		all += file
	}
	for _, m := range own.FindAllStringSubmatch(all, -1) {
		named[m[1]] = true
	}
	for name := range c.clusters {
		named[name] = true
	}
	return text, named
}

func (c *scenario) routing() string {
	if c.rds != "" {
		return "rds: {" + c.rds + "}\n"
	}
	vhost := c.vhost
	if vhost == "" {
		vhost = "routes: [{match: {prefix: /}, route: {cluster: $up}}]"
	}
	return "route_config:\n  name: table\n" + indent(2, c.table) + "\n  virtual_hosts:\n" + indent(2, strings.TrimSpace(c.hosts)) + "\n  - name: all\n    domains: [\"*\"]\n" + indent(4, vhost)
}

// cluster is one of the scenario's.
func (c *scenario) cluster(name string) string {
	text := "- name: $" + name + "\n  connect_timeout: 5s\n"
	switch ends, given := c.ends[name]; {
	case given && ends == "-", name == "none" && !given:
	case given:
		text += "  load_assignment:\n    cluster_name: $" + name + "\n    endpoints:\n" + indent(4, strings.Trim(ends, "\n")) + "\n"
	default:
		text += "  load_assignment: {cluster_name: $" + name + ", endpoints: [{lb_endpoints: [" + end(name, "") + "]}]}\n"
	}
	return text + indent(2, c.clusters[name]) + "\n"
}

// end is an endpoint on loopback, with more YAML of it.
func end(name, more string) string {
	return "{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: @" + name + "}}}, " + more + "}"
}

// fill puts in what is known only when it runs.
func (s *side) fill(text string) string {
	if strings.Contains(text, "@whole-") || strings.Contains(text, "@key-") {
		text = s.keys.fill(text)
	}
	return known.ReplaceAllStringFunc(text, func(name string) string {
		if name == "@folder" {
			return s.logs
		}
		if port := s.port(name[1:]); port != 0 {
			return strconv.Itoa(port)
		}
		return name
	})
}

var known = regexp.MustCompile(`@(folder|names|up|b|c|well|sick|dead|secure|either|strange|thirteen|mutual)\b`)

func (s *side) port(name string) int {
	if name == "dead" {
		return 1
	}
	for _, list := range []map[string]*upstream{s.up, s.aside} {
		if u := list[name]; u != nil {
			return u.port
		}
	}
	if name == "names" {
		return s.names.Port
	}
	return 0
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

// side is one of the two proxies, with upstreams, names and a folder of its own.
type side struct {
	name  string
	up    map[string]*upstream
	aside map[string]*upstream // those that nobody looks at: one that is always well and one that is not
	names *e2e.Names
	logs  string
	keys  *identities
	kept  map[string]tls.ClientSessionCache
	at    map[string]string // where listeners are bound
	stats func() map[string]int64
}

func newSide(t *testing.T, name string, keys *identities) *side {
	s := &side{name: name, up: map[string]*upstream{}, aside: map[string]*upstream{}, logs: t.TempDir(), names: e2e.DNS(t), keys: keys, kept: map[string]tls.ClientSessionCache{}}
	keys.copy(s.logs)
	for _, name := range []string{"up", "b", "c"} {
		s.up[name] = serve(t, name, nil)
	}
	for name, conf := range keys.servers() {
		s.up[name] = serve(t, name, conf)
	}
	l, err := net.Listen("unix", filepath.Join(s.logs, "up.sock"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	s.up["up"].serve(l)
	s.aside["well"], s.aside["sick"] = serve(t, "well", nil), serve(t, "sick", nil)
	s.aside["sick"].expect([]string{answered(503)}, 0)
	s.names.Set("one.test", "A", 3600, "127.0.0.1")
	s.names.Set("six.test", "AAAA", 3600, "::1")
	s.names.Set("six.test", "A", 3600, "127.0.0.1")
	return s
}

// start runs a binary that takes Envoy's flags, on one worker.
func start(t *testing.T, name, binary string, list []scenario, keys *identities) *side {
	t.Helper()
	s := newSide(t, name, keys)
	for i := range list {
		for file, text := range list[i].files {
			if err := os.WriteFile(filepath.Join(s.logs, file), []byte(s.fill(own.ReplaceAllString(text, list[i].name+"_$1"))), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	file, admin := filepath.Join(s.logs, "bootstrap.yaml"), filepath.Join(s.logs, "admin")
	lds, cds := s.discovered(list)
	for path, text := range map[string]string{file: s.text(list), filepath.Join(s.logs, "lds.yaml"): lds, filepath.Join(s.logs, "cds.yaml"): cds} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := os.Create(filepath.Join(s.logs, "output"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	c := exec.Command(binary, "-c", file, "--concurrency", "1", "--disable-hot-restart", "-l", "error", "--file-flush-interval-msec", "20", "--admin-address-path", admin)
	c.Stdout, c.Stderr, c.Env = out, out, append(os.Environ(), "ORACLE_BODY=from the environment")
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
				Pipe struct{ Path string }
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
			said, _ := os.ReadFile(out.Name())
			t.Fatalf("%s does not serve all of it:\n%s", name, said)
		}
	}
	s.at = map[string]string{}
	for _, l := range listening.Statuses {
		s.at[l.Name] = "127.0.0.1:" + strconv.Itoa(l.Address.Socket.Port)
		if l.Address.Pipe.Path != "" {
			s.at[l.Name] = l.Address.Pipe.Path
		}
	}
	s.stats = func() map[string]int64 {
		// Not as JSON, which Envoy breaks off now and then.
		r, err := http.Get("http://" + address + "/stats")
		if err != nil {
			t.Errorf("%s does not tell its statistics: %v", name, err)
			return nil
		}
		defer r.Body.Close()
		values := map[string]int64{}
		for lines := bufio.NewScanner(r.Body); lines.Scan(); {
			name, value, _ := strings.Cut(lines.Text(), ": ")
			if n, err := strconv.ParseInt(value, 10, 64); err == nil {
				values[name] = n
			}
		}
		return values
	}
	return s
}

// startWeft runs ours, built from here.
func startWeft(t *testing.T, list []scenario, keys *identities) *side {
	t.Helper()
	path := filepath.Join(t.TempDir(), "weft")
	if out, err := exec.Command("go", "build", "-o", path, "github.com/weftmesh/weft/cmd/weft").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return start(t, "weft", path, list, keys)
}

// startEnvoy runs the real one.
func startEnvoy(t *testing.T, list []scenario, keys *identities) *side {
	t.Helper()
	return start(t, "envoy", envoy.Binary(t), list, keys)
}

// run sends what a scenario sends, one exchange after the other, and tells all that was seen: by name of what it is.
func (s *side) run(c *scenario) (seen []fact) {
	for i := range c.sends {
		e := &c.sends[i]
		if e.after != "" {
			s.await(own.ReplaceAllString(e.after, c.name+"_$1"))
		}
		for _, u := range s.up {
			u.expect(e.answers, len(e.then))
		}
		note := func(what, value string) { seen = append(seen, fact{fmt.Sprintf("%s/%d/%s", c.name, i, what), value}) }
		address, ok := s.at[c.name]
		if !ok {
			note("listener", "is missing")
			return seen
		}
		network := "tcp"
		if strings.HasPrefix(address, "/") {
			network = "unix"
		}
		spoke := func() {}
		if c.tcp != "" && e.tls == nil {
			spoke = s.hold()
		}
		client, err := net.DialTimeout(network, address, patience)
		if err != nil {
			spoke()
			note("dial", err.Error())
			continue
		}
		client.SetDeadline(time.Now().Add(patience))
		// What is refused half way may be answered, and the connection closed, before all is sent.
		send := e.send
		if !strings.HasPrefix(send, "\x16") { // random bytes may look like anything
			send = s.fill(send)
		}
		if e.tls != nil {
			secure, met := e.tls.shake(client, s.keys, s.sessions(c, e.tls))
			note("tls", met)
			if secure == nil {
				client.Close()
				continue
			}
			client = secure
		}
		if e.two(c, client) {
			s.converse(c, e, client, send, i == 0, note)
			s.collect(c, client, note)
			continue
		}
		bytes, methods := raw(send)
		io.WriteString(client, bytes)
		if c.raw() {
			methods = nil
		}
		if c.tcp != "" {
			client.(interface{ CloseWrite() error }).CloseWrite()
			spoke()
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
		if c.raw() || e.then != "" {
			var whole io.Reader = r.r
			if e.take > 0 {
				whole = io.LimitReader(r.r, int64(e.take))
			}
			rest, err := io.ReadAll(whole)
			note("rest", fmt.Sprintf("%q %s", rest, ending(err)))
		}
		s.collect(c, client, note)
	}
	for i := range seen {
		seen[i].value = s.mask(c, seen[i].what, seen[i].value)
	}
	// What Envoy gives up in the middle it ends in its own time, and the upstream tells of it then: that is not the next scenario's.
	quiet := 0 // looks in a row: between what has been read and what is counted there is a moment
	for end, tick := time.Now().Add(2*time.Second), time.NewTicker(time.Millisecond); quiet < 2 && time.Now().Before(end); <-tick.C {
		quiet++
		for _, u := range s.up {
			if u.busy() {
				quiet = 0
			}
		}
	}
	return seen
}

// hold keeps upstreams from shaking hands until what it gives is called. A proxy that cuts its client off when an upstream fails ends or
// resets the connection by whether that client has spoken by then, which must not be left to chance.
func (s *side) hold() (release func()) {
	held := make(chan struct{})
	for _, u := range s.up {
		u.mu.Lock()
		u.held = held
		u.mu.Unlock()
	}
	return func() { close(held) }
}

// two tells whether the client speaks HTTP/2: because all of the scenario's do, because of what it says, or because it was agreed on.
func (e *exchange) two(c *scenario, client net.Conn) bool {
	if secure, ok := client.(*tls.Conn); ok && secure.ConnectionState().NegotiatedProtocol == "h2" {
		return true
	}
	return c.two || strings.HasPrefix(e.send, script)
}

// collect closes a client's connection and tells what upstreams were asked.
func (s *side) collect(c *scenario, client net.Conn, note func(what, value string)) {
	client.Close()
	leads := ""
	if c.late {
		_, leads = c.resources()
	}
	for name, u := range s.up {
		for n, got := range u.got(strings.Contains(leads, "@"+name+"}")) {
			note(fmt.Sprintf("%s%d", name, n), got.line)
			for _, f := range got.fields() {
				note(fmt.Sprintf("%s%d:%s", name, n, f.what), f.value)
			}
			note(fmt.Sprintf("%s%d body", name, n), fmt.Sprintf("%q", got.plain()))
		}
	}
}

// sessions are those that a client keeps; nil: none.
func (s *side) sessions(c *scenario, m *meeting) tls.ClientSessionCache {
	if m.keep == "" {
		return nil
	}
	name := c.name + "/" + m.keep
	if s.kept[name] == nil {
		s.kept[name] = tls.NewLRUClientSessionCache(8)
	}
	return s.kept[name]
}

// await waits for a statistic; that it does not come is seen by what follows.
func (s *side) await(name string) {
	for end, tick := time.Now().Add(patience), time.NewTicker(5*time.Millisecond); s.stats()[name] == 0 && time.Now().Before(end); <-tick.C {
	}
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
	ports = regexp.MustCompile(`127\.0\.0\.1:\d+`)
	uuid  = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
	// changing is what differs in events.
	changing = regexp.MustCompile(`("timestamp"|"port_value"):(?:"[^"]*"|\d+)`)
	number   = regexp.MustCompile(`^-?\d+$`)
)

// measured are operators whose numbers differ from run to run.
var measured = map[string]string{"ROUTE_RESOLUTION_TIME_US": "microseconds", "UPSTREAM_CONNECTION_POOL_READY_DURATION": "milliseconds",
	"UPSTREAM_CONNECTION_IDS_ATTEMPTED": "a number", "DOWNSTREAM_HANDSHAKE_DURATION": "milliseconds"}

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
	case strings.HasSuffix(strings.ToLower(what), ":x-request-id") && uuid.MatchString(value):
		return "a random id"
	case strings.HasSuffix(strings.ToLower(what), ":x-envoy-upstream-service-time") && number.MatchString(value):
		return "milliseconds"
	}
	for name, as := range measured {
		if strings.HasSuffix(what, ":"+name) && number.MatchString(value) {
			return as
		}
	}
	value = strings.ReplaceAll(value, s.logs, "FOLDER")
	value = changing.ReplaceAllString(value, `$1 differs`)
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
