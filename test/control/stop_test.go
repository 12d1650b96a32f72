package control

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weftmesh/weft/test/authority"
	"github.com/weftmesh/weft/test/vacant"
)

// A gateway that is told to end says that it is not ready, asks those who are there to go, and serves everybody until its time is over: under load nothing is lost.
func TestGatewaysEndUnderLoad(t *testing.T) {
	a := authority.New(t, t.TempDir())
	const host, term = "web.example.com", 3 * time.Second
	a.Issue("web", []string{host}, nil)
	port := vacant.Ports(t, 1)[0]
	f := newFront(t, fronts[0], a, door(port, host, "web")+pairOf(t, a, "web", "web", "web"))
	f.opens(port, host)
	f.gateway.kill()
	f.gateway.env = []string{fmt.Sprintf(`PROXY_CONFIG={"terminationDrainDuration": "%v", "proxyAdminPort": %d, "statusPort": %d}`, term, f.gateway.admin, f.gateway.agent)}
	f.gateway.begin().isReady()
	f.opens(port, host)
	l := f.loads(port, host)
	// The connections of two clients stand, until they are asked to go.
	type standing struct {
		name   string
		client *http.Client
	}
	var all []standing
	for _, name := range []string{"HTTP/1.1", "HTTP/2"} {
		config := f.names(host)
		if name == "HTTP/1.1" {
			config.NextProtos = []string{"http/1.1"}
		}
		s := standing{name, &http.Client{Timeout: deadline, Transport: &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: name == "HTTP/2"}}}
		t.Cleanup(s.client.CloseIdleConnections)
		all = append(all, s)
	}
	again := func(s standing) (reused bool) {
		ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { reused = i.Reused }})
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("https://127.0.0.1:%d/", port), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		a, err := s.client.Do(r)
		if err != nil || a.StatusCode != http.StatusOK {
			t.Fatalf("lost by %s: %v %v", s.name, a, err)
		}
		io.Copy(io.Discard, a.Body) // or its connection is closed
		a.Body.Close()
		return reused
	}
	for _, s := range all {
		again(s)
		if !again(s) {
			t.Errorf("%s: its connection does not stand", s.name)
		}
	}
	before := l.n.Load()
	began := time.Now()
	f.gateway.cmd.Process.Signal(syscall.SIGTERM)
	eventually(t, "it is not ready any more", func() bool { return !f.gateway.says() })
	for _, s := range all {
		eventually(t, s.name+": it is asked to go", func() bool { return !again(s) })
	}
	for time.Since(began) < term*8/10 { // who is before it may not know yet
		if said, _ := f.visits(port, host, f.names(host)); !strings.HasPrefix(said, "200 ") {
			t.Fatalf("%v after it was told to end: %s", time.Since(began), said)
		}
	}
	n := l.end()
	f.gateway.over()
	if took := time.Since(began); took < term {
		t.Errorf("it has ended after %v: want %v", took, term)
	}
	if n-before < 100 {
		t.Errorf("only %d requests after it was told to end", n-before)
	}
	t.Logf("%d requests, %d of them after it was told to end", n, n-before)
}
