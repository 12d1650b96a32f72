package upstream

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/wire/dns"
)

// resolver asks name servers for addresses, on the goroutines of whoever wants to know: loops never wait for it.
type resolver struct {
	hosts, conf string        // files: names that are known without asking, and whom to ask
	slots       chan struct{} // one for each lookup that may be under way
}

// Bounds of a lookup.
const (
	maxLookups   = 64               // at once, in the process
	maxLookup    = 20 * time.Second // of one name, with all its tries
	maxServers   = 8                // that are asked for one name
	maxSearch    = 6                // domains in which a name is looked for
	maxNdots     = 15
	maxNamesFile = 1 << 20 // bytes of each of the files
	maxStray     = 32      // datagrams that answer another question, before a server is given up
)

func newResolver() *resolver {
	return &resolver{hosts: "/etc/hosts", conf: "/etc/resolv.conf", slots: make(chan struct{}, maxLookups)}
}

// lookup finds a name's addresses; none at all if the name has none. An error says that nobody knows.
func (r *resolver) lookup(ctx context.Context, c *config.Resolver, name string, f config.AddressFamily) (dns.Answer, error) {
	if ip, err := netip.ParseAddr(name); err == nil {
		return dns.Answer{Addresses: []dns.Address{{IP: ip}}}, nil
	}
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	case <-ctx.Done():
		return dns.Answer{}, ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, maxLookup)
	defer cancel()
	s := r.search(c)
	switch f {
	case config.FamilyV4:
		return r.ofType(ctx, c, &s, name, dns.A)
	case config.FamilyV6:
		return r.ofType(ctx, c, &s, name, dns.AAAA)
	case config.FamilyV4First:
		return r.either(ctx, c, &s, name, dns.A, dns.AAAA)
	case config.FamilyAll:
		v6, err6 := r.ofType(ctx, c, &s, name, dns.AAAA)
		v4, err4 := r.ofType(ctx, c, &s, name, dns.A)
		if err4 != nil && err6 != nil {
			return v4, err4
		}
		return dns.Answer{Addresses: append(v6.Addresses, v4.Addresses...), Cut: v6.Cut + v4.Cut}, nil
	default:
		return r.either(ctx, c, &s, name, dns.AAAA, dns.A)
	}
}

// either asks for one type and, if that leads to nothing, for the other.
func (r *resolver) either(ctx context.Context, c *config.Resolver, s *search, name string, first, second dns.Type) (dns.Answer, error) {
	if a, err := r.ofType(ctx, c, s, name, first); err == nil && len(a.Addresses) > 0 {
		return a, nil
	}
	return r.ofType(ctx, c, s, name, second)
}

// ofType finds the addresses of one type: in the file of hosts, or at a server, under the names that the search makes of it.
func (r *resolver) ofType(ctx context.Context, c *config.Resolver, s *search, name string, t dns.Type) (a dns.Answer, err error) {
	if found := r.known(name, t); len(found) > 0 {
		return dns.Answer{Addresses: found}, nil
	}
	for _, full := range s.names(name) {
		if a, err = r.ask(ctx, c, s.servers, dns.Question{Name: full, Type: t}); err != nil || len(a.Addresses) > 0 {
			break
		}
	}
	return a, err
}

// ask puts a question to the servers in turn, as often as may be, until one answers it.
func (r *resolver) ask(ctx context.Context, c *config.Resolver, servers []netip.AddrPort, q dns.Question) (a dns.Answer, err error) {
	for range c.Tries {
		for _, server := range servers {
			if a, err = exchange(ctx, c, server, q); err == nil || ctx.Err() != nil {
				return a, err
			}
		}
	}
	return a, err
}

// exchange puts a question to one server: over UDP, and over TCP if the answer is too long for that or nothing else is wanted.
func exchange(ctx context.Context, c *config.Resolver, server netip.AddrPort, q dns.Question) (dns.Answer, error) {
	var id [2]byte
	rand.Read(id[:]) // a number, like the socket's port, that nobody else can guess
	number := binary.BigEndian.Uint16(id[:])
	query, err := dns.AppendQuery(make([]byte, 2, 512), number, q)
	if err != nil {
		return dns.Answer{}, err
	}
	if !c.TCP {
		a, err := overUDP(ctx, c, server, query[2:], number, q)
		if err != nil || !a.Truncated {
			return a, err
		}
	}
	binary.BigEndian.PutUint16(query, uint16(len(query)-2))
	return overTCP(ctx, c, server, query, number, q)
}

