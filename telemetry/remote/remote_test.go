package remote

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/telemetry/accesslog"
	"github.com/weftmesh/weft/wire/http"
)

// server keeps what it is sent. It can be away, or not listen.
type server struct {
	accesslogv3.UnimplementedAccessLogServiceServer
	t       *testing.T
	address string
	grpc    *grpc.Server

	mu       sync.Mutex
	streams  []*accesslogv3.StreamAccessLogsMessage_Identifier // of the first messages
	messages []*accesslogv3.StreamAccessLogsMessage
	deaf     chan struct{} // not nil: nothing is read before it is closed
}

func newServer(t *testing.T) *server {
	s := &server{t: t, address: "127.0.0.1:0"}
	s.start()
	t.Cleanup(func() { s.grpc.Stop() })
	return s
}

func (s *server) start() {
	s.t.Helper()
	l, err := net.Listen("tcp", s.address)
	if err != nil {
		s.t.Fatal(err)
	}
	s.address = l.Addr().String()
	s.grpc = grpc.NewServer()
	accesslogv3.RegisterAccessLogServiceServer(s.grpc, s)
	go s.grpc.Serve(l)
}

func (s *server) StreamAccessLogs(stream accesslogv3.AccessLogService_StreamAccessLogsServer) error {
	if s.deaf != nil {
		<-s.deaf
	}
	for first := true; ; first = false {
		m, err := stream.Recv()
		if err != nil {
			return nil
		}
		s.mu.Lock()
		if first {
			s.streams = append(s.streams, m.GetIdentifier())
		}
		s.messages = append(s.messages, m)
		s.mu.Unlock()
	}
}

// paths are those of all entries that came, in order.
func (s *server) paths() (list []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.messages {
		for _, e := range m.GetHttpLogs().GetLogEntry() {
			list = append(list, e.GetRequest().GetPath())
		}
	}
	return list
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for over, tick := time.Now().Add(20*time.Second), time.NewTicker(time.Millisecond); !ok(); <-tick.C {
		if time.Now().After(over) {
			t.Fatalf("no %s", what)
		}
	}
}

// world are loggers of two loops with a cluster, "logs".
type world struct {
	*Loggers
	store    *telemetry.Store
	mu       sync.Mutex
	snapshot *config.Snapshot
}

func newWorld(t *testing.T, address string) *world {
	w := &world{store: telemetry.NewStore(2)}
	w.point(address)
	node, err := proto.Marshal(&corev3.Node{Id: "one"})
	if err != nil {
		t.Fatal(err)
	}
	w.Loggers = New(Options{Loops: 2, Stats: w.store, Node: node, Snapshot: func() *config.Snapshot {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.snapshot
	}})
	t.Cleanup(w.Close)
	return w
}

// point has the cluster's endpoint be elsewhere; with no address there is no cluster.
func (w *world) point(address string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.snapshot = &config.Snapshot{}
	if address == "" {
		return
	}
	w.snapshot.Clusters = []*config.Cluster{{Name: "logs", Type: config.EDS, ServiceName: "s", ConnectTimeout: time.Second}}
	w.snapshot.Endpoints = config.NewAssignments(map[string]*config.Assignment{"s": {Endpoints: []*config.Endpoint{{Address: config.Address{AddrPort: netip.MustParseAddrPort(address)}}}}})
}

func (w *world) count(row int) int64 { return w.stats.Sum(row) }

func entry(path string) *accesslog.Entry {
	e := &accesslog.Entry{Request: &http.Request{}, Response: &http.Response{}, HasProtocol: true, Protocol: http.HTTP11, Status: 200, Start: time.Now(), End: time.Second}
	e.Request.SetMethod([]byte("GET"))
	e.Request.SetPath([]byte(path))
	return e
}

