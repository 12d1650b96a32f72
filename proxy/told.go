package proxy

import (
	"net/netip"
	"sync"
	"time"
)

// told bounds how often the log tells of failed handshakes, which whoever likes can bring about.
type told struct {
	mu      sync.Mutex
	second  int64
	lines   int
	skipped int
}

// linesEachSecond is how many of them a second has.
const linesEachSecond = 10

// unshaken tells of a handshake that failed. All of them are counted, under listener.….ssl.
func (p *Proxy) unshaken(listener string, peer netip.AddrPort, err error) {
	t := &p.told
	t.mu.Lock()
	skipped := 0
	if now := time.Now().Unix(); now != t.second {
		t.second, t.lines = now, 0
		skipped, t.skipped = t.skipped, 0
	}
	if t.lines++; t.lines > linesEachSecond {
		t.skipped++
		t.mu.Unlock()
		return
	}
	t.mu.Unlock()
	args := []any{"listener", listener, "peer", peer.String(), "reason", err}
	if skipped > 0 {
		args = append(args, "not told before", skipped)
	}
	p.options.Log.Warn("a TLS handshake failed", args...)
}
