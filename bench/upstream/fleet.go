package upstream

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"
)

// A Fleet is endpoints that take their time to answer, each its own, and have one worker: what comes meanwhile waits. It is for a few
// thousand requests a second and not for measuring cost.
type Fleet struct {
	listeners []net.Listener
	delays    []time.Duration
}

// ListenFleet opens an endpoint for each delay, on free ports.
func ListenFleet(delays []time.Duration) (*Fleet, error) {
	f := &Fleet{delays: delays}
	for range delays {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			f.close()
			return nil, fmt.Errorf("upstream: fleet: %w", err)
		}
		f.listeners = append(f.listeners, l)
	}
	return f, nil
}

// Ports are where the endpoints listen, in the order of their delays.
func (f *Fleet) Ports() []int {
	var ports []int
	for _, l := range f.listeners {
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

// Serve answers until ctx ends. It may be called once.
func (f *Fleet) Serve(ctx context.Context) error {
	defer context.AfterFunc(ctx, f.close)()
	var wait sync.WaitGroup
	for i, l := range f.listeners {
		var worker sync.Mutex
		wait.Go(func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return // closed
				}
				wait.Go(func() { talk(ctx, c, &worker, f.delays[i]) })
			}
		})
	}
	wait.Wait()
	return nil
}

// talk answers one connection's requests, one after the other.
func talk(ctx context.Context, c net.Conn, worker *sync.Mutex, delay time.Duration) {
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	asked, n := make([]byte, mostAsked), 0
	for {
		answer, used := httpKind.answer(asked[:n])
		if used < 0 || used == 0 && n == len(asked) {
			return
		}
		if used == 0 {
			read, err := c.Read(asked[n:])
			if err != nil {
				return
			}
			n += read
			continue
		}
		n = copy(asked, asked[used:n])
		worker.Lock()
		time.Sleep(delay)
		worker.Unlock()
		if _, err := c.Write(answer); err != nil {
			return
		}
	}
}

func (f *Fleet) close() {
	for _, l := range f.listeners {
		l.Close()
	}
}
