package e2e

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"testing"

	"golang.org/x/net/http2"
)

// sender sends a body as the peer's windows let it.
type sender struct {
	*Frames
	id           uint32
	stream, conn int // what the peer lets it send
	initial      int
	sent         int
	answered     *http2.MetaHeadersFrame
	body         []byte
	ended        bool
	asked        uint64
	heard        uint64 // the last PING that was acknowledged
	updates      int    // WINDOW_UPDATE frames that have come
}

// newSender opens a stream, and waits for the peer's settings.
func newSender(f *Frames, id uint32, fields ...string) *sender {
	f.t.Helper()
	s := &sender{Frames: f, id: id, conn: 1<<16 - 1, initial: -1}
	f.Head(id, false, fields...)
	for s.initial < 0 {
		s.turn()
	}
	return s
}

// turn takes in one frame of the peer's.
func (s *sender) turn() {
	s.t.Helper()
	fr, err := s.ReadFrame()
	if err != nil {
		s.t.Fatal(err)
	}
	switch fr := fr.(type) {
	case *http2.SettingsFrame:
		if n, ok := fr.Value(http2.SettingInitialWindowSize); ok && !fr.IsAck() {
			s.initial, s.stream = int(n), int(n)
		} else if !fr.IsAck() {
			s.initial, s.stream = 1<<16-1, 1<<16-1
		}
	case *http2.WindowUpdateFrame:
		s.updates++
		if fr.StreamID == 0 {
			s.conn += int(fr.Increment)
		} else if fr.StreamID == s.id {
			s.stream += int(fr.Increment)
		}
	case *http2.PingFrame:
		if fr.IsAck() {
			s.heard = binary.BigEndian.Uint64(fr.Data[:])
		} else {
			s.must(s.WritePing(true, fr.Data))
		}
	case *http2.MetaHeadersFrame:
		if s.answered == nil {
			s.answered = fr
		}
		s.ended = fr.StreamEnded()
	case *http2.DataFrame:
		s.body = append(s.body, fr.Data()...)
		s.ended = fr.StreamEnded()
	case *http2.RSTStreamFrame, *http2.GoAwayFrame:
		s.t.Fatalf("%v", fr)
	}
}

// send sends what the windows let go of the bytes up to n.
func (s *sender) send(n int) {
	s.t.Helper()
	for room := min(s.stream, s.conn, 16<<10, n-s.sent); room > 0; room = min(s.stream, s.conn, 16<<10, n-s.sent) {
		s.must(s.WriteData(s.id, false, pattern[s.sent%500_000:][:room]))
		s.sent += room
		s.stream -= room
		s.conn -= room
	}
}

// fill sends until the peer, though it is there, lets it send no more, or n bytes are sent.
func (s *sender) fill(n int) {
	s.t.Helper()
	for quiet := 0; quiet < 50 && s.sent < n; quiet++ {
		s.send(n)
		updates := s.updates
		s.asked++
		s.must(s.WritePing(false, [8]byte(binary.BigEndian.AppendUint64(nil, s.asked))))
		for s.heard < s.asked {
			s.turn()
		}
		if s.updates > updates {
			quiet = 0
		}
	}
}

// finish sends the rest, and takes in the answer.
func (s *sender) finish(n int) {
	s.t.Helper()
	for s.send(n); s.sent < n; s.send(n) {
		s.turn()
	}
	s.must(s.WriteData(s.id, true, nil))
	for !s.ended {
		s.turn()
	}
}

// Who sends faster than the upstream reads is held back, by an upstream of either version; when that reads on, all of it comes.
func TestUploaderIsHeldBack(t *testing.T) {
	for _, c := range []struct {
		name, more  string
		total       int
		taken, live int // most bytes that are taken of an upload that the upstream does not read, and that the process holds of it
	}{
		// The kernel's buffers of two sockets, a window of as much as is configured, and the upstream connection's buffer of 1 MiB with the smaller
		// ones that it grew out of, which the loop keeps.
		{"http1", "http2_protocol_options: {initial_stream_window_size: 262144}", 64 << 20, 48 << 20, 4 << 20},
		// The window that x/net gives us, and ours, which has grown while that was filled: 1 MiB, and twice as much.
		{"http2", "", 16 << 20, 4 << 20, 6 << 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			read := make(chan struct{})
			count := func(w http.ResponseWriter, r *http.Request) {
				<-read
				n, err := io.Copy(io.Discard, r.Body)
				fmt.Fprint(w, n, err)
			}
			cluster := ""
			if c.name == "http1" {
				cluster = Cluster("up", ServeHTTP(t, count))
			} else {
				cluster = Cluster("up", Serve2(t, count).Port, Speaks2())
			}
			p := Start(t, Bootstrap(HTTPListener("routes: [{match: {prefix: /}, route: {cluster: up, timeout: 0s}}]", c.more), cluster))
			before := heap()
			s := newSender(DialFrames(t, p.Address()), 1, ":method", "POST", ":scheme", "http", ":authority", "a", ":path", "/")
			s.fill(c.total)
			if s.sent > c.taken {
				t.Errorf("%d bytes were taken", s.sent)
			}
			if after := heap(); after > before+uint64(c.live) {
				t.Errorf("%d bytes more are live", after-before)
			}
			if n := p.Stat("http.http.downstream_rq_active"); n != 1 {
				t.Errorf("%d active", n)
			}
			close(read)
			s.finish(c.total)
			if got := string(s.body); got != fmt.Sprint(c.total, nil) {
				t.Errorf("the upstream has %q of %d", got, c.total)
			}
			p.WantStat("cluster.up.upstream_rq_active", 0)
		})
	}
}

