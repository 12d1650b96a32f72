package push

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	"github.com/weftmesh/weft/control/source"
	"github.com/weftmesh/weft/rpc/serve"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/xds/server"
)

// deadline bounds every wait of these tests.
const deadline = 20 * time.Second

// lines is a log that can be read.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.text.String(), text)
}

// plane is a Push behind a server.
type plane struct {
	*Push
	t     testing.TB
	ctx   context.Context
	addr  string
	log   *lines
	stats *telemetry.Owner
}

func newPlane(t testing.TB, sources ...string) *plane {
	t.Helper()
	return newPlaneWith(t, Options{Sources: sources})
}

func newPlaneWith(t testing.TB, o Options) *plane {
	t.Helper()
	pl := &plane{t: t, log: &lines{}, stats: telemetry.NewStore(1).Acquire(Stats, "push")}
	o.Log, o.Stats = slog.New(slog.NewTextHandler(pl.log, nil)), pl.stats.Loop(0)
	pl.Push = New(o)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	pl.ctx = ctx
	go func() {
		defer close(done)
		pl.Run(ctx)
	}()
	t.Cleanup(func() { cancel(); <-done })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	pl.addr = l.Addr().String()
	g := serve.New(server.Transport())
	server.New(server.Options{Control: pl.Push}).Register(g)
	go g.Serve(l)
	t.Cleanup(g.Stop)
	return pl
}

// tell has a source say that these objects are there.
func (pl *plane) tell(name, yaml string, problems ...source.Problem) {
	pl.t.Helper()
	c := source.Read([]byte(yaml), source.Origin{Source: name, File: "f.yaml"})
	if len(c.Problems) > 0 {
		pl.t.Fatal(Say(c.Problems[0]))
	}
	b := source.Batch{Problems: problems}
	for _, o := range c.Objects {
		b.Changes = append(b.Changes, source.Change{Key: o.Key, Object: o})
	}
	pl.Tell(pl.ctx, name, b)
}

// entry is a service outside the mesh, at that address.
func entry(name, address string) string {
	return fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: %s, namespace: a}
spec:
  hosts: [%[1]s.test]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}]
  endpoints: [{address: %s}]
