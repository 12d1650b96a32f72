package server

import (
	"context"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
)

// city is a view of 3,000 clusters with their endpoints, and tables and listeners: 6.9 MB, as a sidecar of a mesh of 1,000 services is told.
func city() *View {
	v := &View{Version: "1"}
	add := func(k Kind, n, size int) {
		p := &Part{Kind: k}
		for i := range n {
			r := res(fmt.Sprintf("outbound|80|v%d|service%04d.town.svc.cluster.local", i%3, i), "0123456789abcdef")
			r.Body = []byte(strings.Repeat("x", size))
			p.Resources = append(p.Resources, r)
		}
		slices.SortFunc(p.Resources, byName)
		v.Parts = append(v.Parts, p)
	}
	add(Clusters, 3000, 1400)
	add(Endpoints, 3000, 400)
	add(Listeners, 30, 4000)
	add(Routes, 20, 60_000)
	return v
}

// deaf is a client's codec that does not look into what comes but for its nonce.
type deaf struct{ encoding.CodecV2 }

type heard struct {
	size  int
	nonce string
}

func (d deaf) Unmarshal(data mem.BufferSlice, v any) error {
	h := v.(*heard)
	h.size = data.Len()
	b := make([]byte, min(h.size, 512))
	io.ReadFull(data.Reader(), b)
	var m discoveryv3.DeltaDiscoveryResponse
	if err := proto.Unmarshal(b[:fit(b)], &m); err != nil {
		return err
	}
	h.nonce = m.Nonce
	return nil
}

// fit is how much of the beginning of a response is whole fields: its own come before its resources.
func fit(b []byte) (n int) {
	for n < len(b) {
		m, _, size := 0, 0, 0
		if _, _, m = protowire.ConsumeTag(b[n:]); m < 0 {
			break
		}
		if _, size = protowire.ConsumeBytes(b[n+m:]); size < 0 {
			break
		}
		n += m + size
	}
	return n
}

// sidecarOf connects and asks for all that a sidecar does; done is called when it has all.
func sidecarOf(t testing.TB, conn *grpc.ClientConn, names map[Kind][]string) (grpc.ClientStream, int) {
	t.Helper()
	s, err := conn.NewStream(context.Background(), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true},
		"/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources", grpc.ForceCodecV2(deaf{encoding.GetCodecV2("proto")}), grpc.MaxCallRecvMsgSize(64<<20))
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for i, k := range []Kind{Clusters, Endpoints, Listeners, Routes} {
		r := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: typePrefix + facts[k].message, ResourceNamesSubscribe: names[k]}
		if i == 0 {
			r.Node = &corev3.Node{Id: "one"}
		}
		if err := s.SendMsg(r); err != nil {
			t.Fatal(err)
		}
		var h heard
		if err := s.RecvMsg(&h); err != nil {
			t.Fatal(err)
		}
		total += h.size
		s.SendMsg(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: r.TypeUrl, ResponseNonce: h.nonce})
	}
	return s, total
}

func namesOf(v *View) map[Kind][]string {
	out := map[Kind][]string{}
	for _, k := range []Kind{Endpoints, Routes} {
		v.each(k, func(r *Resource) { out[k] = append(out[k], strings.Clone(r.Name)) })
	}
	return out
}

func cpu() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// What a first configuration of a further sidecar costs this room, without sockets.
func BenchmarkFirstConfiguration(b *testing.B) {
	v := city()
	names := namesOf(v)
	size := 0
	b.ReportAllocs()
	for b.Loop() {
		p := &Session{variant: delta, only: kindCount, server: New(Options{}), wake: make(chan struct{}, 1), step: len(steps)}
		p.Show(v)
		buffer := make([]byte, 16<<10)
		size = 0
		for _, k := range []Kind{Clusters, Endpoints, Listeners, Routes} {
			if err := p.take(&request{url: typePrefix + facts[k].message, names: names[k]}, time.Now()); err != nil {
				b.Fatal(err)
			}
			r, _ := p.next(time.Now())
			size += r.size
			reader := r.buffers.Reader()
			for {
				if _, err := reader.Read(buffer); err != nil {
					break
				}
			}
			p.take(&request{url: typePrefix + facts[k].message, nonce: p.topics[k].nonce}, time.Now())
		}
	}
	b.ReportMetric(float64(size)/1e6, "MB")
}

