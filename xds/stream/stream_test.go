package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	"github.com/weftmesh/weft/rpc"
	"github.com/weftmesh/weft/telemetry"
)

const (
	clusters  = "envoy.config.cluster.v3.Cluster"
	endpoints = "envoy.config.endpoint.v3.ClusterLoadAssignment"
)

// script is a control plane that says what a test says, without a network.
type script struct {
	mu    sync.Mutex
	fails []error // of the attempts to reach it, one after the other; then it is reached
	at    []time.Time
	sent  []string // what it was told, on all connections
	says  chan *Response
	ends  chan error
}

type line struct {
	*script
	ended chan struct{}
}

func (s *script) contact(context.Context) (conversation, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at = append(s.at, time.Now())
	if len(s.fails) > 0 {
		err := s.fails[0]
		s.fails = s.fails[1:]
		return nil, err
	}
	s.sent = append(s.sent, "connected")
	return &line{s, make(chan struct{})}, nil
}

func (l *line) send(m any) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent = append(l.sent, show(m))
	return nil
}

func (l *line) receive() (*Response, error) {
	select {
	case r := <-l.says:
		return r, nil
	case err := <-l.ends:
		return nil, err
	case <-l.ended:
		return nil, context.Canceled
	}
}

func (l *line) close() { close(l.ended) }

func (s *script) told() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.sent
	s.sent = nil
	return out
}

// show writes a request in a line.
func show(m any) string {
	kind := func(url string) string { return url[strings.LastIndexByte(url, '.')+1:] }
	var b strings.Builder
	add := func(name string, v any) {
		if text := fmt.Sprint(v); text != "" && text != "[]" && text != "map[]" {
			fmt.Fprintf(&b, " %s=%s", name, text)
		}
	}
	switch m := m.(type) {
	case *discoveryv3.DiscoveryRequest:
		b.WriteString(kind(m.GetTypeUrl()))
		add("names", m.GetResourceNames())
		add("version", m.GetVersionInfo())
		add("nonce", m.GetResponseNonce())
		add("node", m.GetNode().GetId())
		add("error", m.GetErrorDetail().GetMessage())
	case *discoveryv3.DeltaDiscoveryRequest:
		b.WriteString(kind(m.GetTypeUrl()))
		add("subscribe", m.GetResourceNamesSubscribe())
		add("unsubscribe", m.GetResourceNamesUnsubscribe())
		add("versions", m.GetInitialResourceVersions())
		add("nonce", m.GetResponseNonce())
		add("node", m.GetNode().GetId())
		add("error", m.GetErrorDetail().GetMessage())
	}
	return b.String()
}

func names(list ...string) map[string]bool {
	out := map[string]bool{}
	for _, n := range list {
		out[n] = true
	}
	return out
}

func packed(t *testing.T, m proto.Message) *anypb.Any {
	t.Helper()
	a, err := anypb.New(m)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// converse runs a stream against a script, inside a bubble of time.
func converse(t *testing.T, o Options, f func(s *Stream, plane *script, heard func() []Event)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var events []Event
		o.Node = &corev3.Node{Id: "me"}
		o.Hear = func(_ context.Context, e Event) {
			mu.Lock()
			defer mu.Unlock()
			events = append(events, e)
		}
		s := New(o)
		plane := &script{says: make(chan *Response), ends: make(chan error)}
		s.contacts = plane.contact
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		run := func() {
			go func() {
				defer close(done)
				s.Run(ctx)
			}()
		}
		f2 := func() []Event {
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			out := events
			events = nil
			return out
		}
		s.Want(clusters, true, nil)
		run()
		synctest.Wait()
		f(s, plane, f2)
		cancel()
		<-done
	})
}

