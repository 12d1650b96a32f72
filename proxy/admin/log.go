package admin

import (
	"net/http"
	"net/netip"
	"time"

	"github.com/weftmesh/weft/telemetry/accesslog"
	wire "github.com/weftmesh/weft/wire/http"
)

// counted is an answer of which status and length are told to the log.
type counted struct {
	http.ResponseWriter
	status int
	length uint64
}

// WriteHeader takes note of the status.
func (c *counted) WriteHeader(status int) {
	c.status = status
	c.ResponseWriter.WriteHeader(status)
}

// Write takes note of the length.
func (c *counted) Write(b []byte) (int, error) {
	n, err := c.ResponseWriter.Write(b)
	c.length += uint64(n)
	return n, err
}

// entryOf is what the access log is told of a request that has been answered.
func entryOf(r *http.Request, c *counted, began time.Time) *accesslog.Entry {
	head := &wire.Request{}
	head.SetMethod([]byte(r.Method))
	head.SetAuthority([]byte(r.Host))
	head.SetScheme([]byte("http"))
	head.SetPath([]byte(r.URL.RequestURI()))
	for name, values := range r.Header {
		for _, v := range values {
			head.AddSpelled([]byte(name), []byte(v), false)
		}
	}
	e := &accesslog.Entry{Request: head, HasProtocol: true, Protocol: wire.HTTP11, Status: uint16(c.status), BytesSent: c.length,
		BytesReceived: uint64(max(r.ContentLength, 0)), Start: began, End: time.Since(began), RequestEnd: -1, UpstreamFirstSent: -1,
		UpstreamLastSent: -1, UpstreamHead: -1, UpstreamEnd: -1, DownstreamHead: -1}
	if r.ProtoMinor == 0 {
		e.Protocol = wire.HTTP10
	}
	if peer, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		e.Remote, e.Direct = peer, peer
	}
	return e
}