// credited reads from a stream whose window it opens by steps, until the stream ends.
func credited(f *Frames, id, step uint32) (body []byte) {
	f.t.Helper()
	for {
		f.must(f.WriteWindowUpdate(id, step))
		for got := 0; got < int(step); {
			d, ok := f.Next(http2.FrameData, id).(*http2.DataFrame)
			if !ok {
				f.t.Fatalf("the connection ends after %d bytes", len(body))
			}
			body = append(body, d.Data()...)
			if got += len(d.Data()); d.StreamEnded() {
				return body
			}
		}
	}
}

// A client that opens its window byte by byte gets the whole answer, wherever it comes from.
func TestByteByByte(t *testing.T) {
	answer := pattern[:3000]
	f := func(w http.ResponseWriter, r *http.Request) { w.Write(answer) }
	for name, cluster := range map[string]string{"http1": Cluster("up", ServeHTTP(t, f)), "http2": Cluster("up", Serve2(t, f).Port, Speaks2())} {
		t.Run(name, func(t *testing.T) {
			p := Start(t, Bootstrap(HTTPListener(All), cluster))
			c := DialFrames(t, p.Address(), http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
			for id := uint32(1); id < 6; id += 2 { // one after the other, and what waits for the second is not sent to the first
				c.Head(id, true, Get("/")...)
			}
			for id := uint32(1); id < 6; id += 2 {
				if body := credited(c, id, 1); !bytes.Equal(body, answer) {
					t.Errorf("%d bytes", len(body))
				}
			}
			p.WantStat("http.http.downstream_rq_active", 0)
			p.WantStat("cluster.up.upstream_rq_active", 0)
		})
	}
}

// A client that never opens its window is not waited for longer than is configured, and is counted; the upstream is not read further than the
// buffers reach. Its other streams are served.
func TestClosedWindows(t *testing.T) {
	var taken = make(chan int, 1)
	u := Serve(t, func(u *Upstream, c *Conn) { // an upstream that sends as it may, and says how much it could when it is told to end
		io.ReadFull(c.r, make([]byte, len(http2.ClientPreface)))
		f := FramesOver(t, buffered{c.Conn, c.r})
		f.must(f.WriteSettings())
		s := &sender{Frames: f, conn: 1<<16 - 1, initial: -1}
		h, ok := f.Next(http2.FrameSettings, 0).(*http2.SettingsFrame)
		if !ok {
			return
		}
		s.stream = 1<<16 - 1
		if n, ok := h.Value(http2.SettingInitialWindowSize); ok {
			s.stream = int(n)
		}
		for {
			fr, err := f.ReadFrame()
			if err != nil {
				return
			}
			switch fr := fr.(type) {
			case *http2.MetaHeadersFrame:
				s.id = fr.StreamID
				f.must(f.WriteHeaders(http2.HeadersFrameParam{StreamID: s.id, BlockFragment: f.Block(":status", "200"), EndHeaders: true}))
				if fr.PseudoValue("path") == "/little" {
					f.must(f.WriteData(s.id, true, []byte("little")))
					s.id = 0
				}
			case *http2.WindowUpdateFrame:
				if fr.StreamID == 0 {
					s.conn += int(fr.Increment)
				} else if fr.StreamID == s.id {
					s.stream += int(fr.Increment)
				}
			case *http2.RSTStreamFrame:
				taken <- s.sent
				s.id = 0
			}
			if s.id != 0 {
				s.send(1 << 30)
			}
		}
	})
	p := Start(t, Bootstrap(HTTPListener("routes: [{match: {prefix: /slow}, route: {cluster: up, idle_timeout: 20s, flush_timeout: 20s}}, {match: {prefix: /}, route: {cluster: up}}]", "stream_idle_timeout: 0.1s"), Cluster("up", u.Port, Speaks2())))
	f := DialFrames(t, p.Address(), http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
	f.Head(1, true, Get("/slow")...)
	f.Next(http2.FrameHeaders, 1)
	before := heap()

	// An answer that has come whole waits for its client only.
	f.Head(3, true, Get("/little")...)
	if r := f.Next(http2.FrameRSTStream, 3); r == nil {
		t.Fatal("the connection ends")
	}
	p.WantStat("http2.tx_flush_timeout", 1)
	p.WantStat("http.http.downstream_rq_active", 1)
	p.WantStat("cluster.up.upstream_rq_active", 1)

	// One that has not keeps its upstream waiting, and is reset on both sides.
	f.Head(5, true, Get("/much")...)
	if r := f.Next(http2.FrameRSTStream, 5); r == nil {
		t.Fatal("the connection ends")
	}
	if n := <-taken; n == 0 || n > 256<<10 {
		t.Errorf("%d bytes were taken for a client that took none", n)
	}
	p.WantStat("http.http.downstream_rq_idle_timeout", 1)
	p.WantStat("http.http.downstream_rq_active", 1)
	if after := heap(); after > before+2<<20 {
		t.Errorf("%d bytes more are live", after-before)
	}
	f.must(f.WriteWindowUpdate(1, 5))
	if d := f.Next(http2.FrameData, 1).(*http2.DataFrame); len(d.Data()) != 5 {
		t.Errorf("%d bytes", len(d.Data()))
	}
	f.must(f.WriteRSTStream(1, http2.ErrCodeCancel))
	<-taken
	p.WantStat("http.http.downstream_rq_active", 0)
	p.WantStat("cluster.up.upstream_rq_active", 0)
	if n := p.Stat("http.http.downstream_cx_total") + p.Stat("cluster.up.upstream_cx_total"); n != 2 {
		t.Errorf("%d connections", n)
	}
}
