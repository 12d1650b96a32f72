package server

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
)

// wire is a stream without a connection: what comes in is handed to it, and nobody reads what goes out.
type wire struct {
	grpc.ServerStream
	ctx context.Context
	in  chan *discoveryv3.DeltaDiscoveryRequest
}

func (w *wire) Context() context.Context { return w.ctx }

func (w *wire) RecvMsg(m any) error {
	select {
	case r := <-w.in:
		proto.Merge(m.(proto.Message), r)
		return nil
	case <-w.ctx.Done():
		return w.ctx.Err()
	}
}

func (w *wire) SendMsg(any) error {
	<-w.ctx.Done()
	return w.ctx.Err()
}

// Who says nothing, and who reads nothing, is not waited for for ever.
func TestSilentProxiesAreLetGo(t *testing.T) {
	for _, one := range []struct {
		speaks bool
		after  time.Duration
	}{{false, firstRequest}, {true, reading}} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			c := &control{t: t, sessions: map[*Session]string{}, view: &View{Parts: []*Part{part(Clusters, "a=1")}}}
			w := &wire{ctx: ctx, in: make(chan *discoveryv3.DeltaDiscoveryRequest, 1)}
			if one.speaks {
				w.in <- &discoveryv3.DeltaDiscoveryRequest{Node: &corev3.Node{Id: "one"}, TypeUrl: typePrefix + facts[Clusters].message}
			}
			began := time.Now()
			err := New(Options{Control: c}).serve(w, delta, kindCount)
			if status.Code(err) != codes.DeadlineExceeded || time.Since(began) != one.after {
				t.Errorf("speaks %v: after %v: %v", one.speaks, time.Since(began), err)
			}
			cancel() // as gRPC does when a stream has been served
			synctest.Wait()
			if len(c.sessions) != 0 {
				t.Error("it has not left")
			}
		})
	}
}
