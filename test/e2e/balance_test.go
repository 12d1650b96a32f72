package e2e

import (
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// Every loop serves as many connections as the others, and a connection that is on its way from one to another when its listener is
// replaced gets to the next one.
func TestExactBalance(t *testing.T) {
	u := shout(t)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := free.Addr().(*net.TCPAddr)
	free.Close()
	configuration := func(limit int) string {
		return Bootstrap(fmt.Sprintf(`
- name: tcp
  address: {socket_address: {address: 127.0.0.1, port_value: %d}}
  stat_prefix: a
  connection_balance_config: {exact_balance: {}}
  enable_reuse_port: false
  per_connection_buffer_limit_bytes: %d
  filter_chains: [{filters: [{name: t, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: up}}]}]
`, at.Port, limit), Cluster("up", u.Port))
	}
	p := StartLoops(t, 3, configuration(65536))
	var open []*Conn
	dial := func(n int) {
		for range n {
			c := p.Dial().Send("a")
			if b, err := c.r.ReadByte(); b != 'A' {
				t.Fatal(err)
			}
			open = append(open, c)
		}
	}
	each := func(n int64) {
		t.Helper()
		for i := range 3 {
			p.WantStat(fmt.Sprintf("listener.a.worker_%d.downstream_cx_active", i), n)
		}
	}
	dial(30)
	each(10)
	for _, c := range open[:15] {
		c.Close()
	}
	p.WantStat("listener.a.downstream_cx_active", 15)
	dial(15)
	each(10)

	var done atomic.Bool
	var clients sync.WaitGroup
	var served atomic.Int64
	for range 3 {
		clients.Go(func() {
			for !done.Load() && !t.Failed() {
				c := Dial(t, at.String()).Send("a")
				if b, err := c.r.ReadByte(); b != 'A' {
					t.Errorf("a connection is lost: %v", err)
				}
				c.Close()
				served.Add(1)
			}
		})
	}
	for n := range 20 {
		p.Change(configuration(65537 + n))
		seen := served.Load()
		p.Eventually("traffic goes on", func() bool { return served.Load() > seen+20 || t.Failed() })
	}
	done.Store(true)
	clients.Wait()
	for _, c := range open {
		c.Close()
	}
	each(0)
}
