package e2e

import (
	"bufio"
	"crypto/tls"
	"strings"
	"testing"

	"github.com/weftmesh/weft/test/authority"
)

// Authority issues certificates into a folder.
type Authority = authority.Authority

// NewAuthority makes an authority whose root is in the folder as ca.pem.
func NewAuthority(t testing.TB, dir string) *Authority {
	t.Helper()
	return authority.New(t, dir)
}

// DownstreamTLS is a transport socket of a filter chain in YAML: common is what is in common_tls_context, more what is beside it.
func DownstreamTLS(common, more string) string {
	return `transport_socket: {name: tls, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext, common_tls_context: {` + common + "}, " + more + "}}"
}

// UpstreamTLS is one of a cluster.
func UpstreamTLS(common, more string) string {
	return `transport_socket: {name: tls, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, common_tls_context: {` + common + "}, " + more + "}}"
}

// Secured puts a transport socket into the one filter chain of a listener in YAML.
func Secured(listener, socket string) string {
	before, after, ok := strings.Cut(listener, "  - filters:\n")
	if !ok {
		panic("there is no filter chain")
	}
	return before + "  - " + socket + "\n    filters:\n" + after
}

// DialTLS connects to an address and shakes hands; the test fails if that does.
func DialTLS(t testing.TB, address string, c *tls.Config) *Conn {
	t.Helper()
	conn, err := TryTLS(t, address, c)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// TryTLS is DialTLS for a handshake that may fail. A server of TLS 1.3 that refuses a client's certificate says so to the first who reads.
func TryTLS(t testing.TB, address string, c *tls.Config) (*Conn, error) {
	t.Helper()
	plain := Dial(t, address)
	secure := tls.Client(plain.Conn, c)
	if err := secure.Handshake(); err != nil {
		return nil, err
	}
	return wrap(t, secure), nil
}

// OverTLS serves connections that speak TLS.
func OverTLS(c *tls.Config, f func(*Upstream, *Conn)) func(*Upstream, *Conn) {
	return func(u *Upstream, plain *Conn) {
		secure := tls.Server(plain.Conn, c)
		if secure.Handshake() == nil {
			f(u, &Conn{Conn: secure, r: bufio.NewReader(secure), t: plain.t})
		}
		secure.Close()
	}
}
