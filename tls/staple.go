package tls

import (
	"crypto/tls"
	"slices"
	"time"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/telemetry"
)

// stapling is what became of a client's wish for an OCSP response.
type stapling uint32

const (
	unasked stapling = iota
	stapled
	omitted // there is none that is valid, which is all right
	stale   // there is none that is valid, so that the certificate is not used
)

// statusRequest is the number of the extension by which a client asks (RFC 6066 §8).
const statusRequest = 5

func asksForStaple(h *tls.ClientHelloInfo) bool { return slices.Contains(h.Extensions, statusRequest) }

// stapling is what becomes of a certificate that is shown to who asks.
func (c *compiled) stapling(own *config.Certificate) stapling {
	policy := c.policy
	if own.MustStaple {
		policy = config.StapleAlways
	}
	switch {
	case own.OCSPStaple != nil && time.Now().Before(own.StapleUntil):
		return stapled
	case policy == config.StapleAlways, policy == config.StapleStrict && own.OCSPStaple != nil:
		return stale
	}
	return omitted
}

// usable leaves certificates out that may not be shown to who asks for an OCSP response.
func (c *compiled) usable(list []*config.Certificate) []*config.Certificate {
	bad := func(own *config.Certificate) bool { return c.stapling(own) == stale }
	if !slices.ContainsFunc(list, bad) {
		return list
	}
	return slices.DeleteFunc(slices.Clone(list), bad)
}

// greeted notes what a client asks for, and what becomes of it if its session is resumed: then no certificate is chosen.
func (c *compiled) greeted(s *Session, h *tls.ClientHelloInfo) {
	if asksForStaple(h) {
		s.stapling.Store(uint32(c.stapling(c.leaves.of(h.ServerName)[0])))
	}
}

// CountStapling counts what a client wished that has sent its first message, whatever became of its handshake.
func CountStapling(stats *telemetry.Values, s *Session) {
	if v := stapling(s.stapling.Load()); v != unasked {
		stats.Inc(StapleRequests)
		stats.Inc([...]int{stapled: StapleResponses, omitted: StapleOmitted, stale: StapleFailed}[v])
	}
}
