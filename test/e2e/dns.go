package e2e

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// Names is a DNS server on loopback that says what it is told to, over UDP and TCP. It never answers for names that begin with "mute.",
// and refuses those that begin with "tcp-only." over UDP.
type Names struct {
	Port int
	udp  net.PacketConn
	tcp  net.Listener
	wait sync.WaitGroup

	mu      sync.Mutex
	records map[string][]dnsmessage.Resource // by name and type
	code    dnsmessage.RCode
	muted   bool
	short   bool
	asked   map[string]int // by "udp A" and so on
}

// DNS starts a server that knows no name. It is closed when the test ends.
func DNS(t testing.TB) *Names {
	t.Helper()
	n, err := ServeNames()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	return n
}

// ServeNames is DNS for whoever closes it.
func ServeNames() (*Names, error) {
	n := &Names{records: map[string][]dnsmessage.Resource{}, asked: map[string]int{}}
	for try := 0; ; try++ {
		var err error
		if n.tcp, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return nil, err
		}
		if n.udp, err = net.ListenPacket("udp", n.tcp.Addr().String()); err == nil {
			break
		}
		n.tcp.Close() // somebody else has the port for datagrams
		if try == 20 {
			return nil, err
		}
	}
	n.Port = n.tcp.Addr().(*net.TCPAddr).Port
	n.wait.Go(func() {
		b := make([]byte, 4096)
		for {
			size, from, err := n.udp.ReadFrom(b)
			if err != nil {
				return
			}
			if answer := n.answer(b[:size], "udp"); answer != nil {
				n.udp.WriteTo(answer, from)
			}
		}
	})
	n.wait.Go(func() {
		for {
			c, err := n.tcp.Accept()
			if err != nil {
				return
			}
			n.wait.Go(func() { n.serve(c) })
		}
	})
	return n, nil
}

// Close ends the server.
func (n *Names) Close() {
	n.udp.Close()
	n.tcp.Close()
	n.wait.Wait()
}

func (n *Names) serve(c net.Conn) {
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	var size [2]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return
	}
	b := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(c, b); err != nil {
		return
	}
	if answer := n.answer(b, "tcp"); answer != nil {
		c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...))
	}
}

func (n *Names) answer(b []byte, network string) []byte {
	var m dnsmessage.Message
	if err := m.Unpack(b); err != nil || len(m.Questions) != 1 {
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	q := m.Questions[0]
	kind := strings.TrimPrefix(q.Type.String(), "Type")
	name := strings.ToLower(q.Name.String())
	n.asked[network+" "+kind]++
	n.asked[name]++
	if n.muted || strings.HasPrefix(name, "mute.") {
		return nil
	}
	m.Response, m.RecursionAvailable, m.Additionals, m.RCode = true, true, nil, n.code
	for range 20 {
		list := n.records[name+" "+kind]
		m.Answers = append(m.Answers, list...)
		alias := n.records[name+" CNAME"]
		if len(list) > 0 || len(alias) == 0 {
			break
		}
		m.Answers = append(m.Answers, alias...)
		name = alias[0].Body.(*dnsmessage.CNAMEResource).CNAME.String()
	}
	known := false
	for k := range n.records {
		known = known || strings.HasPrefix(k, name+" ")
	}
	if !known && len(m.Answers) == 0 && m.RCode == dnsmessage.RCodeSuccess {
		m.RCode = dnsmessage.RCodeNameError
	}
	if network == "udp" && strings.HasPrefix(name, "tcp-only.") {
		m.RCode = dnsmessage.RCodeRefused
	}
	if m.RCode != dnsmessage.RCodeSuccess {
		m.Answers = nil
	}
	if n.short && network == "udp" {
		m.Answers, m.Truncated = nil, true
	}
	out, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return out
}

// Set gives a name its records of a type: A, AAAA or CNAME. ttl is in seconds. None at all leaves a name that exists, without any.
func (n *Names) Set(name, kind string, ttl uint32, values ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	list := []dnsmessage.Resource{}
	for _, v := range values {
		r := dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(name + "."), TTL: ttl, Class: dnsmessage.ClassINET}}
		switch kind {
		case "A":
			r.Body = &dnsmessage.AResource{A: netip.MustParseAddr(v).As4()}
		case "AAAA":
			r.Body = &dnsmessage.AAAAResource{AAAA: netip.MustParseAddr(v).As16()}
		case "CNAME":
			r.Body = &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName(v + ".")}
		default:
			panic("what is " + kind)
		}
		list = append(list, r)
	}
	n.records[name+". "+kind] = list
}

// Forget takes a name away.
func (n *Names) Forget(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for k := range n.records {
		if strings.HasPrefix(k, name+". ") {
			delete(n.records, k)
		}
	}
}

// Fail has every question answered with a failure of the server, or no longer.
func (n *Names) Fail(on bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.code = map[bool]dnsmessage.RCode{true: dnsmessage.RCodeServerFailure}[on]
}

// Mute has no question answered, or all again.
func (n *Names) Mute(on bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.muted = on
}

// Shorten has every answer truncated that goes over UDP.
func (n *Names) Shorten() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.short = true
}

// Asked is how many questions have come: of a name with a dot at its end, or of "udp A" and the like.
func (n *Names) Asked(what string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.asked[what]
}

// Resolver is a cluster's configuration, in YAML, that asks the server. more is of the resolver.
func (n *Names) Resolver(more string) string {
	return fmt.Sprintf(`typed_dns_resolver_config: {name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig, resolvers: [{socket_address: {address: 127.0.0.1, port_value: %d}}], %s}}`, n.Port, more)
}
