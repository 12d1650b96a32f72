package dns

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/wire/dns"
)

// maxQuery is the largest datagram that is read, in bytes: what a question needs with all that may be beside it, and what a resolver may say to one that has said it takes as much.
const maxQuery = 4096

// Options are what a Proxy is made from.
type Options struct {
	// Addrs are where it listens, each over UDP and TCP: "127.0.0.1:15053", "[::1]:15053". Others than loopback are refused: whoever could ask from afar could have us answer others.
	Addrs []string
	// Namespace and Domain are the proxy's: names of services in it are known by their first word alone. Domain is "ns.svc.cluster.local", with the namespace or without.
	Namespace, Domain string
	// Resolvers is the file that says who else is asked (resolv.conf(5)); empty: /etc/resolv.conf.
	Resolvers string
	// AtOnce has all resolvers be asked at the same time, and the first answer count (DNS_FORWARD_PARALLEL); else they are asked in turn.
	AtOnce bool
	// Listen and ListenPacket open the sockets of an address; nil: as net's.
	Listen       func(network, address string) (net.Listener, error)
	ListenPacket func(network, address string) (net.PacketConn, error)
	Store        *telemetry.Store // where questions are counted; nil: in one of its own
	Log          *slog.Logger     // nil: nothing is said
}

// Proxy answers. Its methods may be called from anywhere.
type Proxy struct {
	o         Options
	addrs     []netip.AddrPort
	resolvers resolvers
	forward   forward
	table     atomic.Pointer[table] // nil: none was told yet
	values    *telemetry.Values
	ctx       context.Context
	end       context.CancelFunc
	sockets   []io.Closer
	left      atomic.Bool // another process answers in its place
	running   sync.WaitGroup
	room      chan struct{} // for connections
	circled   atomic.Bool   // that was said
	failing   atomic.Bool   // that nobody answers was said, since somebody did

	mu    sync.Mutex
	conns map[net.Conn]bool
}

// Listen opens the sockets. Serve has what comes there be answered.
func Listen(o Options) (*Proxy, error) {
	if o.Resolvers == "" {
		o.Resolvers = "/etc/resolv.conf"
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Store == nil {
		o.Store = telemetry.NewStore(0)
	}
	if o.Listen == nil {
		o.Listen, o.ListenPacket = net.Listen, net.ListenPacket
	}
	p := &Proxy{o: o, room: make(chan struct{}, maxConnections), conns: map[net.Conn]bool{}}
	p.values = o.Store.Acquire(Stats, "dns.").Loop(o.Store.Loops())
	p.forward = forward{slots: make(chan struct{}, maxWaiting), count: p.values.Inc, atOnce: o.AtOnce, mine: map[flight]bool{}}
	p.ctx, p.end = context.WithCancel(context.Background())
	for _, a := range o.Addrs {
		if err := p.listen(a); err != nil {
			p.Close()
			return nil, err
		}
	}
	p.resolvers.path, p.resolvers.self, p.resolvers.log, p.resolvers.now = o.Resolvers, p.addrs, o.Log, time.Now
	p.resolvers.last.Store(&settings{})
	p.resolvers.get()
	return p, nil
}

// Serve begins to answer. Until it is told a table it answers that it cannot (SERVFAIL), so that nobody gets the address of a name that the mesh has another one for.
func (p *Proxy) Serve() {
	for _, s := range p.sockets {
		switch s := s.(type) {
		case *net.UDPConn:
			p.running.Go(func() { p.datagrams(s) })
		case *net.TCPListener:
			p.running.Go(func() { p.accept(s) })
		}
	}
}

// Leave takes no more questions: another process has the same sockets, and answers. What was asked here is answered here.
func (p *Proxy) Leave() {
	p.left.Store(true)
	for _, s := range p.sockets {
		switch s := s.(type) {
		case *net.UDPConn:
			s.SetReadDeadline(time.Unix(1, 0)) // answers still go by it
		case *net.TCPListener:
			s.Close()
		}
	}
}

// listen opens both sockets of an address. One of port 0 has the same port for both.
func (p *Proxy) listen(address string) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("dns: %q is no address to listen at: want one such as 127.0.0.1:15053", address)
	}
	if !at.Addr().IsLoopback() {
		return fmt.Errorf("dns: %s can be asked from afar: want an address of loopback", at)
	}
	tcp, err := p.o.Listen("tcp", at.String())
	if err != nil {
		return fmt.Errorf("dns: %w", err)
	}
	p.sockets = append(p.sockets, tcp)
	at = tcp.Addr().(*net.TCPAddr).AddrPort()
	udp, err := p.o.ListenPacket("udp", at.String())
	if err != nil {
		return fmt.Errorf("dns: %w", err)
	}
	p.sockets = append(p.sockets, udp)
	p.addrs = append(p.addrs, at)
	return nil
}

// Addrs are where it listens.
func (p *Proxy) Addrs() []netip.AddrPort { return p.addrs }

// Tell has it answer by another table: an encoded istio.networking.nds.v1.NameTable. An error says why it is none; the one before stays then.
func (p *Proxy) Tell(table []byte) error {
	t, err := parseTable(table, newOwn(p.o.Namespace, p.o.Domain))
	if err != nil {
		return err
	}
	p.values.Set(names, uint64(t.names))
	p.values.Set(cutNames, uint64(t.cut))
	p.table.Store(t)
	return nil
}

// Ready tells whether there is a table.
func (p *Proxy) Ready() bool { return p.table.Load() != nil }

