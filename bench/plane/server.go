package plane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
)

// Plane is a control plane. Everybody is told the same.
type Plane struct {
	discoveryv3.UnimplementedAggregatedDiscoveryServiceServer
	listener net.Listener

	mu      sync.Mutex
	version int
	all     map[string]map[string]*discoveryv3.Resource // by type and name
	streams map[*stream]bool
}

// stream is one proxy.
type stream struct {
	mu    sync.Mutex // one message at a time
	send  func(*discoveryv3.DeltaDiscoveryResponse) error
	nonce int
	waits map[string]chan error // for answers, by nonce
	named map[string]map[string]bool
	whole map[string]bool // types of which it wants all
}

// Listen opens a control plane on a free port.
func Listen() (*Plane, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("plane: %w", err)
	}
	return &Plane{listener: l, all: map[string]map[string]*discoveryv3.Resource{}, streams: map[*stream]bool{}}, nil
}

// Port is where it listens.
func (p *Plane) Port() int { return p.listener.Addr().(*net.TCPAddr).Port }

// Serve answers until the context ends.
func (p *Plane) Serve(ctx context.Context) error {
	s := grpc.NewServer(grpc.MaxRecvMsgSize(64 << 20))
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(s, p)
	context.AfterFunc(ctx, s.Stop)
	return s.Serve(p.listener)
}

const typePrefix = "type.googleapis.com/"

// Set makes resources what there is under their names, without telling anybody.
func (p *Plane) Set(list ...Named) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.version++
	for _, r := range list {
		if err := p.set(r); err != nil {
			return err
		}
	}
	return nil
}

func (p *Plane) set(r Named) error {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(r.Message)
	if err != nil {
		return fmt.Errorf("plane: resource %s: %w", r.Name, err)
	}
	url := typePrefix + string(r.Message.ProtoReflect().Descriptor().FullName())
	if p.all[url] == nil {
		p.all[url] = map[string]*discoveryv3.Resource{}
	}
	p.all[url][r.Name] = &discoveryv3.Resource{Name: r.Name, Version: strconv.Itoa(p.version), Resource: &anypb.Any{TypeUrl: url, Value: b}}
	return nil
}

// Push sets resources, tells everybody, and waits until all have answered. again are the names of types of which all are sent again as they are.
func (p *Plane) Push(ctx context.Context, again []string, removed []Named, list ...Named) error {
	if err := p.Set(list...); err != nil {
		return err
	}
	streams, say, gone := p.plan(again, removed, list)
	for _, s := range streams {
		for _, url := range order {
			if len(say[url])+len(gone[url]) == 0 {
				continue
			}
			if err := p.tell(ctx, s, url, say[url], gone[url]); err != nil {
				return err
			}
		}
	}
	return nil
}

// Tell is Push without a pause between kinds: Envoy answers about clusters when they are warm, for which some wait for endpoints that nobody
// has to ask for again.
func (p *Plane) Tell(ctx context.Context, removed []Named, list ...Named) error {
	if err := p.Set(list...); err != nil {
		return err
	}
	streams, say, gone := p.plan(nil, removed, list)
	for _, s := range streams {
		waits := map[string]<-chan error{}
		for _, url := range order {
			if len(say[url])+len(gone[url]) == 0 {
				continue
			}
			wait, err := p.say(s, url, say[url], gone[url], false)
			if err != nil {
				return err
			}
			if wait != nil {
				waits[url] = wait
			}
		}
		for url, wait := range waits {
			if err := await(ctx, url, wait); err != nil {
				return err
			}
		}
	}
	return nil
}

// plan is who is to be told, and of what, by type.
func (p *Plane) plan(again []string, removed, list []Named) (streams []*stream, say, gone map[string][]string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	say, gone = map[string][]string{}, map[string][]string{}
	for _, message := range again {
		for name := range p.all[typePrefix+message] {
			say[typePrefix+message] = append(say[typePrefix+message], name)
		}
	}
	for _, r := range list {
		url := typePrefix + string(r.Message.ProtoReflect().Descriptor().FullName())
		say[url] = append(say[url], r.Name)
	}
	for _, r := range removed {
		url := typePrefix + string(r.Message.ProtoReflect().Descriptor().FullName())
		delete(p.all[url], r.Name)
		gone[url] = append(gone[url], r.Name)
	}
	for s := range p.streams {
		streams = append(streams, s)
	}
	return streams, say, gone
}