func want(t *testing.T, plane *script, lines ...string) {
	t.Helper()
	synctest.Wait()
	if got := plane.told(); !slices.Equal(got, lines) {
		t.Errorf("told\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(lines, "\n"))
	}
}

// TestWorld asks for the state of the world, takes it, turns it down and begins again.
func TestWorld(t *testing.T) {
	converse(t, Options{Once: true}, func(s *Stream, plane *script, heard func() []Event) {
		want(t, plane, "connected", "Cluster node=me")
		plane.says <- ofWorld(t, &discoveryv3.DiscoveryResponse{VersionInfo: "1", Nonce: "a", TypeUrl: typePrefix + clusters, Resources: []*anypb.Any{packed(t, &clusterv3.Cluster{Name: "x"})}})
		r := heard()[0].Response
		if !r.Whole || r.Resources[0].Name != "x" || r.Resources[0].Version != "1" {
			t.Errorf("%+v", r)
		}
		s.Want(endpoints, false, names("x", "y"))
		s.Answer(r, nil, "")
		want(t, plane, "ClusterLoadAssignment names=[x y]", "Cluster version=1 nonce=a")

		// turned down: the version stays
		plane.says <- ofWorld(t, &discoveryv3.DiscoveryResponse{VersionInfo: "2", Nonce: "b", TypeUrl: typePrefix + clusters})
		s.Answer(heard()[0].Response, names("x"), "no")
		want(t, plane, "Cluster version=1 nonce=b error=no")

		// the same again is answered after a pause, and after a longer one
		for _, pause := range []time.Duration{firstRefusal, 2 * firstRefusal} {
			plane.says <- ofWorld(t, &discoveryv3.DiscoveryResponse{VersionInfo: "2", Nonce: "b2", TypeUrl: typePrefix + clusters})
			s.Answer(heard()[0].Response, names("x"), "no")
			time.Sleep(pause - time.Millisecond)
			want(t, plane)
			time.Sleep(time.Millisecond)
			want(t, plane, "Cluster version=1 nonce=b2 error=no")
		}

		// what is wanted changes, of which only the last counts; the same again is not said
		s.Want(endpoints, false, names("x"))
		s.Want(endpoints, false, names("x"))
		want(t, plane, "ClusterLoadAssignment names=[x]")
		plane.says <- ofWorld(t, &discoveryv3.DiscoveryResponse{VersionInfo: "3", Nonce: "b3", TypeUrl: typePrefix + clusters})
		s.Answer(heard()[0].Response, names("x"), "neither")
		want(t, plane, "Cluster version=1 nonce=b3 error=neither")
		s.Want(endpoints, false, nil)
		want(t, plane, "ClusterLoadAssignment")

		// another connection: nothing is asked for that nobody needs, and an answer to what was said on the last one is not given
		plane.says <- ofWorld(t, &discoveryv3.DiscoveryResponse{VersionInfo: "3", Nonce: "c", TypeUrl: typePrefix + clusters})
		late := heard()[0].Response
		plane.ends <- errors.New("gone")
		time.Sleep(lastPause)
		want(t, plane, "connected", "Cluster version=1 node=me")
		s.Answer(late, nil, "")
		want(t, plane)
	})
}

// TestDelta asks for changes: names come and go, answers ask for nothing, and a new connection says what is known.
func TestDelta(t *testing.T) {
	converse(t, Options{Delta: true}, func(s *Stream, plane *script, heard func() []Event) {
		want(t, plane, "connected", "Cluster node=me")
		plane.says <- ofDelta(t, &discoveryv3.DeltaDiscoveryResponse{Nonce: "a", TypeUrl: typePrefix + clusters, Resources: []*discoveryv3.Resource{
			{Name: "x", Version: "1", Resource: packed(t, &clusterv3.Cluster{Name: "x"})}, {Name: "y", Version: "2", Resource: packed(t, &clusterv3.Cluster{Name: "y"})},
			{Name: "z", Version: "3", Resource: packed(t, &clusterv3.Cluster{Name: "z"})},
		}})
		r := heard()[0].Response
		s.Want(endpoints, false, names("x", "y"))
		s.Answer(r, names("y"), "y is wrong")
		want(t, plane, "ClusterLoadAssignment subscribe=[x y] node=me", "Cluster nonce=a node=me error=y is wrong")
		plane.says <- ofDelta(t, &discoveryv3.DeltaDiscoveryResponse{Nonce: "b", TypeUrl: typePrefix + clusters, RemovedResources: []string{"z"}})
		s.Answer(heard()[0].Response, nil, "")
		want(t, plane, "Cluster nonce=b node=me")

		// names that come and names that go
		s.Want(endpoints, false, names("y", "z"))
		want(t, plane, "ClusterLoadAssignment subscribe=[z] unsubscribe=[x] node=me")

		plane.ends <- errors.New("gone")
		time.Sleep(lastPause)
		want(t, plane, "connected", "Cluster versions=map[x:1] node=me", "ClusterLoadAssignment subscribe=[y z] node=me")

		// what has outlived its time is not known any longer
		s.Forget(clusters, "x")
		plane.ends <- errors.New("gone")
		time.Sleep(lastPause)
		want(t, plane, "connected", "Cluster node=me", "ClusterLoadAssignment subscribe=[y z] node=me")
	})
}

// TestPauses grow from half a second to half a minute, at random, and begin anew with what was heard; but not if it was too much.
// TestHealth has a stream say how the workload does, and say it again on each connection.
func TestHealth(t *testing.T) {
	for _, delta := range []bool{false, true} {
		converse(t, Options{Delta: delta}, func(s *Stream, plane *script, _ func() []Event) {
			want(t, plane, "connected", "Cluster node=me")
			s.Health("the port is closed")
			want(t, plane, "HealthInformation node=me error=the port is closed")
			plane.ends <- errors.New("gone")
			synctest.Wait()
			s.Health("the port is still closed")
			s.Health("") // of what is to be said, the last
			time.Sleep(lastPause)
			want(t, plane, "connected", "Cluster node=me", "HealthInformation node=me")
		})
	}
}

func TestPauses(t *testing.T) {
	stats := telemetry.NewStore(0)
	counted := stats.Acquire(Stats, "control_plane.")
	converse(t, Options{Stats: counted.Loop(0)}, func(_ *Stream, plane *script, heard func() []Event) {
		pauses := func(n int, fail error) (out []time.Duration) {
			plane.mu.Lock()
			plane.at = []time.Time{time.Now()}
			for range n - 1 {
				plane.fails = append(plane.fails, fail)
			}
			plane.mu.Unlock()
			plane.ends <- fail
			time.Sleep(time.Duration(n) * lastPause)
			synctest.Wait()
			for i := 1; i < len(plane.at); i++ {
				out = append(out, plane.at[i].Sub(plane.at[i-1]))
			}
			return out
		}
		check := func(got []time.Duration, first time.Duration) {
			t.Helper()
			for i, d := range got {
				span := min(first<<i, lastPause)
				if d < span/4 || d > span {
					t.Errorf("pause %d is %v: want %v to %v", i, d, span/4, span)
				}
			}
		}
		got := pauses(10, errors.New("unreachable"))
		if len(got) != 10 {
			t.Fatalf("%d attempts", len(got))
		}
		check(got, firstPause)
		if len(heard()) != 10 {
			t.Error("failures are not told")
		}
		plane.says <- &Response{Message: clusters}
		check(pauses(3, errors.New("unreachable")), firstPause)
		plane.says <- &Response{Message: clusters}
		large := error(&rpc.TooLarge{Text: "a message has 5 bytes: want 4 at most"})
		check(pauses(1, large), 8*firstPause)
		if n := counted.Sum(tooLarge); n != 1 {
			t.Errorf("%d responses were too large", n)
		}
		if n := counted.Sum(connectedState); n != 1 {
			t.Errorf("connected_state is %d", n)
		}
	})
}

// TestUnread stops to listen to a control plane that does not read.
func TestUnread(t *testing.T) {
	s := New(Options{})
	s.up, s.kinds[clusters] = true, &kind{all: true, versions: map[string]string{}}
	for i := range maxQueue {
		s.push(request{message: clusters, answer: true, nonce: fmt.Sprint(i)})
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if s.room(ctx, nil) {
		t.Error("there is room in a full queue")
	}
	s.pop()
	if !s.room(ctx, nil) {
		t.Error("there is no room")
	}
}

// TestEnvelopes opens what resources come in.
func TestEnvelopes(t *testing.T) {
	x := packed(t, &clusterv3.Cluster{Name: "x"})
	r := ofWorld(t, &discoveryv3.DiscoveryResponse{VersionInfo: "1", TypeUrl: typePrefix + clusters, Resources: []*anypb.Any{
		x,
		packed(t, &discoveryv3.Resource{Name: "x", Version: "7", Resource: x, Ttl: durationpb.New(time.Second)}),
		packed(t, &discoveryv3.Resource{Name: "x", Ttl: durationpb.New(time.Second)}),
		packed(t, &discoveryv3.Resource{Name: "x"}),
		packed(t, &discoveryv3.Resource{Name: "y", Resource: x}),
		{TypeUrl: typePrefix + endpoints},
		{TypeUrl: typePrefix + clusters, Value: []byte{0xff}},
		{TypeUrl: typePrefix + "envoy.service.discovery.v3.Resource", Value: []byte{0xff}},
	}})
	for i, want := range []struct {
		name, version, err string
		ttl                time.Duration
		renewal            bool
	}{
		{name: "x", version: "1"},
		{name: "x", version: "7", ttl: time.Second},
		{name: "x", ttl: time.Second, renewal: true},
		{name: "x", err: "a resource is missing"},
		{name: "y", err: `its envelope calls it "y"`},
		{err: "want a resource of type"},
		{err: "wire format"},
		{err: "not a Resource"},
	} {
		got := r.Resources[i]
		if got.Err == nil {
			got.Err = errors.New("")
		}
		if got.Name != want.name || got.TTL != want.ttl || got.Renewal != want.renewal || want.err == "" && got.Version != want.version ||
			!strings.Contains(got.Err.Error(), want.err) || want.err == "" && got.Err.Error() != "" {
			t.Errorf("%d: %+v", i, got)
		}
	}
}

// TestOtherFields of a response are gone over: a control plane tells more of itself than is asked, in as many bytes as it likes.
func TestOtherFields(t *testing.T) {
	who := &corev3.ControlPlane{Identifier: strings.Repeat("istiod ", 40)}
	r := ofWorld(t, &discoveryv3.DiscoveryResponse{VersionInfo: "1", Canary: true, Nonce: "n", TypeUrl: typePrefix + clusters, ControlPlane: who,
		Resources: []*anypb.Any{packed(t, &clusterv3.Cluster{Name: "x"})}})
	if len(r.Removed) > 0 || len(r.Resources) != 1 || r.Resources[0].Name != "x" || r.Resources[0].Err != nil || !r.Whole {
		t.Errorf("%+v", r)
	}
	r = ofDelta(t, &discoveryv3.DeltaDiscoveryResponse{SystemVersionInfo: "1", Nonce: "n", TypeUrl: typePrefix + clusters, ControlPlane: who, RemovedResources: []string{"a", "b"},
		Resources: []*discoveryv3.Resource{{Name: "x", Version: "2", Resource: packed(t, &clusterv3.Cluster{Name: "x"}), CacheControl: &discoveryv3.Resource_CacheControl{DoNotCache: true}}}})
	if !slices.Equal(r.Removed, []string{"a", "b"}) || len(r.Resources) != 1 || r.Resources[0].Version != "2" || r.Whole {
		t.Errorf("%+v", r)
	}
}

// FuzzResponse reads responses as protobuf's own reader does.
func FuzzResponse(f *testing.F) {
	add := func(m proto.Message, delta bool) {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, delta)
	}
	x, err := anypb.New(&clusterv3.Cluster{Name: "x"})
	if err != nil {
		f.Fatal(err)
	}
	add(&discoveryv3.DiscoveryResponse{VersionInfo: "1", Nonce: "n", TypeUrl: typePrefix + clusters, ControlPlane: &corev3.ControlPlane{Identifier: strings.Repeat("i", 200)}, Resources: []*anypb.Any{x}}, false)
	add(&discoveryv3.DeltaDiscoveryResponse{SystemVersionInfo: "1", Nonce: "n", TypeUrl: typePrefix + clusters, RemovedResources: []string{"a"}, Resources: []*discoveryv3.Resource{{Name: "x", Resource: x}}}, true)
	f.Fuzz(func(t *testing.T, b []byte, delta bool) {
		r, err := readResponse(b, delta)
		if delta {
			m := &discoveryv3.DeltaDiscoveryResponse{}
			if proto.Unmarshal(b, m) != nil {
				return
			}
			if err != nil || r.Version != m.GetSystemVersionInfo() || r.nonce != m.GetNonce() || !slices.Equal(r.Removed, m.GetRemovedResources()) || len(r.Resources) != len(m.GetResources()) {
				t.Fatalf("%v: %+v\n%v", err, r, m)
			}
			return
		}
		m := &discoveryv3.DiscoveryResponse{}
		if proto.Unmarshal(b, m) != nil {
			return
		}
		if err != nil || r.Version != m.GetVersionInfo() || r.nonce != m.GetNonce() || r.Removed != nil || len(r.Resources) != len(m.GetResources()) {
			t.Fatalf("%v: %+v\n%v", err, r, m)
		}
	})
}

// TestReason is bounded.
func TestReason(t *testing.T) {
	if n := len(reason(strings.Repeat("ä", maxReason)).GetMessage()); n > maxReason+100 {
		t.Error(n)
	}
}

// ofWorld and ofDelta read responses as they come.
func ofWorld(t *testing.T, m *discoveryv3.DiscoveryResponse) *Response { return readAgain(t, m, false) }

func ofDelta(t *testing.T, m *discoveryv3.DeltaDiscoveryResponse) *Response {
	return readAgain(t, m, true)
}

func readAgain(t *testing.T, m proto.Message, delta bool) *Response {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	r, err := readResponse(b, delta)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// deaf is a control plane that talks and does not read, until what is sent to it is given up.
type deaf struct {
	says  int
	stuck chan struct{}
}

func (d *deaf) send(any) error {
	time.Sleep(time.Minute)
	select {
	case <-d.stuck:
	default:
		close(d.stuck)
	}
	return errors.New("stuck")
}

func (d *deaf) receive() (*Response, error) {
	select {
	case <-d.stuck:
		return nil, errors.New("it does not read")
	default:
	}
	if d.says++; d.says > 10*maxQueue {
		<-d.stuck
		return nil, errors.New("it does not read")
	}
	return &Response{Message: clusters, Version: fmt.Sprint(d.says), Whole: true}, nil
}

func (d *deaf) close() {}

// A control plane that talks and does not read is left, and come back to.
func TestWhoDoesNotReadIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s *Stream
		var mu sync.Mutex
		var why []string
		s = New(Options{Node: &corev3.Node{Id: "me"}, Hear: func(_ context.Context, e Event) {
			if e.Response != nil {
				s.Answer(e.Response, nil, "")
				return
			}
			mu.Lock()
			defer mu.Unlock()
			why = append(why, e.Err.Error())
		}})
		s.contacts = func(context.Context) (conversation, error) { return &deaf{stuck: make(chan struct{})}, nil }
		s.Want(clusters, true, nil)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { s.Run(ctx); close(done) }()
		time.Sleep(5 * time.Minute)
		mu.Lock()
		if len(why) < 3 || why[0] != "it does not read" {
			t.Errorf("in five minutes it was left %d times: %q", len(why), why)
		}
		mu.Unlock()
		cancel()
		time.Sleep(2 * time.Minute)
		<-done
	})
}
