package http2

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weftmesh/weft/wire/http"
)

// talk is a conversation by chance: a client and a server that open streams, send bodies of any size with or without trailers, read slowly,
// stop reading, reset, and are cut anywhere. Every body that was not reset must come whole, and at the end nothing may be left behind.
type talk struct {
	t      testing.TB
	random *rand.Rand
	p      *pair
	sent   map[*reader][]byte // what the peer has sent, or is to send, to a reader
	feeds  []*feed
	slow   []*reader
}

// feed is a body that is being sent.
type feed struct {
	s        *Stream
	r        *reader
	left     []byte
	trailers bool
	begun    bool
	head     *http.Request
}

// live tells whether a reader's stream is still its own.
func (r *reader) live() bool { return r.s.r == Reader(r) && r.s.flags&over == 0 }

func newTalk(t testing.TB, seed uint64) *talk {
	random := rand.New(rand.NewPCG(seed, 7))
	options := func() Options {
		return Options{
			HeaderTableSize: []uint32{0, 100, 65536}[random.IntN(3)], NoTable: random.IntN(5) == 0, MaxConcurrentStreams: []uint32{0, 3}[random.IntN(2)],
			InitialStreamWindow: []uint32{0, 1, 100, 70000}[random.IntN(4)], MaxStreamWindow: []uint32{0, 200000}[random.IntN(2)],
			MaxConnWindow: []uint32{0, 65535, 300000}[random.IntN(3)], StreamErrors: true, MaxEmptyFrames: 1000, MaxWindowUpdates: 10000,
			MaxHeadBytes: []int{0, 20000}[random.IntN(2)],
		}
	}
	k := &talk{t: t, random: random, sent: map[*reader][]byte{}}
	k.p = newPair(t, options(), options())
	for _, s := range [2]*side{k.p.client, k.p.server} {
		s.limit = []int{0, 20000}[random.IntN(2)]
		s.onBody = func(r *reader, b []byte) int {
			if random.IntN(3) > 0 {
				return len(b)
			}
			k.slow = append(k.slow, r)
			return random.IntN(len(b) + 1)
		}
	}
	k.p.server.onHead = func(r *reader, end bool) {
		body := k.body()
		f := &feed{s: r.s, r: r, left: body, trailers: random.IntN(3) == 0, begun: true}
		if random.IntN(4) == 0 {
			r.s.ResponseHead(response(103), false)
		}
		empty := len(body) == 0 && !f.trailers
		for _, q := range k.p.client.readers {
			if q.live() && q.s.ID == r.s.ID {
				k.sent[q] = body
			}
		}
		r.s.ResponseHead(response(200, "x", fmt.Sprint(len(body))), empty)
		if !empty {
			k.feeds = append(k.feeds, f)
		}
	}
	return k
}

func (k *talk) body() []byte {
	b := make([]byte, []int{0, 1, 100, 5000, 70000, 300000}[k.random.IntN(6)])
	for i := range b {
		b[i] = byte(k.random.Uint32())
	}
	return b
}

func (k *talk) step() {
	random, client := k.random, k.p.client
	switch random.IntN(8) {
	case 0, 1:
		if client.c.Slots() > 0 {
			r := client.open()
			body := k.body()
			f := &feed{s: r.s, r: r, left: body, trailers: random.IntN(3) == 0}
			f.head = request("POST", "http", "a", "/", "n", fmt.Sprint(random.IntN(5)), "cookie", "a=b", "cookie", "c=d")
			if random.IntN(10) == 0 {
				f.head.AddNamed([]byte("x-long"), bytes.Repeat([]byte("x"), 30000))
			}
			k.feeds = append(k.feeds, f)
		}
	case 2, 3, 4:
		if len(k.feeds) > 0 {
			k.advance(random.IntN(len(k.feeds)))
		}
	case 5:
		k.resume()
	case 6:
		if random.IntN(6) == 0 {
			s := []*side{client, k.p.server}[random.IntN(2)]
			if len(s.readers) > 0 {
				if r := s.readers[random.IntN(len(s.readers))]; r.live() {
					r.isReset = true
					r.s.Reset(Cancel)
				}
			}
		}
	default:
		cut := func(n int) int { return n }
		if random.IntN(2) == 0 {
			cut = func(n int) int { return 1 + random.IntN(n) }
		}
		k.p.run(cut)
	}
}

