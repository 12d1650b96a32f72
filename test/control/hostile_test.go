package control

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	"github.com/weftmesh/weft/test/vacant"
)

// resident is how much memory a process has, in MB.
func (p *process) resident(t *testing.T) (mb int) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, is := strings.CutPrefix(line, "VmRSS:"); is {
			fmt.Sscan(rest, &mb)
		}
	}
	return mb >> 10
}

// Whoever may only connect cannot bring weftd down (hazard 81): garbage, messages that say they have a gigabyte, heads without an end, connections that say nothing.
func TestHostileBytes(t *testing.T) {
	s, ports := newShop(t), vacant.Ports(t, 3)
	users := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(users, fmt.Appendf(nil, "users: [{name: ann, tokenSHA256: %064d, roles: {'*': viewer}}]", 1), 0o600); err != nil {
		t.Fatal(err)
	}
	p := &securePlane{port: ports[0]}
	p.plane = newPlane(t, map[string]string{"shop.yaml": s.entry("")}, "--secure-grpc-addr", fmt.Sprintf("127.0.0.1:%d", p.port),
		"--http-addr", fmt.Sprintf("127.0.0.1:%d", ports[1]), "--users", users, "--monitoring-addr", fmt.Sprintf("127.0.0.1:%d", ports[2]))
	random := rand.NewChaCha8([32]byte{81})
	plain := func(port int) net.Conn {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(deadline))
		t.Cleanup(func() { c.Close() })
		return c
	}
	encrypted := func(port int) net.Conn {
		return tls.Client(plain(port), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}) // who attacks asks nobody who that is
	}
	noise := make([]byte, 64<<10)
	for _, port := range []int{p.grpc, p.port, ports[1], ports[2]} {
		for range 50 {
			random.Read(noise)
			plain(port).Write(noise)
			plain(port) // and one that says nothing
		}
	}
	call := func(c net.Conn) *http2.Framer {
		t.Helper()
		io.WriteString(c, http2.ClientPreface)
		f := http2.NewFramer(c, c)
		f.WriteSettings()
		var head strings.Builder
		e := hpack.NewEncoder(&head)
		for _, one := range [][2]string{{":method", "POST"}, {":scheme", "http"}, {":authority", "weftd"}, {":path", "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"},
			{"content-type", "application/grpc"}, {"te", "trailers"}} {
			e.WriteField(hpack.HeaderField{Name: one[0], Value: one[1]})
		}
		if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte(head.String()), EndHeaders: true}); err != nil {
			t.Fatal(err)
		}
		return f
	}
	for name, dial := range map[string]func() net.Conn{"plain": func() net.Conn { return plain(p.grpc) }, "TLS": func() net.Conn { return encrypted(p.port) }} {
		for range 20 {
			c := dial()
			f := call(c)
			f.WriteData(1, false, binary.BigEndian.AppendUint32([]byte{0}, 1<<30)) // a message of a gigabyte begins
			for {
				frame, err := f.ReadFrame()
				if err != nil {
					t.Fatalf("%s: the call does not end: %v", name, err)
				}
				if h, is := frame.(*http2.HeadersFrame); is && h.StreamEnded() {
					break
				}
				if _, is := frame.(*http2.RSTStreamFrame); is {
					break
				}
			}
		}
		c := dial() // heads without an end
		f := call(c)
		for i := 0; i < 10_000; i++ {
			if f.WriteContinuation(1, false, noise[:16<<10]) != nil {
				break
			}
			if i == 9_999 {
				t.Errorf("%s: 160 MB of heads are taken", name)
			}
		}
	}
	for name, conn := range map[string]*grpc.ClientConn{"plain": plainly(t, p.grpc), "TLS": p.dial(nil)} {
		ctx, cancel := context.WithTimeout(t.Context(), deadline)
		stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).StreamAggregatedResources(ctx)
		if err != nil {
			t.Fatal(err)
		}
		stream.Send(&discoveryv3.DiscoveryRequest{Node: &corev3.Node{Id: strings.Repeat("x", 32<<20)}, TypeUrl: "istio.io/debug/syncz"})
		if _, err := stream.Recv(); status.Code(err) != codes.ResourceExhausted {
			t.Errorf("%s: 32 MB at once: %v", name, err)
		}
		cancel()
	}
	if mb := p.resident(t); mb > 200 {
		t.Errorf("weftd has %d MB", mb)
	}
	p.proxy("envoy") // while all of those are still there
	s.opens()
	if text := p.page("/ready"); !strings.HasPrefix(text, "ready") {
		t.Error(text)
	}
}
