package tls

import (
	"crypto/tls"
	"net/netip"
	"slices"
)

// keyed is a configuration for one session, whose secrets are written down if the context says so.
func (x *Context) keyed(s *Session, t *tls.Config) *tls.Config {
	if x.keys == nil {
		return t
	}
	s.keys = &keyLog{context: x}
	return s.keyed(t)
}

func (s *Session) keyed(t *tls.Config) *tls.Config {
	if s.keys == nil || t == nil {
		return t
	}
	t = t.Clone()
	t.KeyLogWriter = s.keys
	return t
}

// keyLog is one session's way to a file of secrets.
type keyLog struct {
	context       *Context
	local, remote netip.AddrPort
}

// Write takes one secret, a line in the format that NSS has made up for it. Nothing becomes of a handshake for it.
func (k *keyLog) Write(line []byte) (int, error) {
	if l := k.context.config.KeyLog; within(l.Local, k.local) && within(l.Remote, k.remote) {
		k.context.keys.Write(line)
	}
	return len(line), nil
}

func within(networks []netip.Prefix, a netip.AddrPort) bool {
	return len(networks) == 0 || slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(a.Addr()) })
}

// WantsAddresses tells whether it matters between which addresses the connection is. Then they are told before Begin.
func (s *Session) WantsAddresses() bool { return s.keys != nil }

// Between tells the connection's addresses.
func (s *Session) Between(local, remote netip.AddrPort) { s.keys.local, s.keys.remote = local, remote }
