package fields

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/test/e2e"
)

// Where pieces of YAML go.

func upCluster(more ...string) string {
	return strings.ReplaceAll(e2e.Cluster("up", 65535, more...), "65535", "@PORT@")
}

const all = "routes: [{match: {prefix: /}, route: {cluster: up}}]"

func hcm(piece string) string { return e2e.Bootstrap(e2e.HTTPListener(all, piece), upCluster()) }

func hcmAnd(more string) func(string) string {
	return func(piece string) string { return e2e.Bootstrap(e2e.HTTPListener(all, more+"\n"+piece), upCluster()) }
}

// common is a piece of the common protocol options downstream.
func common(piece string) string {
	return hcm("stream_idle_timeout: 1s\ndrain_timeout: 0.01s\ncommon_http_protocol_options: {" + piece + "}")
}

func http1(piece string) string {
	return hcm("normalize_path: true\nhttp_protocol_options: {" + piece + "}")
}

func node(piece string) string { return hcm("add_user_agent: true") + "\nnode: {" + piece + "}" }

func router(piece string) string {
	return strings.Replace(hcm("internal_address_config: {cidr_ranges: [{address_prefix: 10.0.0.0, prefix_len: 8}]}"), "router.v3.Router}", "router.v3.Router, "+piece+"}", 1)
}

// filtered is a chain with one filter of that message, whose fields are the piece.
func filtered(message string, more ...string) func(string) string {
	return func(piece string) string { return chained(e2e.Filter("x", message, piece), all, more...) }
}

func chained(filters, vhost string, more ...string) string {
	return e2e.WithFilters(e2e.Bootstrap(e2e.HTTPListener(vhost, more...), upCluster()), filters)
}

// chain is a filter that answers with 418, before the router; vhost what its virtual host says.
func chain(vhost string) func(string) string {
	return func(piece string) string {
		return chained(`- {`+piece+`, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault, abort: {http_status: 418, percentage: {numerator: 100}}}}`, vhost)
	}
}

const override = `{"@type": type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault, abort: {http_status: 419, percentage: {numerator: 100}}}`

// overrides is a place for typed_per_filter_config, in a chain that has the filter.
func overrides(before, after string) func(string) string {
	return func(piece string) string { return chain(before + piece + after)("name: tag") }
}

func vhost(piece string) string { return e2e.Bootstrap(e2e.HTTPListener(piece), upCluster()) }

func vhostAnd(piece string) string { return vhost(piece + "\n" + all) }

// route is one route, with what is in the braces.
func route(piece string) string { return vhost("routes: [{" + piece + "}]") }

// action is a piece of a route action.
func action(piece string) string {
	return route("match: {prefix: /}, route: {cluster: up, " + piece + "}")
}

// match is what a route matches; what it does not is answered with 418.
func match(piece string) string {
	return vhost("routes: [{match: {" + piece + "}, route: {cluster: up}}, {match: {prefix: /}, direct_response: {status: 418}}]")
}

func header(piece string) string { return match("prefix: /, headers: [{" + piece + "}]") }

func redirect(piece string) string { return route("match: {prefix: /a}, redirect: {" + piece + "}") }

func direct(piece string) string {
	return route("match: {prefix: /}, direct_response: {" + piece + "}")
}

// share is the one share of a weighted cluster.
func share(piece string) string {
	return action2("weighted_clusters: {clusters: [{name: up, weight: 1, " + piece + "}]}")
}

func action2(piece string) string { return route("match: {prefix: /}, route: {" + piece + "}") }

// table is a piece of a route configuration.
func table(piece string) string {
	const pad = "            "
	return replaced(vhost(all), pad+"name: local\n", pad+"name: local\n"+pad+strings.ReplaceAll(piece, "\n", "\n"+pad)+"\n")
}

// addition is the one request_headers_to_add of a route.
func addition(piece string) string {
	return route("match: {prefix: /}, route: {cluster: up}, request_headers_to_add: [{" + piece + "}]")
}

func cluster(piece string) string {
	return e2e.Bootstrap(e2e.HTTPListener(all, "stream_idle_timeout: 1s\nhttp_protocol_options: {enable_trailers: true}"), upCluster(piece))
}

// options are a cluster's protocol options.
func options(piece string) string {
	return cluster(`typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, ` + piece + `}}`)
}

func commonUp(piece string) string {
	return options("explicit_http_config: {http_protocol_options: {}}, common_http_protocol_options: {" + piece + "}")
}

func http1Up(piece string) string {
	return options("explicit_http_config: {http_protocol_options: {" + piece + "}}")
}

// endpoints is a cluster with these lb_endpoints.
func endpoints(piece string) string {
	return e2e.Bootstrap(e2e.HTTPListener(all), "- {name: up, common_lb_config: {healthy_panic_threshold: {value: 0}}, load_assignment: {cluster_name: up, endpoints: [{"+piece+"}]}}")
}

const here = "endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: @PORT@}}}"

// listener is a piece of a listener that has no address yet.
func listener(piece string) string {
	const address = "  address: {socket_address: {address: 127.0.0.1, port_value: 0}}\n"
	if strings.HasPrefix(piece, "address") || strings.Contains(piece, "\naddress") {
		return strings.Replace(hcm("use_remote_address: true"), address+"", strings.Replace("  PIECE\n", "PIECE", strings.ReplaceAll(piece, "\n", "\n    "), 1), 1)
	}
	return strings.Replace(hcm(""), address, address+"    "+strings.ReplaceAll(piece, "\n", "\n    ")+"\n", 1)
}

