package xds

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
)

// foe is somebody at the control plane's address who does with each connection what a test says.
type foe struct {
	address string
	came    chan time.Time // for each connection, or each poll
}

func serveBadly(t *testing.T, behave func(net.Conn)) *foe {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &foe{address: l.Addr().String(), came: make(chan time.Time, 1000)}
	var open sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			s.came <- time.Now()
			open.Go(func() {
				defer c.Close()
				stop := context.AfterFunc(ctx, func() { c.Close() })
				defer stop()
				behave(c)
			})
		}
	}()
	t.Cleanup(func() {
		l.Close()
		cancel()
		open.Wait()
	})
	return s
}

// answering speaks HTTP/2 without TLS with whoever connects.
func answering(h http.HandlerFunc) func(net.Conn) {
	return func(c net.Conn) {
		(&http2.Server{}).ServeConn(c, &http2.ServeConnOpts{Handler: h, BaseConfig: &http.Server{ErrorLog: log.New(io.Discard, "", 0)}})
	}
}

// framing speaks frames of HTTP/2, as soon as there is a request.
func framing(say func(*http2.Framer, uint32)) func(net.Conn) {
	return func(c net.Conn) {
		preface := make([]byte, len(http2.ClientPreface))
		if _, err := io.ReadFull(c, preface); err != nil {
			return
		}
		f := http2.NewFramer(c, c)
		f.WriteSettings()
		for {
			frame, err := f.ReadFrame()
			if err != nil {
				return
			}
			if h, ok := frame.(*http2.HeadersFrame); ok {
				say(f, h.StreamID)
			}
		}
	}
}

func asGRPC(w http.ResponseWriter, body ...byte) {
	w.Header().Set("Content-Type", "application/grpc")
	w.WriteHeader(200)
	w.Write(body)
	http.NewResponseController(w).Flush()
}

func refusing(code string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Grpc-Status", code)
		w.Header().Set("Grpc-Message", "go away")
	}
}

// TestHostileServers meets, at the control plane's address, whoever may be there by mistake or on purpose: the proxy serves what it has, says why
// nothing comes, counts it, and comes back later each time.
func TestHostileServers(t *testing.T) {
	huge := binary.BigEndian.AppendUint32([]byte{0}, 0xffffffff)
	for name, c := range map[string]struct {
		behave func(net.Conn)
		why    string
	}{
		"closes":              {func(net.Conn) {}, "Unavailable"},
		"resets":              {func(c net.Conn) { c.(*net.TCPConn).SetLinger(0) }, "Unavailable"},
		"speaks HTTP/1.1":     {func(c net.Conn) { io.WriteString(c, "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n") }, "Unavailable"},
		"speaks nonsense":     {func(c net.Conn) { c.Write(bytes.Repeat([]byte{0xa5}, 1<<16)) }, "Unavailable"},
		"half a frame":        {answering(func(w http.ResponseWriter, _ *http.Request) { asGRPC(w, 0, 0, 0, 1, 0, 10, 1, 97) }), "Internal"},
		"4 GB announced":      {answering(func(w http.ResponseWriter, _ *http.Request) { asGRPC(w, huge...) }), "want 67108864 at most"},
		"unknown compression": {answering(func(w http.ResponseWriter, _ *http.Request) { asGRPC(w, 1, 0, 0, 0, 1, 0) }), "compressed"},
		"no protobuf":         {answering(func(w http.ResponseWriter, _ *http.Request) { asGRPC(w, 0, 0, 0, 0, 2, 0xff, 0xff) }), "wire format"},
		"resource exhausted":  {answering(refusing("8")), "ResourceExhausted"},
		"unimplemented":       {answering(refusing("12")), "Unimplemented"},
		"a status of nobody":  {answering(refusing("9999")), "go away"},
		"redirects": {answering(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
		}), "302"},
		"a page":             {answering(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") }), "content-type"},
		"resets each stream": {framing(func(f *http2.Framer, id uint32) { f.WriteRSTStream(id, http2.ErrCodeRefusedStream) }), "REFUSED_STREAM"},
		"resets without end": {framing(func(f *http2.Framer, id uint32) {
			for f.WriteRSTStream(id, http2.ErrCodeInternal) == nil {
			}
		}), "INTERNAL_ERROR"},
		"goes away": {framing(func(f *http2.Framer, _ uint32) {
			f.WriteGoAway(0, http2.ErrCodeEnhanceYourCalm, []byte("too_many_pings"))
		}), "Unavailable"},
		"goes away without end": {framing(func(f *http2.Framer, _ uint32) {
			for f.WriteGoAway(0, http2.ErrCodeNo, nil) == nil {
			}
		}), "Unavailable"},
	} {
		m := modes()[1+3*(len(name)%2)] // one stream of what changes, or one of the world for each kind
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serveBadly(t, c.behave)
			p := Run(t, m, endpoint(s.address), static)
			kinds := 1 // connections that are opened at once
			if m.source != fromADS {
				kinds = 2
			}
			var first, last time.Time
			for i := range 3 * kinds {
				select {
				case last = <-s.came:
				case <-time.After(deadline):
					t.Fatalf("it does not come back a %d. time", i)
				}
				if i == 0 {
					first = last
				}
			}
			// Pauses of at least an eighth and a quarter of a second. Of two streams, one may come the second time after an eighth.
			if d := last.Sub(first); d < 125*time.Millisecond || m.source == fromADS && d < 375*time.Millisecond {
				t.Errorf("it has come back twice within %v", d)
			}
			if got := get(p.Address("own")); got != "200 own" {
				t.Error(got)
			}
			p.Eventually("it is counted", func() bool { return p.Stat("cluster_manager.cds.update_failure") >= 1 })
			p.mu.Lock()
			defer p.mu.Unlock()
			for _, o := range p.outcomes {
				if o.Err != nil && strings.Contains(o.Err.Error(), c.why) {
					return
				}
			}
			t.Errorf("nobody says %q: %+v", c.why, p.outcomes)
		})
	}
}