// connect opens a socket to a server that is closed, at the latest, when the time for a try is over or nobody wants the answer any more.
func connect(ctx context.Context, c *config.Resolver, network string, server netip.AddrPort) (conn net.Conn, done func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	conn, err = (&net.Dialer{}).DialContext(ctx, network, server.String())
	if err != nil {
		cancel()
		return nil, nil, fmt.Errorf("upstream: name server %s: %w", server, err)
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	return conn, func() { stop(); cancel(); conn.Close() }, nil
}

func overUDP(ctx context.Context, c *config.Resolver, server netip.AddrPort, query []byte, number uint16, q dns.Question) (dns.Answer, error) {
	conn, done, err := connect(ctx, c, "udp", server)
	if err != nil {
		return dns.Answer{}, err
	}
	defer done()
	if _, err := conn.Write(query); err != nil {
		return dns.Answer{}, fmt.Errorf("upstream: name server %s: %w", server, err)
	}
	var b [4096]byte
	for range maxStray {
		n, err := conn.Read(b[:])
		if err != nil {
			return dns.Answer{}, fmt.Errorf("upstream: name server %s: %w", server, err)
		}
		if a, err := dns.ParseAnswer(b[:n], number, q); !errors.Is(err, dns.ErrOther) {
			return a, err
		}
	}
	return dns.Answer{}, fmt.Errorf("upstream: name server %s: %w", server, dns.ErrOther)
}

func overTCP(ctx context.Context, c *config.Resolver, server netip.AddrPort, query []byte, number uint16, q dns.Question) (dns.Answer, error) {
	conn, done, err := connect(ctx, c, "tcp", server)
	if err != nil {
		return dns.Answer{}, err
	}
	defer done()
	var size [2]byte
	if _, err = conn.Write(query); err == nil {
		_, err = io.ReadFull(conn, size[:])
	}
	b := make([]byte, binary.BigEndian.Uint16(size[:]))
	if err == nil {
		_, err = io.ReadFull(conn, b)
	}
	if err != nil {
		return dns.Answer{}, fmt.Errorf("upstream: name server %s: %w", server, err)
	}
	a, err := dns.ParseAnswer(b, number, q)
	if err == nil && a.Truncated {
		err = fmt.Errorf("upstream: name server %s: an answer over TCP is truncated", server)
	}
	return a, err
}

// search is whom to ask, and for which names.
type search struct {
	servers []netip.AddrPort
	domains []string
	ndots   int
}

// names are the names that a name may stand for, in the order in which they are asked for.
func (s *search) names(name string) []string {
	if strings.HasSuffix(name, ".") {
		return []string{name}
	}
	var out []string
	asIs := strings.Count(name, ".") >= s.ndots
	if asIs {
		out = append(out, name)
	}
	for _, d := range s.domains {
		out = append(out, name+"."+d)
	}
	if !asIs {
		out = append(out, name)
	}
	return out
}

// search reads what the machine says (resolv.conf(5)), as far as the configuration says nothing else. It is read each time, for it
// changes when the machine gets another network.
func (r *resolver) search(c *config.Resolver) search {
	s := search{ndots: 1}
	lines(r.conf, func(words []string) {
		switch words[0] {
		case "nameserver":
			if ip, err := netip.ParseAddr(words[min(1, len(words)-1)]); err == nil && len(s.servers) < maxServers {
				s.servers = append(s.servers, netip.AddrPortFrom(ip, 53))
			}
		case "search", "domain":
			s.domains = s.domains[:0]
			for _, d := range words[1:min(len(words), maxSearch+1)] {
				if d != "." {
					s.domains = append(s.domains, strings.TrimSuffix(d, "."))
				}
			}
		case "options":
			for _, o := range words[1:] {
				if v, ok := strings.CutPrefix(o, "ndots:"); ok {
					if n, err := strconv.Atoi(v); err == nil && n >= 0 {
						s.ndots = min(n, maxNdots)
					}
				}
			}
		}
	})
	if len(c.Servers) > 0 && (!c.Fallback || len(s.servers) == 0) {
		s.servers = c.Servers
	}
	if len(s.servers) == 0 {
		s.servers = []netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 53)}
	}
	if c.NoSearch {
		s.domains = nil
	}
	return s
}

// known are the addresses of a name in the file of hosts.
func (r *resolver) known(name string, t dns.Type) (found []dns.Address) {
	name = strings.TrimSuffix(name, ".")
	lines(r.hosts, func(words []string) {
		ip, err := netip.ParseAddr(words[0])
		if err != nil || ip.Is4() != (t == dns.A) || len(found) == dns.MaxAddresses {
			return
		}
		for _, w := range words[1:] {
			if strings.EqualFold(w, name) {
				found = append(found, dns.Address{IP: ip})
				return
			}
		}
	})
	return found
}

// lines calls f with the words of each line of a file. A file that is not there has none.
func lines(path string, f func(words []string)) {
	file, err := os.Open(path)
	if err != nil {
		return
	}
	defer file.Close()
	for s := bufio.NewScanner(io.LimitReader(file, maxNamesFile)); s.Scan(); {
		text, _, _ := strings.Cut(s.Text(), "#")
		if words := strings.Fields(text); len(words) > 0 && words[0][0] != ';' {
			f(words)
		}
	}
}
