package netns

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/weftmesh/weft/capture/dns"
	"github.com/weftmesh/weft/telemetry"
)

// nameTable is a table with a name and an address, and one with so many that they need TCP.
func nameTable() (out []byte) {
	field := func(b []byte, number byte, v []byte) []byte {
		return append(binary.AppendUvarint(append(b, number<<3|2), uint64(len(v))), v...)
	}
	entry := func(name string, info []byte) {
		out = field(out, 1, field(field(nil, 1, []byte(name)), 2, info))
	}
	short := func(info []byte, name string) []byte {
		return field(field(field(info, 2, []byte("Kubernetes")), 3, []byte(name)), 4, []byte("shop"))
	}
	entry("web.shop.svc.cluster.local", short(field(nil, 1, []byte("10.96.0.1")), "web"))
	var many []byte
	for i := range 100 {
		many = field(many, 1, fmt.Appendf(nil, "10.0.0.%d", i+1))
	}
	entry("db.shop.svc.cluster.local", short(many, "db"))
	entry("api.example.com", field(nil, 1, []byte("240.240.0.1")))
	return out
}

// TestNames has the C library ask as applications do: in the domains of a pod, over UDP and TCP, of a server whose questions the kernel leads to us. Another one, whose questions it does not, is asked
// what we do not know.
func TestNames(t *testing.T) {
	var asked atomic.Int64
	server, err := net.ListenPacket("udp", "127.0.0.53:53")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		b := make([]byte, 4096)
		for {
			n, from, err := server.ReadFrom(b)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if err := m.Unpack(b[:n]); err != nil {
				continue
			}
			asked.Add(1)
			m.Response, m.Additionals = true, nil
			switch name := m.Questions[0].Name.String(); {
			case name == "elsewhere.example." && m.Questions[0].Type == dnsmessage.TypeA:
				m.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: m.Questions[0].Name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET, TTL: 5}, Body: &dnsmessage.AResource{A: [4]byte{192, 0, 2, 1}}}}
			case name != "elsewhere.example.":
				m.RCode = dnsmessage.RCodeNameError
			}
			if b, err := m.Pack(); err == nil {
				server.WriteTo(b, from)
			}
		}
	}()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const domains = "search shop.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5 timeout:1 attempts:1\n"
	store := telemetry.NewStore(0)
	p, err := dns.Listen(dns.Options{Addrs: []string{"127.0.0.1:15053"}, Namespace: "shop", Domain: "shop.svc.cluster.local", Resolvers: write("ours", "nameserver 127.0.0.53\n"+domains), Store: store})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	p.Serve()
	if err := p.Tell(nameTable()); err != nil {
		t.Fatal(err)
	}
	for _, protocol := range []string{"udp", "tcp"} {
		rule := []string{"-w", "-t", "nat", "-A", "OUTPUT", "-p", protocol, "-d", "127.0.0.54", "--dport", "53", "-j", "REDIRECT", "--to-ports", "15053"}
		if out, err := exec.Command("iptables", rule...).CombinedOutput(); err != nil {
			t.Fatalf("iptables: %v: %s", err, out)
		}
	}
	pods := write("pods", "nameserver 127.0.0.54\n"+domains)
	ask := func(name string) string {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		out, err := exec.CommandContext(ctx, "unshare", "-m", "sh", "-c", "mount --bind "+pods+" /etc/resolv.conf && getent -A -s hosts:dns ahostsv4 "+name).Output()
		if err != nil && len(out) > 0 {
			t.Errorf("%s: %v", name, err)
		}
		var list []string
		for line := range strings.Lines(string(out)) {
			if words := strings.Fields(line); !slices.Contains(list, words[0]) {
				list = append(list, words[0])
			}
		}
		if len(list) > 3 {
			return fmt.Sprint(len(list))
		}
		return strings.Join(list, " ")
	}
	for _, c := range []struct {
		name, want string
		asks       bool
	}{
		{"web", "10.96.0.1", false},
		{"web.shop", "10.96.0.1", false},
		{"WEB.shop.svc.cluster.local", "10.96.0.1", false},
		{"api.example.com", "240.240.0.1", false}, // at the first of the domains
		{"db", "100", false},                      // over TCP
		{"elsewhere.example", "192.0.2.1", true},
		{"missing.example", "", true},
	} {
		before := asked.Load()
		if got := ask(c.name); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
		if asks := asked.Load() != before; asks != c.asks {
			t.Errorf("%s: the other server is asked: %v", c.name, asks)
		}
	}
}
