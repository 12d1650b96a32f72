package netns

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os/exec"
	"testing"
	"time"

	"github.com/weftmesh/weft/sidecar/status"
)

// TestProbesComeFromWhereTheyPass has probes go to a pod's own addresses from those that capture lets pass.
func TestProbesComeFromWhereTheyPass(t *testing.T) {
	for _, c := range []struct{ adds, pod, from string }{
		{"10.9.9.9/32", "10.9.9.9", "127.0.0.6"},
		{"fd09::9/128", "fd09::9", "fd09::9"}, // nobody captures IPv6, or there would be ::6
		{"::6/128", "fd09::9", "::6"},
	} {
		if out, err := exec.Command("ip", "addr", "add", c.adds, "dev", "lo", "nodad").CombinedOutput(); err != nil {
			t.Fatalf("ip: %v: %s", err, out)
		}
		t.Cleanup(func() { exec.Command("ip", "addr", "del", c.adds, "dev", "lo").Run() })
		pod, from := c.pod, c.from
		l, err := net.Listen("tcp", net.JoinHostPort(pod, "0"))
		if err != nil {
			t.Fatal(err)
		}
		application := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			host, _, _ := net.SplitHostPort(r.RemoteAddr)
			io.WriteString(w, host)
		})}
		go application.Serve(l)
		defer application.Close()
		s, err := status.Listen(status.Options{AgentAddr: "127.0.0.1:0", Pod: netip.MustParseAddr(pod), Probers: fmt.Sprintf(`{"/app-health/app/livez":{"httpGet":{"path":"/","port":%d},"timeoutSeconds":10}}`, l.Addr().(*net.TCPAddr).Port)})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		at, _, _ := s.Addrs()
		client := http.Client{Timeout: 10 * time.Second}
		r, err := client.Get("http://" + at.String() + "/app-health/app/livez")
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(r.Body)
		r.Body.Close()
		if r.StatusCode != 200 || string(body) != from {
			t.Errorf("of %s: %d, from %s, want %s", pod, r.StatusCode, body, from)
		}
	}
}
