package upstream

import (
	"context"
	"io"
	"net"
	"strconv"
	"testing"
	"time"
)

// An endpoint takes its time for each request, and one after the other.
func TestFleet(t *testing.T) {
	const delay = 20 * time.Millisecond
	f, err := ListenFleet([]time.Duration{0, delay})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- f.Serve(ctx) }()
	began := time.Now()
	var conns []net.Conn
	for range 2 {
		c, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(f.Ports()[1]))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(time.Minute))
		io.WriteString(c, "GET "+Path1K+" HTTP/1.1\r\n\r\n")
		conns = append(conns, c)
	}
	for _, c := range conns {
		if n, err := io.ReadFull(c, make([]byte, HeadSize+Size1K)); err != nil {
			t.Errorf("%d bytes of an answer: %v", n, err)
		}
	}
	if took := time.Since(began); took < 2*delay {
		t.Errorf("two requests took %v of an endpoint with one worker that needs %v for each", took, delay)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