// TestHostilePolls is the same for polls over HTTP, whose answers are bounded whatever they are wrapped in.
func TestHostilePolls(t *testing.T) {
	var bomb bytes.Buffer
	z, _ := gzip.NewWriterLevel(&bomb, gzip.BestSpeed)
	for range 65 {
		z.Write(make([]byte, 1<<20))
	}
	z.Close()
	flood := bytes.Repeat([]byte(" "), 1<<16)
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		why    string
	}{
		"for ever": {func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(flood); err != nil {
					return
				}
			}
		}, "has more than"},
		"a bomb": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.Write(bomb.Bytes())
		}, "has more than"},
		"redirects": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.URL.String(), http.StatusTemporaryRedirect)
		}, "answers 307"},
		"an error": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }, "answers 500"},
		"half": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, `{"version_info": "1", "resou`)
		}, "EOF"},
		"no JSON":    {func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") }, "no JSON object"},
		"deep JSON":  {func(w http.ResponseWriter, _ *http.Request) { w.Write(bytes.Repeat([]byte("["), 1<<20)) }, "no JSON object"},
		"a list":     {func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"resources": {}}`) }, "are no list"},
		"a response": {func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"versionInfo": 1}`) }, "no DiscoveryResponse"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := modes()[len(modes())-1]
			s := serveBadly(t, answering(c.answer))
			p := Run(t, m, endpoint(s.address), static)
			p.Eventually("a failure", func() bool {
				p.mu.Lock()
				defer p.mu.Unlock()
				for _, o := range p.outcomes {
					if o.Err != nil && strings.Contains(o.Err.Error(), c.why) {
						return true
					}
				}
				return false
			})
			if got := get(p.Address("own")); got != "200 own" {
				t.Error(got)
			}
			p.Eventually("it is counted", func() bool { return p.Stat("cluster_manager.cds.update_failure") >= 1 })
		})
	}
}

// TestSilence meets somebody who takes the connection and says nothing: what may be waited for is, and then the proxy is ready with what it has.
func TestSilence(t *testing.T) {
	for name, behave := range map[string]func(net.Conn){
		"nothing at all": func(c net.Conn) { io.Copy(io.Discard, c) },
		"reads nothing":  nil,
		"only HTTP/2":    answering(func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }),
		"only a head":    answering(func(w http.ResponseWriter, r *http.Request) { asGRPC(w); <-r.Context().Done() }),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ended := make(chan struct{})
			if behave == nil {
				behave = func(net.Conn) { <-ended }
			}
			m := modes()[0]
			m.boot = strings.ReplaceAll(m.boot, "0s", "0.2s")
			s := serveBadly(t, behave)
			t.Cleanup(func() { close(ended) })
			p := Run(t, m, endpoint(s.address), static)
			<-s.came
			p.Ready()
			if got := get(p.Address("own")); got != "200 own" {
				t.Error(got)
			}
			if p.Stat("cluster_manager.cds.init_fetch_timeout") != 1 {
				t.Error("it is not counted")
			}
		})
	}
}

