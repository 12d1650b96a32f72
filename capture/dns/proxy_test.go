package dns

import (
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/weftmesh/weft/telemetry"
)

// deadline bounds every wait of these tests.
const deadline = 10 * time.Second

// resolver answers questions as a test says: with a part of a message, or not at all.
type resolver struct {
	t     *testing.T
	at    netip.AddrPort
	asked atomic.Int64
	udp   net.PacketConn
	do    func(q dnsmessage.Message, tcp bool) []dnsmessage.Message
}

// resolve runs a resolver at an address of loopback, whose port has to be 53, since resolv.conf knows no others: the tests change where they are asked.
func resolve(t *testing.T, do func(q dnsmessage.Message, tcp bool) []dnsmessage.Message) *resolver {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &resolver{t: t, at: netip.MustParseAddrPort(l.Addr().String()), do: do}
	if r.udp, err = net.ListenPacket("udp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close(); r.udp.Close() })
	answers := func(b []byte, tcp bool) (out [][]byte) {
		r.asked.Add(1)
		var q dnsmessage.Message
		if err := q.Unpack(b); err != nil {
			t.Errorf("a resolver is asked what it cannot read: %v", err)
			return nil
		}
		for _, m := range do(q, tcp) {
			b, err := m.Pack()
			if err != nil {
				t.Error(err)
			}
			out = append(out, b)
		}
		return out
	}
	go func() {
		b := make([]byte, 65535)
		for {
			n, from, err := r.udp.ReadFrom(b)
			if err != nil {
				return
			}
			for _, m := range answers(b[:n], false) {
				r.udp.WriteTo(m, from)
			}
		}
	}()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				var size [2]byte
				for {
					if _, err := io.ReadFull(c, size[:]); err != nil {
						return
					}
					b := make([]byte, binary.BigEndian.Uint16(size[:]))
					if _, err := io.ReadFull(c, b); err != nil {
						return
					}
					for _, m := range answers(b, true) {
						c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(m))), m...))
					}
				}
			}()
		}
	}()
	return r
}

// says answers a question with addresses.
func says(q dnsmessage.Message, addresses ...string) dnsmessage.Message {
	q.Response, q.RecursionAvailable = true, true
	for _, a := range addresses {
		q.Answers = append(q.Answers, dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: q.Questions[0].Name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET, TTL: 5},
			Body: &dnsmessage.AResource{A: netip.MustParseAddr(a).As4()}})
	}
	return q
}

// stage is a proxy with the resolvers that it asks.
type stage struct {
	*Proxy
	t     *testing.T
	store *telemetry.Store
}

// play runs a proxy that asks these resolvers, which are where no file can say, and knows the mesh.
func play(t *testing.T, servers ...netip.AddrPort) *stage {
	t.Helper()
	return playWith(t, false, servers...)
}

// playWith is play with a proxy that asks all resolvers at once, or does not.
func playWith(t *testing.T, atOnce bool, servers ...netip.AddrPort) *stage {
	t.Helper()
	s := &stage{t: t, store: telemetry.NewStore(0)}
	file := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(file, []byte("search ns.svc.cluster.local svc.cluster.local\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	var err error
	s.Proxy, err = Listen(Options{Addrs: []string{"127.0.0.1:0"}, Namespace: "ns", Domain: "ns.svc.cluster.local", Resolvers: file, AtOnce: atOnce, Store: s.store})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	s.Serve()
	if err := s.Tell(mesh); err != nil {
		t.Fatal(err)
	}
	s.resolvers.last.Store(&settings{servers: servers, search: "ns.svc.cluster.local", try: 300 * time.Millisecond})
	return s
}

func (s *stage) count(row int) int64 {
	o := s.store.Acquire(Stats, "dns.")
	defer s.store.Release(o)
	return o.Sum(row)
}

// ask puts a question, over UDP or TCP, and gives its answer as a text.
func (s *stage) ask(network, name string, kind dnsmessage.Type) string {
	s.t.Helper()
	q := dnsmessage.Message{Header: dnsmessage.Header{ID: 4711, RecursionDesired: true}, Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name), Type: kind, Class: dnsmessage.ClassINET}}}
	b, err := q.Pack()
	if err != nil {
		s.t.Fatal(err)
	}
	return shown(s.t, s.say(network, b))
}

