package e2e

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/weftmesh/weft/proxy/handover"
	"github.com/weftmesh/weft/proxy/l4"
)

// giver is a proxy as whoever hands its place over, of whose place only connections are of interest.
type giver struct {
	*Proxy
	offers chan *handover.Offers
}

func (g giver) Self() handover.Self          { return handover.Self{} }
func (g giver) Refuses(int) string           { return "" }
func (g giver) Bequest() []byte              { return nil }
func (g giver) Sockets() []handover.Socket   { return nil }
func (g giver) Counters() map[string]uint64  { return nil }
func (g giver) CloseAdmin()                  {}
func (g giver) OpenAdmin()                   {}
func (g giver) Drain()                       {}
func (g giver) End()                         {}
func (g giver) Abandoned()                   {}
func (g giver) Give(offers *handover.Offers) { g.offers <- offers }

// moves hands connections over from one proxy to another in the same process, as two processes do, and refuses some of them, or stops halfway.
// It says how many have gone.
func moves(t *testing.T, from, to *Proxy, refuses, stops bool) (gone int) {
	t.Helper()
	at := handover.Name(fmt.Sprintf("@weft-e2e-%d", rand.Uint64()), 0)
	place, err := handover.Take(at)
	if err != nil {
		t.Fatal(err)
	}
	g := giver{from, make(chan *handover.Offers, 1)}
	place.Serve(g)
	defer place.Close()
	s, err := handover.Succeed(at, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Drain(); err != nil {
		t.Fatal(err)
	}
	arrivals, err := s.Connections()
	if err != nil {
		t.Fatal(err)
	}
	offers := <-g.offers
	took := 0
	arrivals.Serve(func(c *handover.Connection, claim func() bool) {
		if refuses && rand.IntN(4) == 0 {
			l4.Decline(c.FDs)
			return
		}
		if stops && rand.IntN(8) == 0 {
			offers.Close()
		}
		if to.Take(c, claim) {
			took++
		}
	})
	settled := make(chan int, 1)
	from.Give(offers, func(gone, _ int, err error) {
		if err != nil && !stops {
			t.Error(err)
		}
		settled <- gone
	})
	gone = <-settled
	<-arrivals.Settled()
	from.StopGiving()
	arrivals.Close()
	if gone != took && !stops || gone > took {
		t.Errorf("%d have gone, and %d have come", gone, took)
	}
	return gone
}

// Connections under traffic go to and fro between two proxies, some of them refused, and with hand-overs that stop halfway: not a byte is lost, and
// each is counted by one of both.
func TestConnectionsGoToAndFro(t *testing.T) {
	// A loop sleeps with its processor in hand, and there are four of them.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(6))
	u := Serve(t, func(_ *Upstream, c *Conn) { io.Copy(c.Conn, c.r); c.Conn.(*net.TCPConn).CloseWrite() })
	yaml := Bootstrap(`
- name: tcp
  address: {socket_address: {address: 127.0.0.1, port_value: 0}}
  per_connection_buffer_limit_bytes: 20000
  filter_chains:
  - filters:
    - name: envoy.filters.network.tcp_proxy
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
        stat_prefix: tcp
        cluster: up
        idle_timeout: 60s
`, Cluster("up", u.Port, "per_connection_buffer_limit_bytes: 20000"))
	proxies := [2]*Proxy{StartLoops(t, 2, yaml), StartLoops(t, 2, yaml)}
	const pairs, rounds, share = 8, 24, 300 << 10
	var carried, all atomic.Int64
	var running, ready sync.WaitGroup
	var turns [pairs]chan int // what each client may send; closed: no more
	for i := range pairs {
		turns[i] = make(chan int, 1)
		ready.Add(1)
		running.Go(func() {
			c := proxies[0].Dial()
			conn := c.Conn.(*net.TCPConn)
			sent := make(chan error, 1)
			go func() {
				r, b := rand.NewChaCha8([32]byte{byte(i)}), make([]byte, 40<<10)
				r.Read(b[:1])
				conn.Write(b[:1])
				all.Add(1)
				for left := range turns[i] {
					for left > 0 {
						b := b[:min(1+rand.IntN(len(b)-1), left)]
						r.Read(b)
						n, err := conn.Write(b)
						all.Add(int64(n))
						if err != nil {
							sent <- err
							return
						}
						left -= n
					}
				}
				sent <- conn.CloseWrite()
			}()
			r, b, want := rand.NewChaCha8([32]byte{byte(i)}), make([]byte, 64<<10), make([]byte, 64<<10)
			first := true
			for {
				n, err := conn.Read(b)
				r.Read(want[:n])
				if !bytes.Equal(b[:n], want[:n]) {
					t.Errorf("connection %d hears something else", i)
					break
				}
				carried.Add(int64(n))
				if first {
					first = false
					ready.Done()
				}
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Errorf("connection %d: %v", i, err)
					break
				}
			}
			if err := <-sent; err != nil {
				t.Errorf("connection %d: %v", i, err)
			}
		})
	}
	ready.Wait()
	for round := range rounds {
		for i := range turns {
			turns[i] <- share
		}
		for i, p := range proxies {
			moves(t, p, proxies[1-i], round%3 == 1, round%3 == 2)
			if n := proxies[0].Stat("cluster.up.upstream_cx_active") + proxies[1].Stat("cluster.up.upstream_cx_active"); n != pairs {
				t.Fatalf("round %d: %d connections are counted, of %d", round, n, pairs)
			}
		}
		proxies[0].Eventually("all is carried", func() bool { return carried.Load() == int64(pairs*(1+(round+1)*share)) })
	}
	if n := proxies[0].Connections() + proxies[1].Connections(); n != pairs {
		t.Errorf("%d connections", n)
	}
	for i := range turns {
		close(turns[i])
	}
	running.Wait()
	if carried.Load() != all.Load() {
		t.Errorf("%d bytes were sent, %d came back", all.Load(), carried.Load())
	}
	for i := range proxies {
		proxies[i].WantStat("cluster.up.upstream_cx_active", 0)
		proxies[i].WantStat("cluster.up.upstream_rq_active", 0)
	}
	if n := proxies[0].Stat("tcp.tcp.downstream_cx_rx_bytes_total") + proxies[1].Stat("tcp.tcp.downstream_cx_rx_bytes_total"); int64(n) != all.Load() {
		t.Errorf("%d bytes are counted, of %d", n, all.Load())
	}
	if n := proxies[0].Stat("cluster.up.upstream_cx_destroy") + proxies[1].Stat("cluster.up.upstream_cx_destroy"); n != pairs {
		t.Errorf("%d connections are counted as ended", n)
	}
}

