package e2e

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"runtime"
	"testing"

	"golang.org/x/net/http2"
)

const (
	// allocationsPerThousand2 is allocationsPerThousand of HTTP/2 on both sides.
	allocationsPerThousand2 = 20
	// heapPerConnection2 is heapPerConnection of one that speaks HTTP/2.
	heapPerConnection2 = 2300
)

// frames reads frames without allocating, and gives each to f: its type, flags, stream and payload.
func frames(r io.Reader, room []byte, f func(kind http2.FrameType, flags http2.Flags, id uint32, payload []byte) error) error {
	have := 0
	for {
		n, err := r.Read(room[have:])
		if err != nil {
			return err
		}
		have += n
		at := 0
		for have-at >= 9 {
			h := room[at:]
			size := int(h[0])<<16 | int(h[1])<<8 | int(h[2])
			if have-at < 9+size {
				break
			}
			if err := f(http2.FrameType(h[3]), http2.Flags(h[4]), binary.BigEndian.Uint32(h[5:])&(1<<31-1), h[9:9+size]); err != nil {
				return err
			}
			at += 9 + size
		}
		have = copy(room, room[at:have])
	}
}

// plain2 is an upstream that answers over HTTP/2 without allocating: five bytes to each request that is its head, or, with trailers, to each
// that has ended.
func plain2(t *testing.T, trailers bool) *Upstream {
	head := append([]byte{0x88}, "\x0f\x0d\x015"...) // :status: 200, content-length: 5
	tail := []byte("\x00\x0bgrpc-status\x010")
	return Serve(t, func(_ *Upstream, c *Conn) {
		var room [64 << 10]byte
		out := make([]byte, 0, 64<<10)
		put := func(kind http2.FrameType, flags http2.Flags, id uint32, payload []byte) {
			out = append(out, 0, byte(len(payload)>>8), byte(len(payload)), byte(kind), byte(flags))
			out = append(binary.BigEndian.AppendUint32(out, id), payload...)
		}
		io.ReadFull(c.r, make([]byte, len(http2.ClientPreface)))
		put(http2.FrameSettings, 0, 0, nil)
		put(http2.FrameWindowUpdate, 0, 0, []byte{0x3f, 0, 0, 0})
		c.Conn.Write(out)
		frames(c.r, room[:], func(kind http2.FrameType, flags http2.Flags, id uint32, payload []byte) error {
			out = out[:0]
			switch {
			case kind == http2.FrameSettings && flags&http2.FlagSettingsAck == 0:
				put(http2.FrameSettings, http2.FlagSettingsAck, 0, nil)
			case (kind == http2.FrameHeaders || kind == http2.FrameData) && flags&http2.FlagDataEndStream != 0:
				put(http2.FrameHeaders, http2.FlagHeadersEndHeaders, id, head)
				if trailers {
					put(http2.FrameData, 0, id, []byte("hello"))
					put(http2.FrameHeaders, http2.FlagHeadersEndHeaders|http2.FlagHeadersEndStream, id, tail)
				} else {
					put(http2.FrameData, http2.FlagDataEndStream, id, []byte("hello"))
				}
			default:
				return nil
			}
			_, err := c.Conn.Write(out)
			return err
		})
	})
}

// asker asks over HTTP/2 without allocating.
type asker struct {
	c     net.Conn
	room  []byte
	out   []byte
	block []byte
	id    uint32
	ended int
	want  int
}

func newAsker(t *testing.T, c net.Conn) *asker {
	a := &asker{c: c, room: make([]byte, 64<<10), id: 1}
	io.WriteString(c, http2.ClientPreface)
	c.Write(frame(http2.FrameSettings, 0, 0, nil))
	c.Write(frame(http2.FrameSettings, http2.FlagSettingsAck, 0, nil))
	c.Write(frame(http2.FrameWindowUpdate, 0, 0, []byte{0x3f, 0, 0, 0}))
	f := FramesOver(t, c)
	f.encoder.SetMaxDynamicTableSize(0)
	a.block = f.Block(Get("/api/items?id=1", "user-agent", "test", "accept", "*/*", "x-custom", "value", "te", "trailers")...)
	return a
}

