package oracle

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/weftmesh/weft/test/e2e"
	"github.com/weftmesh/weft/test/envoy"
	"github.com/weftmesh/weft/test/vacant"
)

// sourceText is the bootstrap of both: the port of the listener, and that of the upstream.
func sourceText(port, up int) string {
	filters := "  listener_filters: [" + inspector("proxy_protocol", "allow_requests_without_proxy_protocol: true") +
		`, {name: source, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.original_src.v3.OriginalSrc, mark: 7}}]` + "\n  filter_chains:\n"
	text := strings.Replace(e2e.HTTPListener("routes: [{match: {prefix: /}, route: {cluster: up}}]"), "  filter_chains:\n", filters, 1)
	return e2e.Bootstrap(strings.Replace(text, "port_value: 0", fmt.Sprint("port_value: ", port), 1), e2e.Cluster("up", up, "upstream_bind_config: {source_address: {address: 127.0.0.3, port_value: 0}}"))
}

// TestSourcesAreAsWithEnvoy has both connect in their clients' names (original_src), and compares whom the upstream sees, and by how many connections. It wants CAP_NET_ADMIN.
func TestSourcesAreAsWithEnvoy(t *testing.T) {
	seen := map[string][]string{}
	for _, program := range []string{"weft", "envoy"} {
		up := e2e.Serve(t, func(u *e2e.Upstream, c *e2e.Conn) {
			for u.Take(c) {
				host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
				fmt.Fprintf(c, "HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s", len(host), host)
			}
		})
		port := vacant.Ports(t, 1)[0]
		text := sourceText(port, up.Port)
		if program == "envoy" {
			envoy.Start(t, text+"\nadmin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}\n")
		} else {
			e2e.Start(t, text)
		}
		ask := func(said string) {
			c := e2e.Dial(t, fmt.Sprintf("127.0.0.1:%d", port))
			defer c.Close()
			a := c.Send(said).Get("/")
			if a.Status != 200 {
				a.Body = "" // what each says of it
			}
			seen[program] = append(seen[program], fmt.Sprintf("%q: %d %s", said, a.Status, a.Body))
		}
		for range 2 {
			for _, said := range []string{"", "PROXY TCP4 127.0.0.8 127.0.0.1 1000 80\r\n", "PROXY TCP4 127.0.0.9 127.0.0.1 1001 80\r\n", "PROXY UNKNOWN\r\n"} {
				ask(said)
			}
		}
		seen[program] = append(seen[program], fmt.Sprint(up.Connections(), " connections"))
		ask("PROXY TCP6 ::1 ::1 1000 80\r\n") // to an endpoint of the other family; Envoy's connection comes, and is gone at once
	}
	for i, theirs := range seen["envoy"] {
		if ours := seen["weft"][i]; ours != theirs {
			t.Errorf("%s, and with Envoy %s", ours, theirs)
		}
	}
}