// A process that departs waits for the last bytes of an answer that a client is slow to take, and not for tunnels, which have no end.
func TestDepartWaitsForLastBytes(t *testing.T) {
	const size = 24 << 20
	u := Serve(t, func(_ *Upstream, c *Conn) {
		c.r.ReadString('\n')
		c.Send(fmt.Sprintf("HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n", size))
		c.Conn.Write(make([]byte, size))
	})
	tunnels := Serve(t, func(_ *Upstream, c *Conn) { io.Copy(c.Conn, c.r) })
	p := Start(t, Bootstrap(strings.Replace(HTTPListener(All, "delayed_close_timeout: 60s"), "- name: http\n", "- name: http\n  per_connection_buffer_limit_bytes: 100000000\n", 1)+`
- name: tcp
  address: {socket_address: {address: 127.0.0.1, port_value: 0}}
  filter_chains:
  - filters:
    - name: envoy.filters.network.tcp_proxy
      typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: tcp, cluster: tunnels}
`, Cluster("up", u.Port), Cluster("tunnels", tunnels.Port)))
	tunnel := p.Dial("tcp")
	tunnel.Send("a")
	if _, err := tunnel.r.ReadByte(); err != nil {
		t.Fatal(err)
	}
	c := p.Dial("http")
	c.Send("GET / HTTP/1.1\r\nhost: a\r\n\r\n")
	p.WantStat("http.http.downstream_rq_completed", 1) // all of the answer waits for the client
	left := make(chan int, 1)
	go func() {
		p.Depart(deadline)
		left <- p.Connections()
		p.Proxy.Close()
	}()
	p.WantStat("http.http.downstream_cx_destroy", 1)
	if rest, err := c.Rest(); err != nil || len(rest) < size {
		t.Errorf("%d bytes, %v", len(rest), err)
	}
	c.Conn.Close()
	if n := <-left; n != 1 {
		t.Errorf("%d connections are left, not the tunnel alone", n)
	}
}

// Who lets nobody in any more does not begin again because a configuration comes: another process may have its place, and its addresses.
func TestClosedListenersStayClosed(t *testing.T) {
	u := Serve(t, func(_ *Upstream, c *Conn) { io.Copy(c.Conn, c.r) })
	p := TCP(t, u)
	address := p.Address()
	c := p.Dial()
	c.Send("a")
	if _, err := c.r.ReadByte(); err != nil {
		t.Fatal(err)
	}
	p.CloseListeners(false)
	_, port, _ := net.SplitHostPort(address)
	for _, name := range []string{"tcp", "another"} {
		p.Change(Bootstrap(fmt.Sprintf(`
- name: %s
  address: {socket_address: {address: 127.0.0.1, port_value: %s}}
  filter_chains:
  - filters:
    - name: envoy.filters.network.tcp_proxy
      typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: other, cluster: up}
`, name, port), Cluster("up", u.Port)))
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			t.Errorf("listener %s: somebody is let in", name)
		}
		c.Send("b")
		if b, err := c.r.ReadByte(); b != 'b' {
			t.Errorf("listener %s: the connection that stood: %v", name, err)
		}
	}
}