// ask sends n requests at once, with a body if that is not empty, and reads the ends of their answers.
func (a *asker) ask(t *testing.T, n int, body []byte) {
	a.out = a.out[:0]
	flags := http2.FlagHeadersEndHeaders
	if len(body) == 0 {
		flags |= http2.FlagHeadersEndStream
	}
	for range n {
		a.put(http2.FrameHeaders, flags, a.block)
		if len(body) > 0 {
			a.put(http2.FrameData, http2.FlagDataEndStream, body)
		}
		a.id += 2
	}
	if _, err := a.c.Write(a.out); err != nil {
		t.Fatal(err)
	}
	a.ended, a.want = 0, n
	if err := frames(a.c, a.room, a.read); err != errEnough {
		t.Fatalf("%v: %d of %d answers", err, a.ended, n)
	}
}

func (a *asker) put(kind http2.FrameType, flags http2.Flags, payload []byte) {
	n := len(payload)
	a.out = append(a.out, byte(n>>16), byte(n>>8), byte(n), byte(kind), byte(flags))
	a.out = append(binary.BigEndian.AppendUint32(a.out, a.id), payload...)
}

var errEnough = errors.New("enough")

func (a *asker) read(kind http2.FrameType, flags http2.Flags, _ uint32, payload []byte) error {
	switch {
	case kind == http2.FrameRSTStream || kind == http2.FrameGoAway:
		return io.ErrUnexpectedEOF
	case kind == http2.FrameHeaders && !bytes.HasPrefix(payload, []byte{0x88}) && flags&http2.FlagHeadersEndStream == 0 && payload[0]&0xe0 != 0x20:
		return io.ErrNoProgress // not 200
	case (kind == http2.FrameHeaders || kind == http2.FrameData) && flags&http2.FlagDataEndStream != 0:
		if a.ended++; a.ended == a.want {
			return errEnough
		}
	}
	return nil
}

// Requests over HTTP/2 on both sides allocate nothing in steady state, alone and many at once; nor do calls of gRPC, with a body and trailers.
func TestRequestsOverHTTP2AllocateNothing(t *testing.T) {
	message := append([]byte{0, 0, 0, 0, 100}, make([]byte, 100)...)
	for name, c := range map[string]struct {
		at   int
		body []byte
	}{"one": {1, nil}, "many": {20, nil}, "grpc": {1, message}, "grpc-many": {20, message}} {
		t.Run(name, func(t *testing.T) {
			p := Start(t, Bootstrap(HTTPListener(All, "use_remote_address: true"), Cluster("up", plain2(t, c.body != nil).Port, Speaks2())))
			a := newAsker(t, Dial(t, p.Address()).Conn)
			do := func() {
				for range 2000 / c.at {
					a.ask(t, c.at, c.body)
				}
			}
			do()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			do()
			runtime.ReadMemStats(&after)
			if n := after.Mallocs - before.Mallocs; n > 2*allocationsPerThousand2 {
				t.Errorf("2,000 requests made %d allocations, want at most %d", n, 2*allocationsPerThousand2)
			}
		})
	}
}

func TestIdleConnectionsOfHTTP2AreSmall(t *testing.T) {
	p := Start(t, Bootstrap(HTTPListener(All, "use_remote_address: true"), Cluster("up", plain2(t, false).Port, Speaks2())))
	bare := NewBare(t, p.Address())
	template := newAsker(t, Dial(t, p.Address()).Conn)
	hello := append([]byte(http2.ClientPreface), frame(http2.FrameSettings, 0, 0, nil)...)
	hello = append(hello, frame(http2.FrameHeaders, http2.FlagHeadersEndHeaders|http2.FlagHeadersEndStream, 1, template.block)...)
	holdAtMost(t, heapPerConnection2, 1000, func() {
		c := bare.Dial()
		c.Write(hello)
		template.ended, template.want = 0, 1
		if err := frames(c, template.room, template.read); err != errEnough {
			t.Fatal(err)
		}
	})
}