---`, name, address)
}

// client is a proxy that says little.
type client struct {
	t      testing.TB
	stream discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesClient
	got    chan *discoveryv3.DeltaDiscoveryResponse
}

func (pl *plane) client(id string) *client {
	pl.t.Helper()
	conn, err := grpc.NewClient(pl.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		pl.t.Fatal(err)
	}
	pl.t.Cleanup(func() { conn.Close() })
	c := &client{t: pl.t, got: make(chan *discoveryv3.DeltaDiscoveryResponse, 16)}
	if c.stream, err = discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(pl.ctx); err != nil {
		pl.t.Fatal(err)
	}
	go func() {
		for {
			m, err := c.stream.Recv()
			if err != nil {
				close(c.got)
				return
			}
			c.got <- m
		}
	}()
	meta, _ := structpb.NewStruct(map[string]any{"NAMESPACE": "a", "DNS_CAPTURE": "true"})
	c.stream.Send(&discoveryv3.DeltaDiscoveryRequest{Node: &corev3.Node{Id: id, Metadata: meta}, TypeUrl: clusters})
	return c
}

const clusters = "type.googleapis.com/envoy.config.cluster.v3.Cluster"

// next is the next response, and takes it.
func (c *client) next() *discoveryv3.DeltaDiscoveryResponse {
	c.t.Helper()
	select {
	case m, ok := <-c.got:
		if !ok {
			c.t.Fatal("the stream has ended")
		}
		c.stream.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: m.TypeUrl, ResponseNonce: m.Nonce})
		return m
	case <-time.After(deadline):
		c.t.Fatal("nothing has come")
		return nil
	}
}

func names(m *discoveryv3.DeltaDiscoveryResponse) string {
	var list []string
	for _, r := range m.Resources {
		if strings.HasPrefix(r.Name, "outbound") {
			list = append(list, r.Name)
		}
	}
	return strings.Join(list, " ")
}

func (pl *plane) eventually(what string, f func(Status) bool) {
	pl.t.Helper()
	end := time.Now().Add(deadline)
	for tick := time.NewTicker(time.Millisecond); !f(pl.Status()); <-tick.C {
		if time.Now().After(end) {
			pl.t.Fatalf("not within %v: %s\n%+v", deadline, what, pl.Status())
		}
	}
}

const sidecar = "sidecar~10.0.0.1~one.a~a.svc.cluster.local"

func TestNobodyIsToldOfHalfAMesh(t *testing.T) {
	pl := newPlane(t, "files", "others")
	c := pl.client(sidecar)
	pl.tell("files", entry("x", "10.9.9.1"))
	pl.eventually("one of the two has told", func(s Status) bool { return len(s.Awaits) == 1 && s.Awaits[0] == "others" && len(s.Proxies) == 1 })
	select {
	case m := <-c.got:
		t.Fatalf("somebody is told: %v", m)
	default:
	}
	select {
	case <-pl.Readied():
		t.Error("it is ready")
	default:
	}
	pl.tell("others", entry("y", "10.9.9.2"))
	if got, want := names(c.next()), "outbound|80||x.test outbound|80||y.test"; got != want {
		t.Errorf("told of %q, want %q", got, want)
	}
	pl.eventually("all is answered", func(s Status) bool { return s.Proxies[0].Synced })
	if s := pl.Status(); s.Objects["ServiceEntry"] != 2 || s.Proxies[0].ID != "one.a" || s.Proxies[0].Kinds[0].Kind != "clusters" {
		t.Errorf("%+v", s)
	}
}

func TestAChangeIsToldToWhomItConcerns(t *testing.T) {
	pl := newPlane(t, "files")
	pl.tell("files", entry("x", "10.9.9.1"))
	c, d := pl.client(sidecar), pl.client("sidecar~10.0.0.2~two.a~a.svc.cluster.local")
	c.next()
	d.next()
	pl.eventually("both have answered", func(s Status) bool { return len(s.Proxies) == 2 && s.Proxies[0].Synced && s.Proxies[1].Synced })
	pl.tell("files", entry("y", "10.9.9.2"))
	for _, one := range []*client{c, d} {
		if got, want := names(one.next()), "outbound|80||y.test"; got != want {
			t.Errorf("told of %q, want %q", got, want)
		}
	}
	pl.eventually("all have answered the change", func(s Status) bool { return s.Last.Answered > 0 && s.Last.Proxies == 2 })
	pl.tell("files", entry("y", "10.9.9.2")) // as it was
	pl.eventually("it is taken", func(s Status) bool { return s.Last.Number == 3 })
	pl.eventually("nobody has anything to answer", func(s Status) bool { return s.Proxies[0].Synced && s.Proxies[1].Synced })
	c.stream.CloseSend()
	pl.eventually("one has left", func(s Status) bool { return len(s.Proxies) == 1 })
}

func TestWhatIsRefusedIsRememberedUntilItIsTaken(t *testing.T) {
	pl := newPlane(t, "files")
	pl.tell("files", entry("x", "10.9.9.1")+entry("y", "10.9.9.2"))
	c := pl.client(sidecar)
	over := make(chan struct{})
	go func() {
		defer close(over)
		for m := range c.got {
			answer := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: m.TypeUrl, ResponseNonce: m.Nonce}
			for _, r := range m.Resources {
				if r.Name == "outbound|80||y.test" {
					answer.ErrorDetail = &rpcstatus.Status{Code: int32(codes.InvalidArgument), Message: "not this: " + r.Name}
				}
			}
			c.stream.Send(answer)
		}
	}()
	pl.eventually("it is known what was refused", func(s Status) bool {
		return len(s.Refused) == 1 && s.Refused[0].Name == "outbound|80||y.test" && s.Refused[0].Proxy == "one.a" && s.Refused[0].Because == "not this: outbound|80||y.test"
	})
	if !pl.log.has("not this: outbound|80||y.test") {
		t.Error("the log does not say so")
	}
	pl.tell("files", strings.Replace(entry("y", "10.9.9.2"), "number: 80", "number: 81", 1))
	pl.eventually("nothing is refused any more", func(s Status) bool { return len(s.Refused) == 0 && s.Proxies[0].Synced })
	c.stream.CloseSend()
	<-over
}

func TestWhoSaysNothingUsefulIsTurnedAway(t *testing.T) {
	pl := newPlane(t, "files")
	pl.tell("files", "")
	c := pl.client("who")
	if m, ok := <-c.got; ok {
		t.Fatalf("it is told: %v", m)
	}
	if err := c.stream.RecvMsg(nil); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), `"who"`) {
		t.Errorf("%v", err)
	}
	if pl.stats.Sum(turned) != 1 {
		t.Error("not counted")
	}
}

func TestProblemsAreSaidOnce(t *testing.T) {
	pl := newPlane(t, "files")
	wrong := source.Problem{Key: source.Key{Kind: source.Gateway, Namespace: "a", Name: "g"}, From: source.Origin{Source: "files", File: "g.yaml", Line: 7}, Path: "spec.servers", Text: "is empty"}
	pl.tell("files", "", wrong)
	pl.eventually("it is known", func(s Status) bool { return len(s.Problems) == 1 })
	const line = "g.yaml:7: Gateway a/g: spec.servers: is empty"
	if got := pl.Status().Problems[0].Text; got != line || !pl.log.has(line) {
		t.Errorf("%q", got)
	}
	pl.tell("files", entry("x", "10.9.9.1"), wrong)
	pl.tell("files", "")
	pl.eventually("it is right again", func(s Status) bool { return len(s.Problems) == 0 })
	pl.log.mu.Lock()
	defer pl.log.mu.Unlock()
	if n := strings.Count(pl.log.text.String(), line); n != 1 {
		t.Errorf("said %d times", n)
	}
}

// An object of which something is not run that it cannot do without is kept out, and what there was of it stays.
func TestWhatIsNotRunIsKeptOut(t *testing.T) {
	pl := newPlane(t, "files")
	pl.tell("files", entry("x", "10.9.9.1"))
	c := pl.client(sidecar)
	c.next()
	const through = `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: a}
spec:
  selector: {istio: gateway}
  servers: [{port: {number: 443, name: https, protocol: HTTPS}, hosts: ["*.x.test"], tls: {mode: SIMPLE, credentialName: "sds://one"}}]
---`
	pl.tell("files", through+entry("y", "10.9.9.2"))
	if got, want := names(c.next()), "outbound|80||y.test"; got != want {
		t.Errorf("told of %q, want %q", got, want)
	}
	const line = "f.yaml:2: Gateway a/g: spec.servers[0].tls.credentialName: "
	pl.eventually("it is said", func(s Status) bool {
		return len(s.Problems) == 1 && strings.HasPrefix(s.Problems[0].Text, line) && pl.log.has(line) && s.Objects["ServiceEntry"] == 2 && s.Objects["Gateway"] == 0
	})
	pl.tell("files", strings.Replace(through, "sds://", "", 1))
	pl.eventually("it is right now", func(s Status) bool { return len(s.Problems) == 0 && s.Objects["Gateway"] == 1 })
	pl.tell("files", through)
	pl.eventually("it is wrong again, and the one before stays", func(s Status) bool { return len(s.Problems) == 1 && s.Objects["Gateway"] == 1 })
}
