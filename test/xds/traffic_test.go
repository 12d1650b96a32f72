package xds

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
)

// upstream answers everything with its name.
func upstream(t testing.TB, name string) (port int) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, name) }))
	t.Cleanup(s.Close)
	return s.Listener.Addr().(*net.TCPAddr).Port
}

// get asks a listener and tells what it has answered: the status and the body, or the error.
func get(address string) string {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	fmt.Fprintf(c, "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return err.Error()
	}
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%d %s", r.StatusCode, b)
}

// TestTraffic has traffic go through what each kind of stream has configured, and through what it changes.
func TestTraffic(t *testing.T) {
	for _, m := range modes() {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			a, b := upstream(t, "a"), upstream(t, "b")
			plane := NewPlane(t, m.way)
			plane.Serve(m.listener("l", "r"), m.cluster("one"), table("r", "one"), endpoints("one", a))
			p := Run(t, m, plane.Endpoint())
			p.Ready()
			if got := get(p.Address("l")); got != "200 a" {
				t.Fatal(got)
			}

			// other endpoints
			plane.Serve(m.listener("l", "r"), m.cluster("one"), table("r", "one"), endpoints("one", b))
			p.Eventually("b answers", func() bool { return get(p.Address("l")) == "200 b" })

			// another cluster, and another route
			plane.Serve(m.listener("l", "r"), m.cluster("one"), m.cluster("two"), table("r", "two"), endpoints("one", b), endpoints("two", a))
			p.Eventually("a answers", func() bool { return get(p.Address("l")) == "200 a" })

			// another listener
			plane.Serve(m.listener("l", "r"), m.listener("k", "s"), m.cluster("two"), table("r", "two"), table("s", "two"), endpoints("two", a))
			p.Eventually("another listener", func() bool { return p.Address("k") != "" })
			if got := get(p.Address("k")); got != "200 a" {
				t.Error(got)
			}

			// and it is gone
			plane.Serve(m.listener("l", "r"), m.cluster("two"), table("r", "two"), endpoints("two", a))
			p.Eventually("no other listener", func() bool { return p.Address("k") == "" })
			if got := get(p.Address("l")); got != "200 a" {
				t.Error(got)
			}
			if n := plane.Nacks(); len(n) > 0 {
				t.Errorf("%q", n)
			}
		})
	}
}
