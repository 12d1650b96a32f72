package kube_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/weftmesh/weft/control/source/kube"
	test "github.com/weftmesh/weft/test/kube"
)

// Of several one leads at a time: the next one when that one has ended, or has not been heard of for the time of its Lease.
func TestOneLeads(t *testing.T) {
	c := test.Start(t)
	c.Apply(`
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: {name: lock, namespace: istio-system}
spec: {holderIdentity: dead, leaseDurationSeconds: 1, leaseTransitions: 7, acquireTime: "2026-01-01T00:00:00.000000Z", renewTime: "2036-01-01T00:00:00.000000Z"}
`)
	s, err := kube.Connect(c.Kubeconfig, "", "test")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	defer all.Wait()
	began, ended := make(chan int), make(chan int, 3)
	stop := map[int]context.CancelFunc{}
	for i := range 3 {
		ctx, cancel := context.WithCancel(t.Context())
		stop[i] = cancel
		all.Go(func() {
			s.Lead(ctx, "istio-system", "lock", slog.New(slog.DiscardHandler), func(ctx context.Context) {
				began <- i
				<-ctx.Done()
				ended <- i
			})
		})
	}
	for range 3 {
		var who int
		select {
		case who = <-began:
		case <-time.After(deadline):
			t.Fatal("nobody leads")
		}
		select {
		case other := <-began:
			t.Errorf("%d leads as well as %d", other, who)
		default:
		}
		stop[who]()
		if gone := <-ended; gone != who {
			t.Errorf("%d ends: want %d", gone, who)
		}
	}
	var l struct {
		Spec struct{ LeaseTransitions int }
	}
	c.Get("{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {name: lock, namespace: istio-system}}", &l)
	if l.Spec.LeaseTransitions != 10 {
		t.Errorf("%d transitions: want 10", l.Spec.LeaseTransitions)
	}
}