// say sends a message and gives what comes back.
func (s *stage) say(network string, b []byte) []byte {
	s.t.Helper()
	c, err := net.Dial(network, s.Addrs()[0].String())
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(deadline))
	if network == "tcp" {
		b = append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...)
	}
	if _, err := c.Write(b); err != nil {
		s.t.Fatal(err)
	}
	reply := make([]byte, 65535)
	if network == "tcp" {
		if _, err := io.ReadFull(c, reply[:2]); err != nil {
			s.t.Fatal(err)
		}
		reply = reply[:binary.BigEndian.Uint16(reply)]
		if _, err := io.ReadFull(c, reply); err != nil {
			s.t.Fatal(err)
		}
		return reply
	}
	n, err := c.Read(reply)
	if err != nil {
		s.t.Fatal(err)
	}
	return reply[:n]
}

func shown(t *testing.T, b []byte) string {
	t.Helper()
	var m dnsmessage.Message
	if err := m.Unpack(b); err != nil {
		t.Fatal(err)
	}
	if m.ID != 4711 {
		t.Errorf("the answer's id is %d", m.ID)
	}
	words := []string{strings.TrimPrefix(m.RCode.String(), "RCode")}
	if m.Truncated {
		words = append(words, "truncated")
	}
	var addresses []string
	for _, a := range m.Answers {
		switch v := a.Body.(type) {
		case *dnsmessage.AResource:
			addresses = append(addresses, netip.AddrFrom4(v.A).String())
		case *dnsmessage.AAAAResource:
			addresses = append(addresses, netip.AddrFrom16(v.AAAA).String())
		case *dnsmessage.CNAMEResource:
			words = append(words, v.CNAME.String())
		}
	}
	slices.Sort(addresses)
	return strings.Join(append(words, addresses...), " ")
}

func TestAnswers(t *testing.T) {
	r := resolve(t, func(q dnsmessage.Message, tcp bool) []dnsmessage.Message {
		if strings.HasPrefix(q.Questions[0].Name.String(), "missing.") {
			q.Response, q.RCode = true, dnsmessage.RCodeNameError
			return []dnsmessage.Message{q}
		}
		return []dnsmessage.Message{says(q, "192.0.2.1")}
	})
	s := play(t, r.at)
	for _, network := range []string{"udp", "tcp"} {
		for _, c := range []struct {
			name string
			kind dnsmessage.Type
			want string
			asks bool
		}{
			{"REVIEWS.ns.", dnsmessage.TypeA, "Success 10.96.0.1", false},
			{"reviews.ns.", dnsmessage.TypeAAAA, "Success", false},
			{"ratings.other.", dnsmessage.TypeAAAA, "Success fd00::2", false},
			{"mysql.", dnsmessage.TypeA, "Success 10.0.0.1 10.0.0.2 10.0.0.3", false},
			{"www.example.com.ns.svc.cluster.local.", dnsmessage.TypeA, "Success www.example.com. 240.240.0.1", false},
			{"www.example.com.", 65, "Success", false}, // what services are by other means leads past the mesh
			{"reviews.ns.", dnsmessage.TypeTXT, "Success 192.0.2.1", true},
			{"elsewhere.example.", dnsmessage.TypeA, "Success 192.0.2.1", true},
			{"missing.example.", dnsmessage.TypeA, "NameError", true},
		} {
			before := r.asked.Load()
			if got := s.ask(network, c.name, c.kind); got != c.want {
				t.Errorf("%s of %s over %s: %s, want %s", c.kind, c.name, network, got, c.want)
			}
			if asks := r.asked.Load() != before; asks != c.asks {
				t.Errorf("%s of %s over %s: the resolver is asked: %v", c.kind, c.name, network, asks)
			}
		}
	}
	if n := s.count(answered); n != 12 {
		t.Errorf("%d were answered from the table, want 12", n)
	}
}