func TestTheServerComesAndGoes(t *testing.T) {
	w := newWorld(t, "")
	log := w.Open(&config.RemoteLog{Name: "l", Cluster: "logs", Interval: time.Millisecond, Size: 1 << 14})
	log.Write(0, entry("/before"))
	s := newServer(t)
	w.point(s.address) // a cluster that comes later
	eventually(t, "entry", func() bool { return len(s.paths()) == 1 })
	s.grpc.Stop()
	log.Write(1, entry("/away")) // it may be lost: nobody has said that the server is not there
	var sent []string
	s.start()
	eventually(t, "entry after the server is back", func() bool {
		sent = append(sent, "/again")
		log.Write(0, entry("/again"))
		list := s.paths()
		return list[len(list)-1] == "/again"
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.streams) != 2 {
		t.Errorf("%d streams: want 2", len(s.streams))
	}
	for i, id := range s.streams {
		if id.GetLogName() != "l" || id.GetNode().GetId() != "one" {
			t.Errorf("stream %d begins with %v", i, id)
		}
	}
	named := 0
	for _, m := range s.messages {
		if m.GetIdentifier() != nil {
			named++
		}
	}
	if named != 2 {
		t.Errorf("%d messages say who speaks: want the first of each stream", named)
	}
	if n := w.count(LogsDropped); n != 0 {
		t.Errorf("%d entries were dropped", n)
	}
	if n := w.count(LogsWritten); n != int64(2+len(sent)) {
		t.Errorf("%d entries were written, not %d", n, 2+len(sent))
	}
}

// TestNobodyListens: what does not fit is dropped and counted, and whoever logs goes on.
func TestNobodyListens(t *testing.T) {
	s := newServer(t)
	s.deaf = make(chan struct{})
	w := newWorld(t, s.address)
	log := w.Open(&config.RemoteLog{Name: "l", Cluster: "logs", Interval: time.Millisecond, Size: 1 << 10})
	e := entry("/" + string(bytes.Repeat([]byte("a"), 8<<10)))
	n := 0
	for ; w.count(LogsDropped) < 10; n++ {
		if n > 4096 { // 32 MiB
			t.Fatal("nothing is dropped")
		}
		log.Write(0, e)
	}
	for i := range w.loggers {
		for j := range w.loggers[i].buffers {
			b := &w.loggers[i].buffers[j]
			b.mu.Lock()
			if len(b.entries) > maxBuffered+16<<10 {
				t.Errorf("%d bytes wait", len(b.entries))
			}
			b.mu.Unlock()
		}
	}
	written := w.count(LogsWritten)
	if written+w.count(LogsDropped) != int64(n) {
		t.Errorf("%d entries were written and %d dropped, of %d", written, w.count(LogsDropped), n)
	}
	close(s.deaf)
	eventually(t, "entries", func() bool { return int64(len(s.paths())) == written })
}

func TestBatches(t *testing.T) {
	s := newServer(t)
	w := newWorld(t, "")
	size := uint32(1 << 10)
	log := w.Open(&config.RemoteLog{Name: "l", Cluster: "logs", Interval: time.Hour, Size: size})
	same := w.Open(&config.RemoteLog{Name: "l", Cluster: "logs", Interval: time.Hour, Size: size, RequestHeaders: []string{"x"}})
	for i := range 100 {
		log.Write(i%3, entry(fmt.Sprintf("/%d", i)))
		same.Write(i%3, entry(fmt.Sprintf("/%d", i)))
	}
	w.point(s.address)
	eventually(t, "entries", func() bool { return len(s.paths()) > 100 })
	w.Close() // which sends what is left, though the interval is not over
	if n := len(s.paths()); n != 200 {
		t.Errorf("%d entries came: want 200", n)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.streams) != 1 {
		t.Errorf("%d streams: want one for both logs", len(s.streams))
	}
	for i, m := range s.messages {
		entries := m.GetHttpLogs().GetLogEntry()
		bytes := 0
		for _, e := range entries[:len(entries)-1] {
			bytes += proto.Size(e)
		}
		if bytes >= int(size) {
			t.Errorf("message %d has %d bytes before its last entry", i, bytes)
		}
	}
}

func TestNothingIsAllocated(t *testing.T) {
	w := newWorld(t, "")
	f, err := accesslog.Parse("%REQ(x-a)%", accesslog.Options{OmitEmpty: true})
	if err != nil {
		t.Fatal(err)
	}
	s := w.Open(&config.RemoteLog{Name: "l", Cluster: "logs", Interval: time.Hour, Size: 1 << 20, State: []string{"s"}, Tags: []config.LogTag{{Name: "t", Format: f, Otherwise: "-"}}, RequestHeaders: []string{"x-a"}}).(*sink)
	e := entry("/path")
	e.Request.AddNamed([]byte("x-a"), []byte("value"))
	e.Remote, e.Local, e.UpstreamHost = netip.MustParseAddrPort("127.0.0.1:1"), netip.MustParseAddrPort("[::1]:2"), netip.MustParseAddrPort("127.0.0.1:3")
	e.Metadata = config.Metadata{"m": {"k": "v", "l": 4.5}}
	e.State = []config.State{{Name: "s", Value: "v"}}
	e.Flags = accesslog.NoRouteFound
	b := &s.buffers[0]
	s.Write(0, e)
	if n := testing.AllocsPerRun(100, func() {
		s.Write(0, e)
		b.mu.Lock()
		b.entries = b.entries[:0]
		b.mu.Unlock()
	}); n != 0 {
		t.Errorf("%v allocations for an entry", n)
	}
}

func TestWire(t *testing.T) {
	for _, n := range []int{0, 1, 127, 128, 300, 16383, 16384, 70000} {
		dst, at := open([]byte("x"), 2)
		dst = end(text(dst, 2, string(bytes.Repeat([]byte("a"), n))), at)
		var m accesslogv3.StreamAccessLogsMessage_Identifier
		_, _, tag := protowire.ConsumeTag(dst[1:])
		inner, size := protowire.ConsumeBytes(dst[1+tag:])
		if err := proto.Unmarshal(inner, &m); err != nil || len(m.GetLogName()) != n || 1+tag+size != len(dst) {
			t.Errorf("%d bytes: %d, %v", n, len(m.GetLogName()), err)
		}
	}
	if got := clean([]byte("a\xffb\xc3\xa9\xed\xa0\x80"), 0); string(got) != "a!b\u00e9!!!" {
		t.Errorf("%q", got)
	}
}

func BenchmarkWrite(b *testing.B) {
	store := telemetry.NewStore(1)
	l := New(Options{Loops: 1, Stats: store, Snapshot: func() *config.Snapshot { return &config.Snapshot{} }})
	defer l.Close()
	s := l.Open(&config.RemoteLog{Name: "l", Cluster: "logs", Interval: time.Hour, Size: 1 << 20}).(*sink)
	e := entry("/path")
	e.Remote, e.Local, e.UpstreamHost = netip.MustParseAddrPort("127.0.0.1:1"), netip.MustParseAddrPort("127.0.0.1:2"), netip.MustParseAddrPort("127.0.0.1:3")
	b.ReportAllocs()
	for b.Loop() {
		s.Write(0, e)
		s.buffers[0].entries = s.buffers[0].entries[:0]
	}
}

// Whoever takes a connection and does not speak, as a proxy before a dead server, gets no entries: they wait for one who does.
func TestWhoDoesNotSpeakGetsNothing(t *testing.T) {
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	go func() {
		for {
			c, err := mute.Accept()
			if err != nil {
				return
			}
			time.AfterFunc(20*time.Millisecond, func() { c.Close() })
		}
	}()
	w := newWorld(t, mute.Addr().String())
	s := newServer(t)
	w.mu.Lock()
	to := w.snapshot.Endpoints.Get("s")
	w.mu.Unlock()
	w.point(s.address)
	w.mu.Lock()
	to = &config.Assignment{Endpoints: append(to.Endpoints, w.snapshot.Endpoints.Get("s").Endpoints...)}
	w.snapshot.Endpoints = config.NewAssignments(map[string]*config.Assignment{"s": to})
	w.mu.Unlock()
	log := w.Open(&config.RemoteLog{Name: "l", Cluster: "logs", Interval: time.Millisecond, Size: 1 << 14})
	log.Write(0, entry("/first"))
	eventually(t, "entry", func() bool { return len(s.paths()) == 1 })
}