// TestTooMuch says more at once than anybody may, each time that it is asked: each time the conversation is begun again, later and later.
func TestTooMuch(t *testing.T) {
	b := besiege(t)
	<-b.raw.Opened
	huge := &discoveryv3.DiscoveryResponse{TypeUrl: clusterURL, VersionInfo: "9", Nonce: "z", Resources: []*anypb.Any{{TypeUrl: clusterURL, Value: make([]byte, 100<<20)}}}
	began := time.Now()
	for range 3 {
		b.raw.Say(huge)
		if r := b.raw.ask("Cluster", ""); r.GetVersionInfo() != "1" {
			t.Errorf("%v", r)
		}
		b.serves()
	}
	if d := time.Since(began); d < 875*time.Millisecond { // an eighth, a quarter and half of a second
		t.Errorf("it has come back three times within %v", d)
	}
	if n := b.Stat("control_plane.response_too_large"); n != 3 {
		t.Errorf("%d are counted", n)
	}
	b.raw.Say(World("10", "c", b.m.cluster("one"), b.m.cluster("two")))
	b.raw.ask("Cluster", "c")
}

// TestFlood says one thing after the other without waiting or reading what is answered: the proxy stops listening rather than keep what it would
// answer, and in the end has what was said last.
func TestFlood(t *testing.T) {
	b := besiege(t)
	before, _ := heap()
	const times = 6000
	var said atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range times {
			b.raw.Say(World(fmt.Sprint("f", i), fmt.Sprint("f", i), b.m.cluster("one", fmt.Sprintf("metadata: {filter_metadata: {x: {v: %d}}}", i)), parse(fmt.Sprintf("{name: k%d, connect_timeout: 1s}", i%50), &clusterv3.Cluster{})))
			said.Add(1)
		}
	}()
	// Nobody takes what is answered: after a while neither side goes on.
	stuck := int64(-1)
	for now := said.Load(); now != stuck && now < times; now = said.Load() {
		stuck = now
		b.serves()
		for end := time.Now().Add(300 * time.Millisecond); time.Now().Before(end) && said.Load() == now; {
			b.serves()
		}
	}
	if stuck == times {
		t.Error("all was taken though nothing could be answered")
	}
	t.Logf("%d were said", said.Load())
	if n := b.Stat("control_plane.pending_requests"); n > 200 {
		t.Errorf("%d answers wait", n)
	}
	if after, _ := heap(); after > before+100<<20 {
		t.Errorf("%d MB are kept", (after-before)>>20)
	}
	last := b.raw.ask("Cluster", fmt.Sprint("f", times-1))
	if last.GetErrorDetail() != nil {
		t.Errorf("%v", last)
	}
	<-done
	b.serves()
	if want := fmt.Sprint("k", (times-1)%50); !b.has(want) {
		t.Error("what was said last is not in force")
	}
}

// TestRefusalStorm says the same bad thing as soon as it is turned down, under the same version and under others: it is turned down ever more
// slowly, and what is good is taken at once.
func TestRefusalStorm(t *testing.T) {
	for name, version := range map[string]func(int) string{
		"same version":   func(int) string { return "2" },
		"other versions": func(i int) string { return fmt.Sprint("v", i) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := besiege(t)
			began := time.Now()
			const times = 6
			for i := range times {
				if r := b.say(World(version(i), "", b.m.cluster("one"), bad("two"))); r.GetErrorDetail() == nil {
					t.Fatal("it is taken")
				}
			}
			if d := time.Since(began); d < 1500*time.Millisecond { // 50, 100, 200, 400 and 800 ms
				t.Errorf("%d refusals within %v", times, d)
			}
			began = time.Now()
			if r := b.say(World("good", "", b.m.cluster("one"), b.m.cluster("two"))); r.GetErrorDetail() != nil || time.Since(began) > time.Second {
				t.Errorf("after %v: %v", time.Since(began), r)
			}
			b.serves()
		})
	}
	t.Run("delta", func(t *testing.T) {
		t.Parallel()
		m := mode{boot: modes()[1].boot, source: fromADS}
		raw := NewRaw(t)
		p := Run(t, m, endpoint(raw.Address), static)
		raw.changes("Cluster", "")
		began := time.Now()
		const times = 6
		for i := range times {
			nonce := fmt.Sprint("n", i)
			raw.Say(Delta(fmt.Sprint("v", i), nonce, bad("two")))
			if r := raw.changes("Cluster", nonce); r.GetErrorDetail() == nil {
				t.Fatal("it is taken")
			}
		}
		if d := time.Since(began); d < 1500*time.Millisecond {
			t.Errorf("%d refusals within %v", times, d)
		}
		// Another thing is answered at once, and each one before it.
		raw.Say(Delta("a", "a", bad("two")))
		raw.Say(Delta("b", "b", m.cluster("one")))
		if r := raw.changes("Cluster", "a"); r.GetErrorDetail() == nil {
			t.Error("it is taken")
		}
		if r := raw.changes("Cluster", "b"); r.GetErrorDetail() != nil {
			t.Errorf("%v", r)
		}
		if got := get(p.Address("own")); got != "200 own" {
			t.Error(got)
		}
	})
}

