package upstream

import (
	"context"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/wire/dns"
)

// machine is a resolver on a machine with those files.
func machine(t *testing.T, conf, hosts string) *resolver {
	t.Helper()
	r, dir := newResolver(), t.TempDir()
	r.conf, r.hosts = filepath.Join(dir, "resolv.conf"), filepath.Join(dir, "hosts")
	for path, text := range map[string]string{r.conf: conf, r.hosts: hosts} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

var ours = netip.MustParseAddrPort("127.0.0.9:5353")

func TestWhoIsAsked(t *testing.T) {
	const conf = "# c\n; d\nnameserver 10.0.0.1 # the first\nnameserver\nnameserver nonsense\nnameserver fe80::1%lo\n"
	for name, test := range map[string]struct {
		conf string
		c    config.Resolver
		want []string
	}{
		"the machine's":                  {conf, config.Resolver{}, []string{"10.0.0.1:53", "[fe80::1%lo]:53"}},
		"ours instead":                   {conf, config.Resolver{Servers: []netip.AddrPort{ours}}, []string{"127.0.0.9:5353"}},
		"ours if the machine has none":   {conf, config.Resolver{Servers: []netip.AddrPort{ours}, Fallback: true}, []string{"10.0.0.1:53", "[fe80::1%lo]:53"}},
		"ours, for the machine has none": {"", config.Resolver{Servers: []netip.AddrPort{ours}, Fallback: true}, []string{"127.0.0.9:5353"}},
		"nobody's":                       {"", config.Resolver{}, []string{"127.0.0.1:53"}},
	} {
		var got []string
		for _, s := range machine(t, test.conf, "").search(&test.c).servers {
			got = append(got, s.String())
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}

func TestWhichNamesAreAskedFor(t *testing.T) {
	const conf = "domain old.test\nsearch a.test b.test.\noptions debug ndots:2\n"
	for name, test := range map[string]struct {
		conf string
		c    config.Resolver
		want []string
	}{
		"up":       {conf, config.Resolver{}, []string{"up.a.test", "up.b.test", "up"}},
		"up.x":     {conf, config.Resolver{}, []string{"up.x.a.test", "up.x.b.test", "up.x"}},
		"up.x.y":   {conf, config.Resolver{}, []string{"up.x.y", "up.x.y.a.test", "up.x.y.b.test"}},
		"up.x.":    {conf, config.Resolver{}, []string{"up.x."}},
		"up.as.is": {conf, config.Resolver{NoSearch: true}, []string{"up.as.is"}},
		"one.dot":  {"search a.test", config.Resolver{}, []string{"one.dot", "one.dot.a.test"}},
		"many":     {"search 1 2 3 4 5 6 7 8\noptions ndots:99", config.Resolver{}, []string{"many.1", "many.2", "many.3", "many.4", "many.5", "many.6", "many"}},
	} {
		s := machine(t, test.conf, "").search(&test.c)
		if got := s.names(name); !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}

// What the machine knows, or the name says, is asked of nobody.
func TestNamesThatAreKnown(t *testing.T) {
	r := machine(t, "nameserver 127.0.0.1", "10.0.0.1 one.test One two\n::7 one.test\nnonsense one.test\n10.0.0.2 one.test # again\n")
	for name, test := range map[string]struct {
		family config.AddressFamily
		want   string
	}{
		"ONE.test":  {config.FamilyV4, "10.0.0.1 10.0.0.2"},
		"one.test.": {config.FamilyV6First, "::7"},
		"two":       {config.FamilyV4First, "10.0.0.1"},
		"10.1.2.3":  {config.FamilyV6, "10.1.2.3"},
	} {
		got := ""
		answer, err := r.lookup(t.Context(), &config.Resolver{Timeout: time.Second, Tries: 1}, name, test.family)
		for i, a := range answer.Addresses {
			if i > 0 {
				got += " "
			}
			got += a.IP.String()
		}
		if got != test.want {
			t.Errorf("%s: %q, %v; want %q", name, got, err, test.want)
		}
	}
}

// server answers datagrams with what f makes of a question; nothing, if that is nil.
func server(t *testing.T, f func(dnsmessage.Message) [][]byte) netip.AddrPort {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan bool)
	t.Cleanup(func() { c.Close(); <-done })
	go func() {
		defer close(done)
		b := make([]byte, 4096)
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(b[:n]) != nil {
				continue
			}
			m.Additionals = nil
			for _, out := range f(m) {
				c.WriteTo(out, from)
			}
		}
	}()
	return c.LocalAddr().(*net.UDPAddr).AddrPort()
}

func packed(m dnsmessage.Message, ip [4]byte) []byte {
	m.Response = true
	m.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: m.Questions[0].Name, Class: dnsmessage.ClassINET, TTL: 5}, Body: &dnsmessage.AResource{A: ip}}}
	b, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return b
}

// Datagrams of whoever guesses are passed over, up to a bound, and one that answers counts.
func TestStrayAnswers(t *testing.T) {
	var stray atomic.Int64
	stray.Store(3)
	at := server(t, func(m dnsmessage.Message) (out [][]byte) {
		for i := range stray.Load() {
			wrong := m
			wrong.ID += uint16(i) + 1
			out = append(out, packed(wrong, [4]byte{6, 6, 6, 6}))
		}
		return append(out, packed(m, [4]byte{10, 0, 0, 1}))
	})
	c := config.Resolver{Servers: []netip.AddrPort{at}, Timeout: 10 * time.Second, Tries: 1}
	r := machine(t, "", "")
	a, err := r.lookup(t.Context(), &c, "up.test", config.FamilyV4)
	if found := a.Addresses; err != nil || len(found) != 1 || found[0] != (dns.Address{IP: netip.MustParseAddr("10.0.0.1"), TTL: 5 * time.Second}) {
		t.Error(a, err)
	}
	stray.Store(maxStray)
	if a, err := r.lookup(t.Context(), &c, "up.test", config.FamilyV4); err == nil {
		t.Error(a, "after a flood")
	}
}

// A server that fails is asked as often as it may, and then the next; who gives up does so at once.
func TestTries(t *testing.T) {
	var asked atomic.Int64
	bad := server(t, func(m dnsmessage.Message) [][]byte {
		asked.Add(1)
		m.Response, m.RCode = true, dnsmessage.RCodeServerFailure
		b, _ := m.Pack()
		return [][]byte{b}
	})
	r := machine(t, "", "")
	c := config.Resolver{Servers: []netip.AddrPort{bad}, Timeout: 10 * time.Second, Tries: 3}
	if _, err := r.lookup(t.Context(), &c, "up.test", config.FamilyV4); err == nil || asked.Load() != 3 {
		t.Error(asked.Load(), err)
	}
	good := server(t, func(m dnsmessage.Message) [][]byte { return [][]byte{packed(m, [4]byte{10, 0, 0, 1})} })
	c.Servers = append(c.Servers, good)
	if a, err := r.lookup(t.Context(), &c, "up.test", config.FamilyV4); err != nil || len(a.Addresses) != 1 {
		t.Error(a, err)
	}
	mute := server(t, func(dnsmessage.Message) [][]byte { return nil })
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := r.lookup(ctx, &config.Resolver{Servers: []netip.AddrPort{mute}, Timeout: time.Hour, Tries: 1}, "up.test", config.FamilyV4); err == nil {
		t.Error("an answer from nobody")
	}
}
