package control

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"
)

// line is a connection of TCP through both proxies.
func (p *pair) line() net.Conn {
	p.t.Helper()
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", p.tcp))
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { c.Close() })
	return c
}

// echoes tells whether what is said comes back.
func echoes(c net.Conn) bool {
	c.SetDeadline(time.Now().Add(deadline))
	b := []byte("x")
	if _, err := c.Write(b); err != nil {
		return false
	}
	n, err := c.Read(b)
	return n == 1 && err == nil
}

// statistic is one of a proxy's, of all whose names end so, together.
func (b *bystream) statistic(end string) (sum int) {
	r, err := http.Get("http://" + b.admin + "/stats?usedonly")
	if err != nil {
		return 0
	}
	defer r.Body.Close()
	var text strings.Builder
	for buf := make([]byte, 64<<10); ; {
		n, err := r.Body.Read(buf)
		text.Write(buf[:n])
		if err != nil {
			break
		}
	}
	for line := range strings.Lines(text.String()) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ": "); ok && strings.HasSuffix(name, end) {
			n, _ := strconv.Atoi(value)
			sum += n
		}
	}
	return sum
}

// Whoever is revoked is refused by all within moments, is told nothing any more, and loses to weft what stands, to it and from it.
func TestRevocationReachesEverybody(t *testing.T) {
	for _, c := range []struct{ client, server, revoked string }{
		{"weft", "weft", "client"}, {"weft", "weft", "web"},
		{"envoy", "weft", "client"},                           // weft is asked by whom is revoked
		{"weft", "envoy", "web"},                              // and asks him
		{"weft", "envoy", "client"}, {"envoy", "weft", "web"}, // Envoy refuses what is new
	} {
		t.Run(fmt.Sprintf("%s asks %s and %s is revoked", c.client, c.server, c.revoked), func(t *testing.T) {
			p := newPair(t)
			server, client := p.plane.joins(c.server, "web", "web"), p.plane.joins(c.client, "client", "client")
			p.opens()
			line := p.line()
			if !echoes(line) {
				t.Fatal("nothing comes back")
			}
			identity := "spiffe://cluster.local/ns/shop/sa/" + c.revoked
			began := time.Now()
			if code, text := p.plane.post("/ca/revoke", url.Values{"identity": {identity}, "reason": {"a test"}}); code != http.StatusOK {
				t.Fatal(code, text)
			}
			judge := server
			if c.revoked == "web" {
				judge = client
			}
			if judge.name == "weft" {
				line.SetReadDeadline(time.Now().Add(deadline))
				if n, err := line.Read(make([]byte, 1)); n > 0 || err == nil || isTimeout(err) {
					t.Errorf("what stands goes on: %d, %v", n, err)
				}
				t.Logf("what stood has ended after %v", time.Since(began).Round(time.Millisecond))
				eventually(t, "what has ended is counted: of HTTP and of TCP", func() bool { return judge.statistic(".ssl.connection_revoked") == 2 })
			}
			eventually(t, "what is new is refused", func() bool {
				c := p.line()
				defer c.Close()
				return !echoes(c)
			})
			t.Logf("what is new is refused after %v", time.Since(began).Round(time.Millisecond))
			if judge.name == "weft" {
				if who, err := p.ask(t.Context()); err == nil {
					t.Errorf("it is answered, as %s", who)
				}
			}
			eventually(t, "whose stream it is is gone", func() bool {
				s := p.plane.status()
				return len(s.Proxies) == 1 && s.Proxies[0].Identity != identity && s.Proxies[0].Synced
			})
			if n := p.plane.number("push_streams_expelled"); n != 1 {
				t.Errorf("%d streams were ended", n)
			}
			if code, text := p.plane.post("/ca/restore", url.Values{"identity": {identity}}); code != http.StatusOK {
				t.Fatal(code, text)
			}
			eventually(t, "who is restored is taken", func() bool { // with nothing revoked there is no list, and what it had is good again
				c := p.line()
				defer c.Close()
				return echoes(c)
			})
		})
	}
}

func isTimeout(err error) bool { n, ok := err.(net.Error); return ok && n.Timeout() }