// advance sends something of a body.
func (k *talk) advance(i int) {
	f := k.feeds[i]
	if !f.r.live() {
		k.feeds = append(k.feeds[:i], k.feeds[i+1:]...)
		return
	}
	if !f.begun {
		end := len(f.left) == 0 && !f.trailers
		f.begun = true
		f.s.RequestHead(f.head, end)
		if end {
			k.feeds = append(k.feeds[:i], k.feeds[i+1:]...)
		}
		return
	}
	n := k.random.IntN(len(f.left) + 1)
	if k.random.IntN(2) == 0 {
		n = len(f.left)
	}
	b := f.left[:n]
	f.left = f.left[n:]
	if len(f.left) > 0 {
		f.s.Data(b, false)
		return
	}
	f.s.Data(b, !f.trailers)
	if f.trailers && f.r.live() {
		var h http.Header
		h.AddString(http.GRPCStatus, "0")
		f.s.Trailers(&h)
	}
	k.feeds = append(k.feeds[:i], k.feeds[i+1:]...)
}

func (k *talk) resume() {
	for _, r := range k.slow {
		if r.live() {
			r.s.Again()
		}
	}
	k.slow = nil
}

// finish ends all that was begun.
func (k *talk) finish() {
	for range 10000 {
		for len(k.feeds) > 0 {
			k.advance(0)
		}
		k.resume()
		k.p.run(nil)
		if len(k.feeds) == 0 && len(k.slow) == 0 && k.p.client.c.Streams() == 0 && k.p.server.c.Streams() == 0 {
			return
		}
	}
	k.t.Errorf("%d streams of the client and %d of the server do not end", k.p.client.c.Streams(), k.p.server.c.Streams())
}

func converse(t testing.TB, seed uint64) {
	k := newTalk(t, seed)
	for range 100 {
		k.step()
	}
	k.finish()
	for _, s := range [2]*side{k.p.client, k.p.server} {
		if s.c.fault != none {
			t.Fatalf("seed %d: %v\n%s", seed, s.c.fault.err(), s.transcript())
		}
	}
	for _, r := range k.p.client.readers {
		if !r.isReset && (!r.ended || !bytes.Equal(r.body, k.sent[r]) && r.trailers.Len() == 0) {
			t.Errorf("seed %d: a stream has %d bytes of %d, ended: %v", seed, len(r.body), len(k.sent[r]), r.ended)
		}
	}
	k.p.settled(t)
	if t.Failed() {
		t.Fatalf("seed %d:\n%s\n\n%s", seed, k.p.client.transcript(), k.p.server.transcript())
	}
}

func TestConversations(t *testing.T) {
	for seed := range uint64(80) {
		converse(t, seed)
	}
}

func FuzzConversation(f *testing.F) {
	f.Add(uint64(1000))
	f.Fuzz(func(t *testing.T, seed uint64) { converse(t, seed) })
}

// recorded is what a client says to a server in a conversation with a bit of everything.
func recorded(t testing.TB) (toServer, toClient []byte) {
	p := newPair(t, Options{}, Options{})
	p.server.onHead = func(r *reader, end bool) {
		r.s.ResponseHead(response(200, "server", "x"), false)
		r.s.Data([]byte("hello"), false)
		r.s.Data([]byte("hello"), true)
	}
	for i := range 3 {
		s := p.client.open().s
		s.RequestHead(request("POST", "https", "a.b", "/c", "user-agent", "me", "cookie", "a=b", "cookie", "c=d", "x-number", fmt.Sprint(i)), false)
		s.Data(bytes.Repeat([]byte("x"), 3000), i == 0)
		if i == 1 {
			var h http.Header
			h.AddString(http.GRPCStatus, "0")
			s.Trailers(&h)
		} else if i == 2 {
			s.Reset(Cancel)
		}
	}
	p.client.c.Ping([8]byte{'p', 'i', 'n', 'g'})
	toServer = p.client.sent()
	if _, err := p.server.c.Feed(toServer); err != nil {
		t.Fatal(err)
	}
	p.server.c.GoAway(3, NoError)
	return toServer, p.server.sent()
}

