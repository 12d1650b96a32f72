package dns

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/weftmesh/weft/wire/dns"
)

// Bounds of connections, of which who asks over UDP needs one when an answer is long.
const (
	maxConnections = 128
	idle           = 10 * time.Second // for which one may say nothing, and how long it may take to say or hear one thing
)

// accept answers questions that come over TCP.
func (p *Proxy) accept(l *net.TCPListener) {
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // such as that there are no more descriptors: those that are there end
			p.pause()
			continue
		}
		select {
		case p.room <- struct{}{}:
		default:
			p.values.Inc(refusedTCP)
			conn.Close()
			continue
		}
		p.mu.Lock()
		p.conns[conn] = true
		p.mu.Unlock()
		p.running.Go(func() {
			p.converse(conn)
			conn.Close()
			p.mu.Lock()
			delete(p.conns, conn)
			p.mu.Unlock()
			<-p.room
		})
	}
}

// converse answers the questions of a connection, one after the other, until it ends or has nothing to say.
func (p *Proxy) converse(conn net.Conn) {
	from, _ := netip.ParseAddrPort(conn.RemoteAddr().String())
	var message []byte
	for p.ctx.Err() == nil {
		conn.SetDeadline(time.Now().Add(idle))
		var size [2]byte
		if _, err := io.ReadFull(conn, size[:]); err != nil {
			return
		}
		n := int(binary.BigEndian.Uint16(size[:]))
		if n > maxQuery { // a question has no use for so much
			p.values.Inc(malformed)
			return
		}
		if message = append(message[:0], make([]byte, n)...); n == 0 {
			p.values.Inc(malformed)
			return
		}
		if _, err := io.ReadFull(conn, message); err != nil {
			return
		}
		reply, _, ask := p.answer(nil, message, from.Port(), true)
		if ask {
			select {
			case p.forward.slots <- struct{}{}:
				reply = p.others(message, true)
				<-p.forward.slots
			default:
				p.values.Inc(overflow)
				reply = dns.AppendRefusal(nil, message, dns.Failed)
			}
		}
		if len(reply) == 0 {
			return
		}
		conn.SetDeadline(time.Now().Add(idle))
		if _, err := conn.Write(append(binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(reply)), uint16(len(reply))), reply...)); err != nil || p.left.Load() {
			return // or the next question is for who has taken the place (RFC 7766, 6.2.3: either side may end a connection between two)
		}
	}
}