// TestLies tells of nonces, resources and removals that nobody has heard of: nothing comes of them.
func TestLies(t *testing.T) {
	m := mode{boot: modes()[1].boot, source: fromADS}
	raw := NewRaw(t)
	p := Run(t, m, endpoint(raw.Address), static)
	raw.changes("Cluster", "")
	raw.Say(Delta("1", "c", m.cluster("one")))
	raw.changes("Cluster", "c")
	raw.Say(Delta("1", "e", endpoints("one", 1)))
	raw.changes("ClusterLoadAssignment", "e")
	snapshot := p.Feed.Snapshot()
	gone := make([]string, 100_000)
	for i := range gone {
		gone[i] = fmt.Sprint("nobody", i)
	}
	for i, r := range []*discoveryv3.DeltaDiscoveryResponse{
		{TypeUrl: clusterURL, Nonce: "c", RemovedResources: []string{"two", "two", ""}},
		{TypeUrl: clusterURL, RemovedResources: gone},
		{TypeUrl: assignmentURL, Nonce: "e", RemovedResources: gone},
		Delta("2", "", endpoints("nobody", 1)),
		{TypeUrl: clusterURL, Nonce: strings.Repeat("n", 1<<20)},
	} {
		raw.Say(r)
		kind := r.TypeUrl[strings.LastIndexByte(r.TypeUrl, '.')+1:]
		if got := raw.changes(kind, r.Nonce); got.GetErrorDetail() != nil {
			t.Errorf("%d: %v", i, got)
		}
	}
	if now := p.Feed.Snapshot(); len(now.Clusters) != len(snapshot.Clusters) || now.Endpoints.Len() != snapshot.Endpoints.Len() {
		t.Error("another configuration")
	}
	if got := get(p.Address("own")); got != "200 own" {
		t.Error(got)
	}
}

// TestTimesToLive gives each of many clusters another time to live: all end, in a number of configurations that does not follow theirs.
func TestTimesToLive(t *testing.T) {
	m := mode{boot: modes()[1].boot, source: fromADS}
	raw := NewRaw(t)
	p := Run(t, m, endpoint(raw.Address), static)
	raw.changes("Cluster", "")
	const many = 20_000
	r := &discoveryv3.DeltaDiscoveryResponse{TypeUrl: clusterURL, Nonce: "c"}
	for i := range many {
		name := fmt.Sprint("k", i)
		b := append(field(1, []byte(name)), field(4, protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 1))...)
		r.Resources = append(r.Resources, &discoveryv3.Resource{Name: name, Version: "1", Ttl: durationpb.New(time.Second + time.Duration(i)*50*time.Microsecond), Resource: &anypb.Any{TypeUrl: clusterURL, Value: b}})
	}
	raw.Say(r)
	if got := raw.changes("Cluster", "c"); got.GetErrorDetail() != nil {
		t.Fatalf("%.500v", got)
	}
	p.Eventually("they are there", func() bool { return len(p.Feed.Snapshot().Clusters) > 10_000 })
	p.Eventually("all are gone", func() bool { return len(p.Feed.Snapshot().Clusters) == 1 })
	if n := p.Updates.Load(); n > 2000 {
		t.Errorf("%d configurations", n)
	}
	t.Logf("%d configurations", p.Updates.Load())
	if got := get(p.Address("own")); got != "200 own" {
		t.Error(got)
	}
}

// TestManyEndpoints are taken: it is for the control plane to say how many there are. What they cost follows how many they are.
func TestManyEndpoints(t *testing.T) {
	const many = 100_000 // and of a million, ten times that
	b := besiege(t)
	before, _ := heap()
	// ClusterLoadAssignment.cluster_name and endpoints, and of those lb_endpoints: 24 bytes each
	var list []byte
	for i := range many {
		address := append(field(2, fmt.Appendf(nil, "127.%d.%d.%d", 1+i>>16, i>>8&255, i&255)), protowire.AppendVarint(protowire.AppendTag(nil, 3, protowire.VarintType), 80)...)
		list = append(list, field(2, field(1, field(1, field(1, address))))...)
	}
	r := b.say(response(assignmentURL, append(field(1, []byte("one")), field(2, list)...)))
	if r.GetErrorDetail() != nil {
		t.Fatalf("%.300v", r)
	}
	after, _ := heap()
	t.Logf("%d MB of bytes, %d MB are kept", len(list)>>20, (after-before)>>20)
	if after > before+many*2<<10 {
		t.Errorf("%d MB are kept", (after-before)>>20)
	}
	a := upstream(t, "a")
	if r := b.say(World("3", "", endpoints("one", a))); r.GetErrorDetail() != nil {
		t.Fatalf("%.300v", r)
	}
	b.Eventually("the next one serves", func() bool { return get(b.Address("l")) == "200 a" })
}
