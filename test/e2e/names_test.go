package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// resolved is a cluster "up" whose one endpoint is up.test at that port, with more of it in YAML.
func resolved(kind string, port int, more ...string) string {
	return fmt.Sprintf("- {name: up, type: %s, dns_lookup_family: V4_ONLY, %s, load_assignment: {cluster_name: up, endpoints: [{lb_endpoints: [{load_balancing_weight: 3, endpoint: {address: {socket_address: {address: up.test, port_value: %d}}}}]}]}}",
		kind, strings.Join(more, ", "), port)
}

func (p *Proxy) wantMembers(n int) {
	p.t.Helper()
	p.Eventually(fmt.Sprintf("%d endpoints, not %d", n, p.Stat("cluster.up.membership_total")), func() bool { return p.Stat("cluster.up.membership_total") == int64(n) })
}

const often = "dns_refresh_rate: 0.005s"

// A name's addresses are the endpoints, as soon as the proxy serves; they follow what the server says, and stay when it fails. That the
// name has no address leaves the cluster without any, as with Envoy.
func TestNamesAreFollowed(t *testing.T) {
	n, u := DNS(t), Echo(t)
	n.Set("up.test", "A", 0, "127.0.0.1")
	p := Start(t, Bootstrap(HTTPListener(listens), resolved("STRICT_DNS", u.Port, often, n.Resolver("query_tries: 1"))))
	p.Dial().Get("/").Want(t, 200)
	m := p.Clusters()["up"].Endpoints().All[0]
	if m.Hostname != "up.test" || m.Weight != 3 {
		t.Errorf("hostname %q, weight %d", m.Hostname, m.Weight)
	}
	p.wantMembers(1)
	n.Set("up.test", "A", 0, "127.0.0.2", "127.0.0.3", "127.0.0.1")
	p.wantMembers(3)
	n.Set("up.test", "A", 0, "127.0.0.1", "127.0.0.1")
	p.wantMembers(1)
	if u.Connections() != 1 {
		t.Errorf("%d connections", u.Connections())
	}
	p.Dial().Get("/").Want(t, 200)
	if u.Connections() != 1 {
		t.Error("the endpoint that stayed has lost its connection")
	}
	n.Fail(true)
	failed := p.Stat("cluster.up.update_failure")
	p.Eventually("failures", func() bool { return p.Stat("cluster.up.update_failure") > failed+2 })
	n.Fail(false)
	n.Set("up.test", "CNAME", 0, "up.test")
	n.Set("up.test", "A", 0)
	failed = p.Stat("cluster.up.update_failure")
	p.Eventually("failures of aliases in a circle", func() bool { return p.Stat("cluster.up.update_failure") > failed+2 })
	p.wantMembers(1)
	p.Dial().Get("/").Want(t, 200)
	n.Forget("up.test")
	p.wantMembers(0)
	p.Dial().Get("/").Want(t, 503, "no healthy upstream")
	n.Set("other.test", "A", 0, "127.0.0.1")
	n.Set("up.test", "CNAME", 0, "other.test")
	p.wantMembers(1)
	p.Eventually("an answer that changes nothing", func() bool { return p.Stat("cluster.up.update_no_rebuild") > 0 })
}

// An answer of more than anybody needs is cut, one that does not fit into a datagram comes over TCP, and a TTL of nothing does not make
// a loop of it.
func TestNamesWithManyAddresses(t *testing.T) {
	n, u := DNS(t), Echo(t)
	var many []string
	for i := range 3000 {
		many = append(many, fmt.Sprintf("127.0.%d.%d", i>>8, i&255))
	}
	n.Set("up.test", "A", 0, many...)
	n.Shorten()
	p := Start(t, Bootstrap(HTTPListener(listens), resolved("STRICT_DNS", u.Port, "respect_dns_ttl: true, dns_refresh_rate: 1000s", n.Resolver(""))))
	p.wantMembers(1000)
	p.WantStat("cluster.up.update_cut", 2000)
	if udp, tcp := n.Asked("udp A"), n.Asked("tcp A"); udp != 1 || tcp != 1 {
		t.Errorf("asked %d times over UDP and %d over TCP", udp, tcp)
	}
}

// A logical endpoint is where its name leads first. When that changes, connections that stand are used on, and so does another
// configuration of the cluster go on with what is known.
func TestLogicalEndpoints(t *testing.T) {
	n, u := DNS(t), Echo(t)
	n.Set("up.test", "A", 0, "127.0.0.1", "127.0.0.2")
	configuration := func(more string) string {
		return Bootstrap(HTTPListener(listens), resolved("LOGICAL_DNS", u.Port, often, more, n.Resolver("query_tries: 1")))
	}
	p := Start(t, configuration("connect_timeout: 1s"))
	p.wantMembers(1)
	p.Dial().Get("/").Want(t, 200)
	at := func(ip string) {
		t.Helper()
		p.Eventually("the endpoint is at "+ip, func() bool {
			all := p.Clusters()["up"].Endpoints().All
			return len(all) == 1 && all[0].Address().AddrPort.Addr().String() == ip
		})
	}
	at("127.0.0.1")
	n.Set("up.test", "A", 0, "127.0.0.9", "127.0.0.1") // where nobody listens
	at("127.0.0.9")
	p.Dial().Get("/").Want(t, 200)
	n.Set("up.test", "A", 0)
	failed := p.Stat("cluster.up.update_failure")
	p.Eventually("failures", func() bool { return p.Stat("cluster.up.update_failure") > failed+2 })
	at("127.0.0.9")
	n.Mute(true)
	p.Change(configuration("connect_timeout: 2s"))
	p.wantMembers(1)
	p.Dial().Get("/").Want(t, 200)
	if u.Connections() != 1 {
		t.Errorf("%d connections", u.Connections())
	}
}