// TestShares has who takes the first address be sent to each.
func TestShares(t *testing.T) {
	s := play(t)
	first := map[string]bool{}
	for end := time.Now().Add(deadline); len(first) < 3 && time.Now().Before(end); {
		var m dnsmessage.Message
		q := dnsmessage.Message{Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName("mysql."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}}}
		b, _ := q.Pack()
		if err := m.Unpack(s.say("udp", b)); err != nil {
			t.Fatal(err)
		}
		first[m.Answers[0].Body.GoString()] = true
	}
	if len(first) < 3 {
		t.Errorf("only %d of 3 addresses come first", len(first))
	}
}

func TestResolversFail(t *testing.T) {
	silent := func(dnsmessage.Message, bool) []dnsmessage.Message { return nil }
	code := func(c dnsmessage.RCode) func(dnsmessage.Message, bool) []dnsmessage.Message {
		return func(q dnsmessage.Message, _ bool) []dnsmessage.Message {
			q.Response, q.RCode = true, c
			return []dnsmessage.Message{q}
		}
	}
	good := func(q dnsmessage.Message, _ bool) []dnsmessage.Message {
		return []dnsmessage.Message{says(q, "192.0.2.1")}
	}
	for _, c := range []struct {
		name string
		of   []func(dnsmessage.Message, bool) []dnsmessage.Message
		want string
	}{
		{"nobody is there", nil, "ServerFailure"},
		{"nobody answers", []func(dnsmessage.Message, bool) []dnsmessage.Message{silent, silent}, "ServerFailure"},
		{"the second answers", []func(dnsmessage.Message, bool) []dnsmessage.Message{silent, good}, "Success 192.0.2.1"},
		{"the first has failed", []func(dnsmessage.Message, bool) []dnsmessage.Message{code(dnsmessage.RCodeServerFailure), good}, "Success 192.0.2.1"},
		{"the first does not want to", []func(dnsmessage.Message, bool) []dnsmessage.Message{code(dnsmessage.RCodeRefused), good}, "Success 192.0.2.1"},
		{"all do not want to", []func(dnsmessage.Message, bool) []dnsmessage.Message{code(dnsmessage.RCodeRefused), silent}, "Refused"},
		{"the first says that there is none", []func(dnsmessage.Message, bool) []dnsmessage.Message{code(dnsmessage.RCodeNameError), good}, "NameError"},
		{"others than the one who was asked answer before", []func(dnsmessage.Message, bool) []dnsmessage.Message{func(q dnsmessage.Message, _ bool) []dnsmessage.Message {
			other, wrong, ours := says(q, "203.0.113.1"), says(q, "203.0.113.2"), q
			other.ID++
			wrong.Questions = []dnsmessage.Question{{Name: dnsmessage.MustNewName("other.example."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}}
			return []dnsmessage.Message{ours, other, wrong, says(q, "192.0.2.1")}
		}}, "Success 192.0.2.1"},
		{"an answer of 2,000 addresses", []func(dnsmessage.Message, bool) []dnsmessage.Message{func(q dnsmessage.Message, _ bool) []dnsmessage.Message {
			var all []string
			for i := range 2000 {
				all = append(all, netip.AddrFrom4([4]byte{192, 0, byte(i >> 8), byte(i)}).String())
			}
			return []dnsmessage.Message{says(q, all...)}
		}}, "Success truncated"},
		{"an answer that is longer than it may be", []func(dnsmessage.Message, bool) []dnsmessage.Message{func(q dnsmessage.Message, _ bool) []dnsmessage.Message {
			var all []string
			for i := range 100 {
				all = append(all, netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}).String())
			}
			return []dnsmessage.Message{says(q, all...)}
		}}, "Success truncated"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var servers []netip.AddrPort
			for _, do := range c.of {
				servers = append(servers, resolve(t, do).at)
			}
			s := play(t, servers...)
			if got := s.ask("udp", "elsewhere.example.", dnsmessage.TypeA); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
			if strings.HasPrefix(c.name, "others") && s.count(stray) != 3 {
				t.Errorf("%d messages are strays, want 3", s.count(stray))
			}
			if failed := s.count(upstreamFailures); failed != 0 != (c.want == "ServerFailure") {
				t.Errorf("%d have failed", failed)
			}
		})
	}
}