// dynamic is what comes from files.
func dynamic(piece string) string { return "dynamic_resources: {" + piece + "}" }

// saying is a file with a listener that says a text.
func saying(text string) string {
	return `
resources:
  "@type": type.googleapis.com/envoy.config.listener.v3.Listener
  name: says
  address: {socket_address: {address: 127.0.0.1, port_value: 0}}
  filter_chains: [{filters: [{name: d, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.direct_response.v3.Config, response: {inline_string: "` + text + `"}}}]}]
`
}

func tcp(piece string) string {
	return e2e.Bootstrap(tcpListener(piece), upCluster())
}

func tcpListener(piece string) string {
	return `
- name: tcp
  address: {socket_address: {address: 127.0.0.1, port_value: 0}}
  filter_chains:
  - filters:
    - name: tcp
      typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, ` + piece + `}
`
}

// logged is an access log of a connection manager.
func logged(piece string) string {
	return hcm(`access_log: [{name: log, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, ` + piece + `}}]`)
}

// filteredLog is an access log with a filter, before one without. What is logged by both is "xy".
func filteredLog(piece string) string { return hcm(twoLogs(piece)) }

func twoLogs(piece string) string {
	const to = `typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: "@DIR@/log", format: `
	return `access_log: [{name: a, filter: {` + piece + `}, ` + to + `"x"}}, {name: b, ` + to + `"y\n"}}]`
}

// expressed is a filter in CEL.
func expressed(piece string) string {
	return `extension_filter: {name: e, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter, ` + piece + `}}`
}

// Probes beside look.

// set tells whether a field is there at all.
func set(probe func(*world) string) func(*world) string {
	return func(w *world) string { return fmt.Sprint(probe(w) != "-") }
}

// is tells whether the outcome is that.
func is(want string, probe func(*world) string) func(*world) string {
	return func(w *world) string { return fmt.Sprint(probe(w) == want) }
}

// has tells whether that is in the outcome.
func has(want string, probe func(*world) string) func(*world) string {
	return func(w *world) string { return fmt.Sprint(strings.Contains(probe(w), want)) }
}

// served tells whether the configuration is.
func served(w *world) string { return fmt.Sprint(w.err == nil) }

// moment bounds how long a probe waits for what may never happen.
const moment = 1500 * time.Millisecond

// says is what comes, after text was sent, within a moment: its first line, "" if the connection is closed, "silence".
func says(text string) func(*world) string {
	return func(w *world) string {
		c := w.dial()
		if text != "" {
			c.Send(text)
		}
		return hears(c.Conn)
	}
}

func hears(c net.Conn) string {
	c.SetReadDeadline(time.Now().Add(moment))
	b := make([]byte, 4096)
	n, err := c.Read(b)
	if n > 0 {
		line, _, _ := strings.Cut(string(b[:n]), "\r\n")
		return line
	}
	if e, ok := err.(net.Error); ok && e.Timeout() {
		return "silence"
	}
	return "closed"
}

// soon tells whether a number becomes n within a moment, after a request has been answered.
func soon(request, stat string, n int64) func(*world) string {
	return func(w *world) string {
		c := w.dial()
		method, _, _ := strings.Cut(request, " ")
		c.Send(raw(request)).Read(method)
		tick := time.NewTicker(time.Millisecond)
		for end := time.Now().Add(moment); time.Now().Before(end); <-tick.C {
			if w.stat(stat) == n {
				return "yes"
			}
		}
		return "no"
	}
}

// wire gives all that comes within the answer to a request, as it is on the wire, up to an end.
func wire(request, end string) func(*world) string {
	return func(w *world) string {
		c := w.dial()
		c.Send(raw(request))
		return until(c.Conn, end)
	}
}

func until(c io.Reader, end string) string {
	var all []byte
	b := make([]byte, 4096)
	for !strings.HasSuffix(string(all), end) {
		n, err := c.Read(b)
		all = append(all, b[:n]...)
		if err != nil {
			break
		}
	}
	return string(all)
}

// mirror answers a chunked request with all that came.
func mirror(t testing.TB) *e2e.Upstream {
	return e2e.Serve(t, func(_ *e2e.Upstream, c *e2e.Conn) {
		text := until(c.Conn, "\r\n\r\n")
		if !strings.Contains(text, "\r\n0\r\n") {
			text += until(c.Conn, "\r\n\r\n")
		}
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s", len(text), text)
	})
}

func (w *world) exists(name string) bool {
	_, err := os.Stat(filepath.Join(w.dir, name))
	return err == nil
}

func (w *world) eventuallyStat(name string, n int64) {
	w.t.Helper()
	w.eventually(name, func() bool { return w.stat(name) == n })
}

// replaced is text with one part of it in another form.
func replaced(text, old, piece string) string {
	if strings.Count(text, old) != 1 {
		panic(old + " is not there once")
	}
	return strings.Replace(text, old, piece, 1)
}

var kib = strings.Repeat("x", 2000)
