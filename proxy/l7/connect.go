package l7

import (
	"bytes"
	"net/netip"

	"github.com/weftmesh/weft/proxy/upstream"
	"github.com/weftmesh/weft/wire/http"
	"github.com/weftmesh/weft/wire/proxyproto"
)

// connect asks for the connection of an attempt: one of the pool's, or, for what goes upstream as it is, one of its own.
func (a *attempt) connect() (upstream.Loan, upstream.Failure) {
	x := a.exchange
	l := x.local.Loop
	if x.has(terminated) {
		return x.cluster.Tunnel(l, a.member.Endpoint, x.forward.Priority, x.apart(a.member), a)
	}
	return x.cluster.Lend(l, a.member.Endpoint, x.forward.Priority, x.request.Version, x.apart(a.member), !a.repeatable(), a, &a.wait)
}

// apart is what keeps the connections for a request apart from others.
func (x *exchange) apart(m *upstream.Member) upstream.Apart {
	name, offer := askedName(x.cluster, &x.request), ""
	if x.offer != nil && m.Scheme() == "https" {
		offer = x.offer.Key
	}
	v, from := m.ProxyHeader(), x.conn.conn.Origin()
	if v == 0 && name == nil && offer == "" && from == nil {
		return nil
	}
	x.scratch = upstream.AppendApart(x.scratch[:0], from, offer, name)
	if v == 0 {
		return x.scratch
	}
	c := x.conn
	x.scratch = proxyproto.Append(append(x.scratch, 0), &proxyproto.Header{Version: v, Source: c.conn.Remote(), Destination: c.address()})
	return x.scratch
}

// askedName is the name that a request has its TLS server asked for, if the cluster says that it does; nil: what is configured. An address is
// nobody's name, and is asked for only where it has to be the certificate's.
func askedName(c *upstream.Cluster, r *http.Request) []byte {
	from := c.Config.NameFrom
	if from == "" {
		return nil
	}
	name := r.Field(from)
	if len(name) == 0 {
		name = r.Authority()
	}
	host := name
	if i := bytes.LastIndexByte(name, ':'); i >= 0 && bytes.IndexByte(name[i:], ']') < 0 {
		host = name[:i]
	}
	host = bytes.Trim(host, "[]")
	if !c.Config.VerifyNameFrom && isAddress(host) {
		return nil
	}
	return host
}

func isAddress(host []byte) bool {
	if len(host) == 0 || bytes.IndexByte(host, ':') < 0 && (host[len(host)-1] < '0' || host[len(host)-1] > '9') {
		return false
	}
	_, err := netip.ParseAddr(string(host))
	return err == nil
}
