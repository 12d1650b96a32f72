package upstream

import (
	"errors"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/proxy/loop"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/tls"
	"github.com/weftmesh/weft/wire/proxyproto"
)

// secured is a cluster's TLS.
type secured struct {
	contexts      map[config.Hash]*tls.Context // by how endpoints are connected to
	stats, agreed *telemetry.Owner
}

// secure makes what a cluster needs for TLS; nil: it speaks none.
func (s *Set) secure(c *config.Cluster, prefix string, tag telemetry.Tag) *secured {
	var t *secured
	add := func(of *config.TLS) {
		if of == nil {
			return
		}
		if t == nil {
			t = &secured{map[config.Hash]*tls.Context{}, s.store.Acquire(tls.ClusterStats, prefix+"ssl.", tag), s.store.Acquire(tls.ClusterAgreed, prefix+"ssl.", tag)}
		}
		t.contexts[of.Hash] = tls.NewClient(of, s.options.Secrets)
	}
	add(c.TLS)
	for i := range c.Transports {
		add(c.Transports[i].TLS)
	}
	return t
}

// Scheme is that of requests to an endpoint.
func (e *Endpoint) Scheme() string {
	if e.key.connect.Value().tls != (config.Hash{}) {
		return "https"
	}
	return "http"
}

// What connections offer by ALPN, by what they speak.
var (
	offersHTTP1  = []string{"http/1.1"}
	offersHTTP2  = []string{"h2"}
	offersEither = []string{"h2", "http/1.1"}
)

// dial starts a connection to an endpoint, at an address of it. It stands when its TLS does, if it speaks that; ask is what is asked of its
// server then, whose name is the endpoint's if it has none. header is what it is told before, if it is to be told whom the connection is for.
// from, which may be nil, is whom it seems to come from, whatever the cluster says.
func (c *Cluster) dial(l *loop.Loop, e *Endpoint, to config.Address, from *loop.Origin, header string, ask tls.Ask, o loop.Owner) (*loop.Conn, error) {
	var session *tls.Session
	connect := e.key.connect.Value()
	if t := c.tls; t != nil && connect.tls != (config.Hash{}) {
		context := t.contexts[connect.tls]
		if context == nil {
			return nil, errStale // the endpoint is another configuration's
		}
		if ask.Verify = ask.Name != "" && c.Config.VerifyNameFrom; ask.Name == "" {
			ask.Name = connect.name
		}
		var err error
		if session, err = context.Client(ask); err != nil {
			tls.CountFailure(t.stats.Loop(l.Index()), err)
			return nil, &unready{err}
		}
	}
	binding := c.Config.Binding
	if from != nil {
		binding = from.Over(binding)
	}
	conn, err := l.Dial(to, int(c.Config.BufferLimit), c.Config.KeepAlive, binding, o)
	if err != nil {
		return nil, err
	}
	if v := connect.header; v != 0 {
		if header == "" {
			header = string(proxyproto.Append(nil, &proxyproto.Header{Version: v, Unknown: true}))
		}
		conn.Write([]byte(header))
	}
	if session != nil {
		conn.Secure(session, nil)
	}
	return conn, nil
}

// ProxyHeader is the version of the PROXY protocol in which the endpoint wants to be told whom a connection is for; 0: it does not.
func (e *Endpoint) ProxyHeader() uint8 { return e.key.connect.Value().header }

var errStale = errors.New("upstream: the endpoint belongs to a configuration that is gone")

// unready is a cluster that lacks a secret.
type unready struct{ error }

// shaken counts the handshake of a connection that stands, if it had one.
func (c *Cluster) shaken(l *loop.Loop, conn *loop.Conn) {
	if t := c.tls; t != nil && conn.TLS() != nil {
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
