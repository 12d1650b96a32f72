package server

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// wire is a stream on which nothing comes.
type wire struct {
	grpc.ServerStream
	ctx context.Context
}

func (w *wire) Context() context.Context { return w.ctx }

func (w *wire) RecvMsg(any) error {
	<-w.ctx.Done()
	return w.ctx.Err()
}

// Who says nothing is not waited for for ever. That nobody is who reads nothing is rpc/serve's.
func TestSilentProxiesAreLetGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		c := &control{t: t, sessions: map[*Session]string{}}
		began := time.Now()
		err := New(Options{Control: c}).serve(&wire{ctx: ctx}, delta, kindCount)
		if status.Code(err) != codes.DeadlineExceeded || time.Since(began) != firstRequest {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		cancel() // as when a stream has been served
		synctest.Wait()
		if len(c.sessions) != 0 {
			t.Error("it has not left")
		}
	})
}
