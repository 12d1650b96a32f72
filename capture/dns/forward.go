package dns

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/weftmesh/weft/wire/dns"
)

// maxWaiting bounds the questions that wait for resolvers at a time. Each has a goroutine and a socket of its own, whose port nobody else can guess.
const maxWaiting = 512

// maxStray is how many messages that answer something else are looked at before a resolver is given up.
const maxStray = 32

// forward has resolvers answer a question. Each question goes out under an id and from a port that are drawn for it, and only the answer to it, from where it went, counts.
type forward struct {
	slots  chan struct{}
	count  func(row int)
	atOnce bool // all resolvers are asked at the same time, and the first answer counts

	mu   sync.Mutex
	mine map[flight]bool // what is under way: a question that comes in as one of these has gone in a circle
}

// flight is a question on its way, by what shows where it comes from.
type flight struct {
	port, id uint16
}

// errNobody says that there is nobody to be asked.
var errNobody = errors.New("no resolver is known")

// circles tells whether a question that came from a port under an id is one of ours.
func (f *forward) circles(port, id uint16) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mine[flight{port, id}]
}

// ask puts a message to the resolvers in turn until one answers it, and gives the answer as it came, under the message's own id. A resolver that has failed, or does not want to, is not the last
// word while there is another.
func (f *forward) ask(ctx context.Context, message []byte, tcp bool, s *settings) (reply []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if f.atOnce && len(s.servers) > 1 {
		return f.askAll(ctx, message, tcp, s)
	}
	err = errNobody
	for range tries {
		for _, server := range s.servers {
			one, failed := f.exchange(ctx, message, tcp, server, s.try)
			if failed != nil {
				if err = failed; ctx.Err() != nil {
					return reply, err
				}
				continue
			}
			if reply, err = one, nil; settles(reply) {
				return reply, nil
			}
		}
		if reply != nil {
			break
		}
	}
	if reply != nil {
		return reply, nil
	}
	return nil, err
}

// settles tells whether an answer is the last word: not that somebody could not answer, or does not want to.
func settles(reply []byte) bool {
	code := dns.Code(reply)
	return code != dns.Failed && code != dns.Refused && code != dns.Unimplemented
}

// askAll puts a message to all resolvers at once.
func (f *forward) askAll(ctx context.Context, message []byte, tcp bool, s *settings) (reply []byte, err error) {
	ctx, cancel := context.WithCancel(ctx) // whoever is later is not waited for
	defer cancel()
	type answer struct {
		reply []byte
		err   error
	}
	answers := make(chan answer, len(s.servers))
	for _, server := range s.servers {
		go func() {
			reply, err := f.exchange(ctx, message, tcp, server, s.try)
			answers <- answer{reply, err}
		}()
	}
	for range s.servers {
		one := <-answers
		switch {
		case one.err != nil:
			err = one.err
		case settles(one.reply):
			return one.reply, nil
		default:
			reply = one.reply
		}
	}
	if reply != nil {
		return reply, nil
	}
	return nil, err
}

// exchange puts a message to one resolver.
func (f *forward) exchange(ctx context.Context, message []byte, tcp bool, server netip.AddrPort, try time.Duration) (reply []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, try)
	defer cancel()
	network := "udp"
	if tcp {
		network = "tcp"
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, server.String())
	if err != nil {
		return nil, fmt.Errorf("the resolver %s: %w", server, err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	b := make([]byte, 2+len(message))
	copy(b[2:], message)
	binary.BigEndian.PutUint16(b, uint16(len(message)))
	rand.Read(b[2:4])
	id := binary.BigEndian.Uint16(b[2:])
	local, _ := netip.ParseAddrPort(conn.LocalAddr().String())
	this := flight{local.Port(), id}
	f.mu.Lock()
	f.mine[this] = true
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		delete(f.mine, this)
		f.mu.Unlock()
	}()
	if tcp {
		reply, err = overTCP(conn, b)
		if err == nil && !dns.Answers(reply, message, id) {
			err = errors.New("an answer to another question")
		}
	} else {
		reply, err = f.overUDP(conn, b[2:], message, id)
	}
	if err != nil {
		return nil, fmt.Errorf("the resolver %s: %w", server, err)
	}
	copy(reply, message[:2])
	return reply, nil
}

func (f *forward) overUDP(conn net.Conn, b, message []byte, id uint16) ([]byte, error) {
	if _, err := conn.Write(b); err != nil {
		return nil, err
	}
	room := make([]byte, maxQuery+1)
	for range maxStray {
		n, err := conn.Read(room)
		if err != nil {
			return nil, err
		}
		if !dns.Answers(room[:n], message, id) {
			f.count(stray)
			continue
		}
		if n > maxQuery { // the rest of it is lost
			return dns.Short(room[:n], message), nil
		}
		return room[:n], nil
	}
	return nil, fmt.Errorf("%d messages that answer other questions", maxStray)
}

func overTCP(conn net.Conn, b []byte) ([]byte, error) {
	if _, err := conn.Write(b); err != nil {
		return nil, err
	}
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, err
	}
	reply := make([]byte, binary.BigEndian.Uint16(size[:]))
	_, err := io.ReadFull(conn, reply)
	return reply, err
}
