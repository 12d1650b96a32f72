package server

import (
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/protobuf/proto"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
)

// rawClient is a proxy on a connection of its own that keeps next to nothing, and reads when it is told to.
type rawClient struct {
	t      testing.TB
	conn   net.Conn
	mu     sync.Mutex // of what is written
	framer *http2.Framer
}

func newRawClient(t testing.TB, conn net.Conn) *rawClient {
	r := &rawClient{t: t, conn: conn, framer: http2.NewFramer(conn, conn)}
	t.Cleanup(func() { conn.Close() })
	io.WriteString(conn, http2.ClientPreface)
	r.framer.WriteSettings()
	var head writer
	e := hpack.NewEncoder(&head)
	for _, f := range [][2]string{
		{":method", "POST"}, {":scheme", "http"}, {":path", "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"}, {":authority", "plane"},
		{"content-type", "application/grpc"}, {"te", "trailers"},
	} {
		e.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	r.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: head, EndHeaders: true})
	return r
}

type writer []byte

func (w *writer) Write(b []byte) (int, error) {
	*w = append(*w, b...)
	return len(b), nil
}

// send sends a message, in frames as large as may be.
func (r *rawClient) send(message []byte) {
	const most = 16 << 10
	b := append([]byte{0}, binary.BigEndian.AppendUint32(nil, uint32(len(message)))...)
	b = append(b, message...)
	for len(b) > 0 {
		n := min(len(b), most)
		r.mu.Lock()
		r.framer.WriteData(1, false, b[:n])
		r.mu.Unlock()
		b = b[n:]
	}
}

// read reads from now on, and answers.
func (r *rawClient) read() {
	r.mu.Lock()
	r.framer.WriteWindowUpdate(0, 1<<30)
	r.framer.WriteWindowUpdate(1, 1<<30)
	r.mu.Unlock()
	go func() {
		var head []byte // of a message, as far as it is here
		left := 0
		for {
			f, err := r.framer.ReadFrame()
			if err != nil {
				return
			}
			switch f := f.(type) {
			case *http2.SettingsFrame:
				if !f.IsAck() {
					r.mu.Lock()
					r.framer.WriteSettingsAck()
					r.mu.Unlock()
				}
			case *http2.PingFrame:
				r.mu.Lock()
				r.framer.WritePing(true, f.Data)
				r.mu.Unlock()
			case *http2.DataFrame:
				for b := f.Data(); len(b) > 0; {
					if left == 0 {
						n := min(len(b), 5-len(head))
						if head, b = append(head, b[:n]...), b[n:]; len(head) == 5 {
							left = int(binary.BigEndian.Uint32(head[1:]))
						}
						continue
					}
					n := min(len(b), left)
					if len(head) < 256 {
						head = append(head, b[:min(n, 256-len(head))]...)
					}
					if b, left = b[n:], left-n; left == 0 {
						r.answer(head[5:])
						head = head[:0]
					}
				}
			}
		}
	}()
}

// answer takes a response, of which the beginning says what it is.
func (r *rawClient) answer(b []byte) {
	a := &discoveryv3.DeltaDiscoveryRequest{}
	var m discoveryv3.DeltaDiscoveryResponse
	proto.Unmarshal(b[:fit(b)], &m)
	a.TypeUrl, a.ResponseNonce = m.TypeUrl, m.Nonce
	wire, err := proto.Marshal(a)
	if err == nil {
		r.send(wire)
	}
}