// FuzzServer reads any bytes after a client's preface: however they are cut, a server hears the same.
func FuzzServer(f *testing.F) {
	in, _ := recorded(f)
	in = in[len(preface):]
	f.Add(in, uint64(1))
	f.Add(in[:len(in)/2], uint64(5))
	for _, c := range hostile {
		f.Add(c.in(), uint64(9))
	}
	f.Fuzz(func(t *testing.T, in []byte, at uint64) {
		read := func(random *rand.Rand) *side {
			s := newSide(t, Options{Server: true, StreamErrors: at&1 == 0, EnableConnect: at&2 == 0, MaxConcurrentStreams: 5, MaxHeadBytes: 2000, MaxHeaders: 20})
			s.onHead = func(r *reader, end bool) {
				r.s.ResponseHead(response(200, "server", "x"), false)
				r.s.Data([]byte("hello"), true)
			}
			feedCut(t, s, append([]byte(preface), in...), random)
			return s
		}
		whole, cut := read(nil), read(rand.New(rand.NewPCG(at, 3)))
		if d := cmp.Diff(whole.lines, cut.lines); d != "" {
			t.Fatalf("cut, it reads otherwise: %s", d)
		}
		if whole.c.fault != cut.c.fault {
			t.Fatalf("%v; cut: %v", whole.c.fault.err(), cut.c.fault.err())
		}
		sound(t, whole)
		sound(t, cut)
	})
}

// FuzzClient is the same for a client with three requests under way.
func FuzzClient(f *testing.F) {
	_, in := recorded(f)
	f.Add(in, uint64(1))
	f.Add(in[:len(in)-20], uint64(2))
	f.Fuzz(func(t *testing.T, in []byte, at uint64) {
		read := func(random *rand.Rand) *side {
			s := newSide(t, Options{StreamErrors: at&1 == 0, MaxHeadBytes: 2000, MaxHeaders: 20})
			for _, method := range []string{"GET", "HEAD", "POST"} {
				s.open().s.RequestHead(request(method, "https", "a", "/"), method != "POST")
			}
			feedCut(t, s, in, random)
			return s
		}
		whole, cut := read(nil), read(rand.New(rand.NewPCG(at, 3)))
		if d := cmp.Diff(whole.lines, cut.lines); d != "" {
			t.Fatalf("cut, it reads otherwise: %s", d)
		}
		if whole.c.fault != cut.c.fault {
			t.Fatalf("%v; cut: %v", whole.c.fault.err(), cut.c.fault.err())
		}
		sound(t, whole)
		sound(t, cut)
	})
}

// feedCut gives a side bytes in pieces, unless random is nil, and then tells it that the connection is gone.
func feedCut(t testing.TB, s *side, in []byte, random *rand.Rand) {
	for at, end := 0, 0; end < len(in); {
		if random == nil {
			end = len(in)
		} else {
			end = min(len(in), end+1+random.IntN(1+random.IntN(40)))
		}
		for used := 1; used > 0; at += used {
			var err error
			if used, err = s.c.Feed(in[at:end:end]); err != nil {
				end, used = len(in), 0
			}
		}
	}
	s.c.Lost(NoError)
}

// sound checks what must hold of a connection whatever came.
func sound(t testing.TB, s *side) {
	t.Helper()
	c := &s.c
	if c.Streams() != 0 || c.active != 0 || c.kept != 0 || c.ready.head != nil || c.blocked.head != nil || s.done != len(s.readers) {
		t.Fatalf("left behind: %d streams, %d active, %d bytes; %d of %d done", c.Streams(), c.active, c.kept, s.done, len(s.readers))
	}
	if c.recvRoom > int64(c.window) || c.dec.size > c.dec.max {
		t.Fatalf("a window of %d, a grant of %d; a table of %d, %d", c.recvRoom, c.window, c.dec.size, c.dec.max)
	}
}