// order is istiod's.
var order = []string{
	typePrefix + "envoy.config.cluster.v3.Cluster",
	typePrefix + "envoy.config.endpoint.v3.ClusterLoadAssignment",
	typePrefix + "envoy.config.listener.v3.Listener",
	typePrefix + "envoy.config.route.v3.RouteConfiguration",
	typePrefix + "envoy.extensions.transport_sockets.tls.v3.Secret",
}

// tell sends resources to one proxy, as far as it wants them, and waits for its answer.
func (p *Plane) tell(ctx context.Context, s *stream, url string, names, gone []string) error {
	wait, err := p.say(s, url, names, gone, false)
	if wait == nil || err != nil {
		return err
	}
	return await(ctx, url, wait)
}

func await(ctx context.Context, url string, wait <-chan error) error {
	select {
	case err := <-wait:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(answerLimit):
		return fmt.Errorf("plane: no answer about %s within %v", url, answerLimit)
	}
}

// answerLimit bounds how long a proxy may take to answer.
const answerLimit = 60 * time.Second

// say sends resources that are wanted; nil: none is.
func (p *Plane) say(s *stream, url string, names, gone []string, asked bool) (<-chan error, error) {
	p.mu.Lock()
	m := &discoveryv3.DeltaDiscoveryResponse{TypeUrl: url, SystemVersionInfo: strconv.Itoa(p.version), RemovedResources: gone}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range names {
		if r := p.all[url][name]; r != nil && (s.whole[url] || s.named[url][name]) {
			m.Resources = append(m.Resources, r)
		}
	}
	p.mu.Unlock()
	if len(m.Resources)+len(gone) == 0 && !asked {
		return nil, nil
	}
	s.nonce++
	m.Nonce = strconv.Itoa(s.nonce)
	wait := make(chan error, 1)
	s.waits[m.Nonce] = wait
	return wait, s.send(m)
}

// DeltaAggregatedResources is a conversation with a proxy.
func (p *Plane) DeltaAggregatedResources(g discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	s := &stream{send: g.Send, waits: map[string]chan error{}, named: map[string]map[string]bool{}, whole: map[string]bool{}}
	p.mu.Lock()
	p.streams[s] = true
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.streams, s)
		p.mu.Unlock()
	}()
	for {
		m, err := g.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := p.hear(s, m); err != nil {
			return err
		}
	}
}

func (p *Plane) hear(s *stream, m *discoveryv3.DeltaDiscoveryRequest) error {
	url := m.GetTypeUrl()
	s.mu.Lock()
	if wait := s.waits[m.GetResponseNonce()]; wait != nil {
		delete(s.waits, m.GetResponseNonce())
		var err error
		if m.GetErrorDetail() != nil {
			err = fmt.Errorf("plane: %s is turned down: %.1000s", url, m.GetErrorDetail().GetMessage())
		}
		wait <- err
	}
	first := s.named[url] == nil
	if first {
		s.named[url] = map[string]bool{}
	}
	all := first && len(m.GetResourceNamesSubscribe()) == 0 && (url == order[0] || url == order[2])
	s.whole[url] = s.whole[url] || all
	names := m.GetResourceNamesSubscribe()
	for _, name := range names {
		if name == "*" {
			all, s.whole[url] = true, true
		}
		s.named[url][name] = true
	}
	for _, name := range m.GetResourceNamesUnsubscribe() {
		delete(s.named[url], name)
	}
	s.mu.Unlock()
	if all {
		p.mu.Lock()
		for name := range p.all[url] {
			names = append(names, name)
		}
		p.mu.Unlock()
	}
	if len(names) == 0 {
		return nil
	}
	_, err := p.say(s, url, names, nil, true)
	return err
}