// TestAtOnce has all resolvers be asked at the same time: those that do not answer are not waited for, and those that cannot say are not believed while others can.
func TestAtOnce(t *testing.T) {
	kinds := map[string]func(dnsmessage.Message, bool) []dnsmessage.Message{
		"silent": func(dnsmessage.Message, bool) []dnsmessage.Message { return nil },
		"refuses": func(q dnsmessage.Message, _ bool) []dnsmessage.Message {
			q.Response, q.RCode = true, dnsmessage.RCodeRefused
			return []dnsmessage.Message{q}
		},
		"good": func(q dnsmessage.Message, _ bool) []dnsmessage.Message {
			return []dnsmessage.Message{says(q, "192.0.2.1")}
		},
	}
	for of, want := range map[string]string{"silent refuses good": "Success 192.0.2.1", "silent refuses": "Refused", "silent silent": "ServerFailure"} {
		var servers []netip.AddrPort
		for kind := range strings.FieldsSeq(of) {
			servers = append(servers, resolve(t, kinds[kind]).at)
		}
		s := playWith(t, true, servers...)
		if strings.Contains(of, "good") {
			s.resolvers.last.Store(&settings{servers: servers, try: maxTry})
		}
		for _, network := range []string{"udp", "tcp"} {
			began := time.Now()
			if got := s.ask(network, "elsewhere.example.", dnsmessage.TypeA); got != want {
				t.Errorf("of %s over %s: %s, want %s", of, network, got, want)
			}
			if took := time.Since(began); strings.Contains(of, "good") && took > time.Second {
				t.Errorf("of %s over %s: it took %v", of, network, took)
			}
		}
	}
}

// TestCircle has a proxy be told of itself as a resolver in a way that no file shows: the question comes back, and ends there.
func TestCircle(t *testing.T) {
	s := play(t)
	s.resolvers.last.Store(&settings{servers: s.Addrs(), try: time.Second})
	for _, network := range []string{"udp", "tcp"} {
		before := s.count(requests)
		if got := s.ask(network, "elsewhere.example.", dnsmessage.TypeA); got != "Refused" {
			t.Errorf("over %s: %s", network, got)
		}
		if n := s.count(requests) - before; n != 2 {
			t.Errorf("over %s: it went round: %d questions", network, n)
		}
	}
	if s.count(loops) != 2 {
		t.Errorf("%d circles were counted", s.count(loops))
	}
}

// TestFull has no more questions wait for resolvers than may.
func TestFull(t *testing.T) {
	s := play(t)
	for range cap(s.forward.slots) {
		s.forward.slots <- struct{}{}
	}
	for _, network := range []string{"udp", "tcp"} {
		if got := s.ask(network, "elsewhere.example.", dnsmessage.TypeA); got != "ServerFailure" {
			t.Errorf("over %s: %s", network, got)
		}
		if got := s.ask(network, "reviews.", dnsmessage.TypeA); got != "Success 10.96.0.1" {
			t.Errorf("over %s, of the table: %s", network, got)
		}
	}
	if s.count(overflow) != 2 {
		t.Errorf("%d were refused", s.count(overflow))
	}
	for range cap(s.forward.slots) {
		<-s.forward.slots
	}
}