// The same over connections of this host, clients included, which only read: processor time of the whole process for each.
func BenchmarkFirstConfigurationOverConnections(b *testing.B) {
	c := newControl(b)
	v := city()
	c.show(v)
	names := namesOf(v)
	conn, err := grpc.NewClient(c.addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithInitialWindowSize(16<<20), grpc.WithInitialConnWindowSize(16<<20))
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	before := cpu()
	for b.Loop() {
		s, _ := sidecarOf(b, conn, names)
		s.CloseSend()
	}
	b.ReportMetric(float64((cpu()-before).Microseconds())/1e3/float64(b.N), "cpu-ms/op")
}

// A change of one resource, for a session of which all else is as it was.
func BenchmarkOneChange(b *testing.B) {
	views := [2]*View{city()}
	changed := slices.Clone(views[0].Parts[0].Resources)
	changed[1500] = res(changed[1500].Name, "other")
	views[1] = &View{Version: "2", Parts: append([]*Part{{Kind: Clusters, Resources: changed}}, views[0].Parts[1:]...)}
	p := &Session{variant: delta, only: kindCount, server: New(Options{}), wake: make(chan struct{}, 1), step: len(steps)}
	p.Show(views[0])
	for _, k := range []Kind{Clusters, Endpoints, Listeners, Routes} {
		p.take(&request{url: typePrefix + facts[k].message, names: namesOf(views[0])[k]}, time.Now())
	}
	answer := func() {
		for {
			r, _ := p.next(time.Now())
			if r == nil {
				return
			}
			p.take(&request{url: typePrefix + facts[r.kind].message, nonce: p.topics[r.kind].nonce}, time.Now())
		}
	}
	answer()
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		i++
		p.Show(views[i%2])
		answer()
	}
}

// Two hundred proxies that are told 4.5 MB each share it: what they hold together, while it is on its way to proxies that do not read and when they
// have read it, is a small part of that.
func TestProxiesShareWhatTheyAreTold(t *testing.T) {
	const proxies = 200
	c := newControl(t)
	v := city()
	c.show(v)
	names := namesOf(v)
	heap := func() int64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc + m.StackInuse)
	}
	dial := func() net.Conn {
		conn, err := net.Dial("tcp", c.addr)
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	// Raw connections, so that what a client keeps is not counted with it.
	first, err := proto.Marshal(&discoveryv3.DeltaDiscoveryRequest{Node: &corev3.Node{Id: "one"}, TypeUrl: typePrefix + facts[Clusters].message})
	if err != nil {
		t.Fatal(err)
	}
	second, err := proto.Marshal(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: typePrefix + facts[Endpoints].message, ResourceNamesSubscribe: names[Endpoints][:700]}) // what fits into a connection's first window
	if err != nil {
		t.Fatal(err)
	}
	before := heap()
	var conns []*rawClient
	var mu sync.Mutex
	var all sync.WaitGroup
	for range proxies {
		all.Go(func() {
			r := newRawClient(t, dial())
			r.send(first)
			r.send(second)
			mu.Lock()
			defer mu.Unlock()
			conns = append(conns, r)
		})
	}
	all.Wait()
	eventually(t, "everybody has asked", func() bool { return c.stats.Sum(requestsTotal) == 2*proxies }) // and the first response waits for room
	each := (heap() - before) / proxies
	t.Logf("each of %d proxies that read nothing of 4.5 MB holds %d KB", proxies, each>>10)
	if each > 600<<10 {
		t.Errorf("each proxy holds %d KB while it does not read", each>>10)
	}
	for _, r := range conns {
		r.read()
	}
	eventually(t, "everybody has answered", c.rests)
	each = (heap() - before) / proxies
	t.Logf("each of %d idle proxies holds %d KB, connection included", proxies, each>>10)
	if each > 250<<10 {
		t.Errorf("each idle proxy holds %d KB", each>>10)
	}
}
