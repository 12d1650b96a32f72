package e2e

import (
	"fmt"
	"net"
	"strings"
	"testing"
)

// named is an upstream for each name, which says its name to whoever connects, as a cluster of that name.
func named(t *testing.T, names ...string) (clusters []string) {
	for _, n := range names {
		u := Serve(t, func(_ *Upstream, c *Conn) {
			c.Send(n)
			c.Conn.(*net.TCPConn).CloseWrite()
			c.Rest()
		})
		clusters = append(clusters, Cluster(n, u.Port))
	}
	return clusters
}

// chainTo is a filter chain that leads to the cluster of its name.
func chainTo(name, match string) string {
	return fmt.Sprintf(`  - name: %[1]s
    filter_chain_match: {%[2]s}
    filters: [{name: tcp, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: %[1]s}}]
`, name, match)
}

// chained is a listener on all addresses. more is YAML of it, chains are what chainTo gives.
func chained(more string, chains ...string) string {
	return "- name: l\n  address: {socket_address: {address: 0.0.0.0, port_value: 0}}\n" + indent(2, more) + "\n  filter_chains:\n" + strings.Join(chains, "")
}

// from dials the listener's port at an address of loopback from another one.
func (p *Proxy) from(source, destination string) *Conn {
	p.t.Helper()
	_, port, _ := net.SplitHostPort(p.Address())
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}, Timeout: deadline}
	c, err := d.Dial("tcp", net.JoinHostPort(destination, port))
	if err != nil {
		p.t.Fatal(err)
	}
	return wrap(p.t, c)
}

// Connections meet the chain that asks most particularly for what they are; nobody is kept waiting for a first byte.
func TestChainsByAddress(t *testing.T) {
	p := Start(t, Bootstrap(chained("",
		chainTo("two", "prefix_ranges: [{address_prefix: 127.0.0.2, prefix_len: 32}]"),
		chainTo("low", "prefix_ranges: [{address_prefix: 127.0.0.0, prefix_len: 30}], source_type: EXTERNAL"),
		chainTo("self", "prefix_ranges: [{address_prefix: 127.0.0.0, prefix_len: 30}], source_type: SAME_IP_OR_LOOPBACK"),
		chainTo("guest", "source_prefix_ranges: [{address_prefix: 127.9.0.0, prefix_len: 16}]"),
	), named(t, "two", "low", "self", "guest")...))
	for _, c := range []struct{ from, to, chain string }{
		{"127.0.0.1", "127.0.0.2", "two"},
		{"127.9.0.1", "127.0.0.2", "two"},
		{"127.0.0.1", "127.0.0.1", "self"},
		{"127.0.0.3", "127.0.0.3", "self"},
		{"127.0.0.4", "127.0.0.3", "low"},
		{"127.9.0.1", "127.0.0.3", "low"},
		{"127.9.0.1", "127.0.0.9", "guest"},
		{"127.0.0.1", "127.0.0.9", ""},
	} {
		if got, _ := p.from(c.from, c.to).Rest(); got != c.chain {
			t.Errorf("from %s to %s: %q, want %q", c.from, c.to, got, c.chain)
		}
	}
	p.WantStat("listener.0.0.0.0_"+portOf(p)+".no_filter_chain_match", 1)
	p.WantStat("listener.0.0.0.0_"+portOf(p)+".downstream_cx_total", 7)
}

func portOf(p *Proxy) string {
	_, port, _ := net.SplitHostPort(p.Address())
	return port
}

// A chain is changed, one is added and one is taken away: the socket stays, and so does every connection of the chains that stay.
func TestChainsChangeInPlace(t *testing.T) {
	const hcm = `  - name: %[1]s
    filter_chain_match: {prefix_ranges: [{address_prefix: %[2]s, prefix_len: 32}]}
    filters:
    - name: http
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
        stat_prefix: http
        route_config: {virtual_hosts: [{name: all, domains: ["*"], routes: [{match: {prefix: /}, direct_response: {status: 200, body: {inline_string: %[3]s}}}]}]}
        http_filters: [{name: router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]
`
	listener := func(port string, chains ...string) string {
		return strings.Replace(Bootstrap(chained("", chains...), Cluster("up", 1)), "port_value: 0", "port_value: "+port, 1)
	}
	stays, changes, goes := fmt.Sprintf(hcm, "stays", "127.0.0.1", "stays"), fmt.Sprintf(hcm, "changes", "127.0.0.2", "before"), fmt.Sprintf(hcm, "goes", "127.0.0.3", "goes")
	p := StartLoops(t, 2, listener("0", stays, changes, goes))
	one, two, three := p.from("127.0.0.1", "127.0.0.1"), p.from("127.0.0.1", "127.0.0.2"), p.from("127.0.0.1", "127.0.0.3")
	one.Get("/").Want(t, 200, "stays")
	two.Get("/").Want(t, 200, "before")
	three.Get("/").Want(t, 200, "goes")

	p.Change(listener("0", fmt.Sprintf(hcm, "new", "127.0.0.4", "new"), strings.ReplaceAll(changes, "before", "after"), stays))
	one.Get("/").Want(t, 200, "stays")
	if !two.Closed() || !three.Closed() {
		t.Error("connections of chains that are gone stay open")
	}
	p.from("127.0.0.1", "127.0.0.2").Get("/").Want(t, 200, "after")
	p.from("127.0.0.1", "127.0.0.4").Get("/").Want(t, 200, "new")
	if !p.from("127.0.0.1", "127.0.0.3").Closed() {
		t.Error("a chain that is gone still takes connections")
	}
	p.WantStat("listener_manager.listener_in_place_updated", 1)
	p.WantStat("listener_manager.listener_modified", 0)
}