func TestNoTable(t *testing.T) {
	s := play(t)
	s.table.Store(nil)
	if got := s.ask("udp", "reviews.", dnsmessage.TypeA); got != "ServerFailure" {
		t.Errorf("without a table: %s", got)
	}
	if s.Ready() {
		t.Error("it is ready without a table")
	}
	if err := s.Tell([]byte{0xff}); err == nil || s.Ready() {
		t.Errorf("what is no table is taken: %v", err)
	}
	if err := s.Tell(nil); err != nil || !s.Ready() {
		t.Errorf("an empty table is not taken: %v", err)
	}
}

func TestMalformed(t *testing.T) {
	s := play(t)
	good := dnsmessage.Message{Header: dnsmessage.Header{ID: 4711}, Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName("reviews."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}}}
	b, _ := good.Pack()
	cut := b[:len(b)-2]
	if got := shown(t, s.say("udp", cut)); got != "FormatError" {
		t.Errorf("part of a question: %s", got)
	}
	update := append([]byte(nil), b...)
	update[2] |= 5 << 3
	if got := shown(t, s.say("udp", update)); got != "NotImplemented" {
		t.Errorf("an update: %s", got)
	}
	// What is no question gets no answer, so that nobody can have two such answer each other.
	c, err := net.Dial("udp", s.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	response := append([]byte(nil), b...)
	response[2] |= 1 << 7
	for _, m := range [][]byte{response, b[:5], make([]byte, maxQuery+100), b} {
		if _, err := c.Write(m); err != nil {
			t.Fatal(err)
		}
	}
	c.SetDeadline(time.Now().Add(deadline))
	reply := make([]byte, 512)
	n, err := c.Read(reply)
	if err != nil || shown(t, reply[:n]) != "Success 10.96.0.1" {
		t.Errorf("the first answer is %x, %v", reply[:n], err)
	}
	if s.count(malformed) != 4 {
		t.Errorf("%d were counted", s.count(malformed))
	}
}

// TestBothFamilies listens where pods of two families have their DNS.
func TestBothFamilies(t *testing.T) {
	p, err := Listen(Options{Addrs: []string{"127.0.0.1:0", "[::1]:0"}, Namespace: "ns", Domain: "ns.svc.cluster.local"})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	p.Serve()
	if err := p.Tell(mesh); err != nil {
		t.Fatal(err)
	}
	for _, at := range p.Addrs() {
		s := &stage{Proxy: &Proxy{addrs: []netip.AddrPort{at}}, t: t}
		for _, network := range []string{"udp", "tcp"} {
			if got := s.ask(network, "reviews.", dnsmessage.TypeA); got != "Success 10.96.0.1" {
				t.Errorf("at %s over %s: %s", at, network, got)
			}
		}
	}
}

func TestAddresses(t *testing.T) {
	for address, want := range map[string]string{"0.0.0.0:0": "asked from afar", "192.0.2.1:0": "asked from afar", "localhost": "no address"} {
		if p, err := Listen(Options{Addrs: []string{address}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", address, err, want)
			if err == nil {
				p.Close()
			}
		}
	}
}

// BenchmarkExchange tells how long a question takes over a socket, to the answer.
func BenchmarkExchange(b *testing.B) {
	p, err := Listen(Options{Addrs: []string{"127.0.0.1:0"}, Namespace: "ns", Domain: "ns.svc.cluster.local"})
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	p.Serve()
	if err := p.Tell(mesh); err != nil {
		b.Fatal(err)
	}
	c, err := net.Dial("udp", p.Addrs()[0].String())
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	m := dnsmessage.Message{Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName("reviews."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}}}
	message, _ := m.Pack()
	reply := make([]byte, 512)
	for b.Loop() {
		c.Write(message)
		if _, err := c.Read(reply); err != nil {
			b.Fatal(err)
		}
	}
}
