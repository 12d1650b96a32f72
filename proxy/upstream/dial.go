package upstream

import (
	"errors"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/proxy/loop"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/tls"
)

// secured is a cluster's TLS.
type secured struct {
	context       *tls.Context
	stats, agreed *telemetry.Owner
}

// Scheme is that of requests to the cluster.
func (c *Cluster) Scheme() string {
	if c.tls != nil {
		return "https"
	}
	return "http"
}

// dial starts a connection to one of the cluster's addresses. It stands when the cluster's TLS does, if it has any.
func (c *Cluster) dial(l *loop.Loop, to config.Address, o loop.Owner) (*loop.Conn, error) {
	var session *tls.Session
	if t := c.tls; t != nil {
		var err error
		if session, err = t.context.Client(""); err != nil {
			tls.CountFailure(t.stats.Loop(l.Index()), err)
			return nil, &unready{err}
		}
	}
	conn, err := l.Dial(to, int(c.Config.BufferLimit), c.Config.KeepAlive, c.Config.Binding, o)
	if err == nil && session != nil {
		conn.Secure(session, nil)
	}
	return conn, err
}

// unready is a cluster that lacks a secret.
type unready struct{ error }

// shaken counts the handshake of a connection that stands, if it had one.
func (c *Cluster) shaken(l *loop.Loop, conn *loop.Conn) {
	if t := c.tls; t != nil {
		tls.Count(t.agreed.Loop(l.Index()), t.stats.Loop(l.Index()), conn.TLS())
	}
}

// unshaken counts a connection that never stood, if it was its handshake that failed.
func (c *Cluster) unshaken(l *loop.Loop, err error) {
	var why *loop.HandshakeError
	if c.tls != nil && errors.As(err, &why) {
		tls.CountFailure(c.tls.stats.Loop(l.Index()), why.Err)
	}
}