// Close ends it. Who waits for an answer gets none.
func (p *Proxy) Close() {
	p.end()
	for _, s := range p.sockets {
		s.Close()
	}
	p.mu.Lock()
	for c := range p.conns {
		c.Close()
	}
	p.mu.Unlock()
	p.running.Wait()
}

// datagrams answers questions that come over UDP. What the table knows is answered at once; what others have to be asked is not waited for.
func (p *Proxy) datagrams(conn *net.UDPConn) {
	room, out := make([]byte, maxQuery+1), make([]byte, 0, maxQuery)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(room)
		if errors.Is(err, net.ErrClosed) || p.left.Load() && errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
		if err != nil { // such as that there is no memory: it is tried again
			p.pause()
			continue
		}
		if n > maxQuery {
			p.values.Inc(malformed)
			continue
		}
		reply, q, ask := p.answer(out[:0], room[:n], from.Port(), false)
		if !ask {
			if len(reply) > 0 {
				conn.WriteToUDPAddrPort(reply, from)
			}
			continue
		}
		select {
		case p.forward.slots <- struct{}{}:
		default:
			p.values.Inc(overflow)
			conn.WriteToUDPAddrPort(dns.AppendRefusal(out[:0], room[:n], dns.Failed), from)
			continue
		}
		message := append([]byte(nil), room[:n]...)
		p.running.Go(func() {
			defer func() { <-p.forward.slots }()
			reply := p.others(message, false)
			if len(reply) > q.Room {
				reply = dns.Short(reply, message)
			}
			conn.WriteToUDPAddrPort(reply, from)
		})
	}
}

// pause waits a moment before what has failed is tried again.
func (p *Proxy) pause() {
	select {
	case <-time.After(10 * time.Millisecond):
	case <-p.ctx.Done():
	}
}

// answer says to a message what can be said at once; ask: others have to be asked. Nothing is said to what is no question. What it gives lies in out or is new.
func (p *Proxy) answer(out, message []byte, port uint16, tcp bool) (reply []byte, q dns.Query, ask bool) {
	p.values.Inc(requests)
	q, err := dns.ParseQuery(message)
	switch {
	case errors.Is(err, dns.ErrNoQuery):
		p.values.Inc(malformed)
		return nil, q, false
	case errors.Is(err, dns.ErrOperation):
		return dns.AppendRefusal(out, message, dns.Unimplemented), q, false
	case err != nil:
		p.values.Inc(malformed)
		return dns.AppendRefusal(out, message, dns.Malformed), q, false
	}
	if p.forward.circles(port, q.ID) {
		p.values.Inc(loops)
		if !p.circled.Swap(true) {
			p.o.Log.Error("a question that we ask a resolver comes back to us: it is refused. Let the questions of the proxy's own user and group pass (ISTIO_OUTPUT), and see that resolv.conf names others", "file", p.o.Resolvers)
		}
		return dns.AppendRefusal(out, message, dns.Refused), q, false
	}
	t := p.table.Load()
	if t == nil {
		p.values.Inc(early)
		return dns.AppendRefusal(out, message, dns.Failed), q, false
	}
	room := q.Room
	if tcp {
		room = dns.MaxMessage
	}
	r, is := t.reply(&q, p.resolvers.last.Load().search)
	if !is {
		return nil, q, true
	}
	p.values.Inc(answered)
	return dns.AppendReply(out, message, &q, &r, room), q, false
}

// Types that name services by other than their addresses (RFC 9460): those of a name that the mesh has would lead past it, since they have addresses and keys in them.
const (
	typeSVCB  = 64
	typeHTTPS = 65
)

// reply is what a table says to a question; false: it says nothing of it.
func (t *table) reply(q *dns.Query, search string) (out dns.Reply, is bool) {
	if q.Type != dns.A && q.Type != dns.AAAA && q.Type != typeSVCB && q.Type != typeHTTPS {
		return out, false
	}
	var lower [maxName]byte
	n := copy(lower[:], q.Name)
	if n == 0 || len(q.Name)-1 > maxName {
		return out, false
	}
	if n == len(q.Name) {
		n-- // the dot at its end
	}
	for i, c := range lower[:n] {
		if c >= 'A' && c <= 'Z' {
			lower[i] = c + 'a' - 'A'
		}
	}
	r, alias, is := t.lookup(string(lower[:n]), search)
	if !is {
		return out, false
	}
	if alias != "" {
		out.Alias = alias + "."
	}
	if q.Type == dns.A || q.Type == dns.AAAA {
		out.Addresses = r.addresses(q.Type)
	}
	if len(out.Addresses) > 1 {
		out.First = rand.IntN(len(out.Addresses)) // who takes the first is sent to another each time
	}
	return out, true
}

// others has resolvers answer a message.
func (p *Proxy) others(message []byte, tcp bool) []byte {
	p.values.Inc(upstreamRequests)
	began := time.Now()
	reply, err := p.forward.ask(p.ctx, message, tcp, p.resolvers.get())
	p.values.Observe(upstreamTime, uint64(time.Since(began).Milliseconds()))
	if err != nil {
		p.values.Inc(upstreamFailures)
		if !p.failing.Swap(true) {
			p.o.Log.Warn("no resolver answers: who asks for names that are not of the mesh is told so (SERVFAIL)", "error", err)
		}
		return dns.AppendRefusal(nil, message, dns.Failed)
	}
	p.failing.Store(false)
	return reply
}
