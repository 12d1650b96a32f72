package dns

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/net/dns/dnsmessage"
)

// Bounds of what a server says over UDP, in bytes (RFC 1035 §4.2.1, RFC 6891 §6.2.5).
const (
	minDatagram = 512
	// maxReply is what we say in one datagram, whatever somebody takes: what crosses a network without an effort.
	maxReply = 4096
	// MaxMessage is what a message has room for over TCP.
	MaxMessage = 65535
)

// headerSize is that of a message's header.
const headerSize = 12

// maxExtras is how many records a question may have beside it: one says what its sender can (EDNS), and few have another.
const maxExtras = 8

// Query is a message with a question, as a server sees it.
type Query struct {
	ID   uint16
	Name string // as it was asked, with the dot at its end
	Type Type
	// Room is how many bytes of an answer the one who asks takes in a datagram.
	Room int
	// Extended says that he has said what he can (EDNS), so that an answer says the same of us.
	Extended  bool
	Recursive bool // he wants somebody else to be asked if need be
	end       int  // of the question, in the message
}

// Reasons why a query is not answered with what it asks for.
var (
	// ErrNoQuery is a message that is none: whoever sent it gets no answer.
	ErrNoQuery = errors.New("dns: not a question")
	// ErrOperation is one about something else than a name (RFC 1035 §4.1.1).
	ErrOperation = errors.New("dns: an operation that is not a question")
)

// ParseQuery reads a message with one question. Of other errors than ErrNoQuery the one who asks can be told, by Refuse.
func ParseQuery(b []byte) (q Query, err error) {
	var p dnsmessage.Parser
	h, err := p.Start(b)
	if err != nil || h.Response {
		return q, ErrNoQuery
	}
	q.ID, q.Recursive, q.Room = h.ID, h.RecursionDesired, minDatagram
	if h.OpCode != 0 {
		return q, ErrOperation
	}
	if n := binary.BigEndian.Uint16(b[4:]); n != 1 {
		return q, fmt.Errorf("dns: %d questions in a message: want one", n)
	}
	one, err := p.Question()
	if err != nil {
		return q, fmt.Errorf("dns: %w", err)
	}
	if one.Class != dnsmessage.ClassINET && one.Class != dnsmessage.ClassANY && one.Class != dnsmessage.ClassCHAOS {
		return q, fmt.Errorf("dns: a question of class %d", one.Class)
	}
	q.Name, q.Type = one.Name.String(), Type(one.Type)
	if one.Class != dnsmessage.ClassINET {
		q.Type = 0 // of another kind of names than hosts'
	}
	if q.end = questionEnd(b); q.end < 0 {
		return q, errors.New("dns: the question is not whole")
	}
	if err := p.SkipAllQuestions(); err != nil {
		return q, fmt.Errorf("dns: %w", err)
	}
	if binary.BigEndian.Uint16(b[6:]) > 0 || binary.BigEndian.Uint16(b[8:]) > 0 {
		return q, errors.New("dns: a question with an answer in it")
	}
	if n := binary.BigEndian.Uint16(b[10:]); n > maxExtras {
		return q, fmt.Errorf("dns: a question with %d records beside it: want %d at most", n, maxExtras)
	}
	_ = p.SkipAllAnswers() // of which there are none, nor of the next
	_ = p.SkipAllAuthorities()
	for {
		extra, err := p.AdditionalHeader()
		if err == dnsmessage.ErrSectionDone {
			return q, nil
		}
		if err == nil && extra.Type == dnsmessage.TypeOPT {
			q.Extended, q.Room = true, min(max(int(extra.Class), minDatagram), maxReply)
		}
		if err == nil {
			err = p.SkipAdditional()
		}
		if err != nil {
			return q, fmt.Errorf("dns: %w", err)
		}
	}
}

// questionEnd is where the first question of a message ends; negative: it has none, or a name that is not written out.
func questionEnd(b []byte) int {
	at := headerSize
	for at < len(b) && b[at] != 0 {
		if b[at] > 63 { // there is nothing before it that it could point to
			return -1
		}
		at += 1 + int(b[at])
	}
	if at += 1 + 4; at > len(b) {
		return -1
	}
	return at
}

// TTL is how long our answers hold, in seconds: short, since what a mesh says of a name may change.
const TTL = 30

// Codes of answers.
const (
	Malformed     = uint16(dnsmessage.RCodeFormatError)
	Failed        = uint16(dnsmessage.RCodeServerFailure)
	Unimplemented = uint16(dnsmessage.RCodeNotImplemented)
	Refused       = uint16(dnsmessage.RCodeRefused)
)

// AppendRefusal writes, behind b, that a message is not answered and why: by a code. It needs no more of it than its header, and repeats its question if it has one that can be read.
func AppendRefusal(b, message []byte, code uint16) []byte {
	if len(message) < headerSize {
		return b
	}
	at := len(b)
	b = append(b, message[:headerSize]...)
	b[at+2] = 1<<7 | message[2]&(0xf<<3|1) // a response, of the same operation, and what was wanted
	b[at+3] = 1<<7 | byte(code&0xf)
	clear(b[at+4:])
	if end := questionEnd(message); end > 0 && binary.BigEndian.Uint16(message[4:]) > 0 {
		b[at+5] = 1
		b = append(b, message[headerSize:end]...)
	}
	return b
}

// Reply is what is known of a name that is asked for.
type Reply struct {
	// Alias is another name, with the dot at its end, that the addresses are of; empty: they are of the one that was asked for.
	Alias string
	// Addresses are of the type that was asked for; none: it has none of it, though it is there.
	Addresses []netip.Addr
	// First is which of them comes first: the others follow in a circle.
	First int
}

// AppendReply writes, behind b, an answer of whoever knows. Of addresses for which there is no room the last are left out, and the answer says so: then it is asked for over TCP. room is in bytes.
func AppendReply(b, message []byte, q *Query, r *Reply, room int) []byte {
	at := len(b)
	b = append(b, message[:q.end]...)
	// A response that we stand for (AA), who would ask others if need be (RA), and whether that was wanted.
	b[at+2], b[at+3] = 1<<7|1<<2|message[2]&1, 1<<7
	clear(b[at+4 : at+headerSize])
	b[at+5] = 1
	room -= q.end
	const optSize = 11
	if q.Extended {
		room -= optSize
	}
	answers, truncated := 0, false
	owner := uint16(0xc000 | headerSize) // a pointer to the name that was asked for
	if len(r.Addresses) > 0 && r.Alias != "" {
		if start := len(b); 12+len(r.Alias)+1 <= room {
			b = appendRecord(b, owner, uint16(dnsmessage.TypeCNAME), len(r.Alias)+1)
			owner = 0xc000 | uint16(len(b)-at)
			b = appendName(b, r.Alias)
			answers++
			room -= len(b) - start
		} else {
			truncated = true
		}
	}
	for i := range r.Addresses {
		ip := r.Addresses[(i+r.First)%len(r.Addresses)]
		size := 12 + ip.BitLen()/8
		if truncated = truncated || size > room; truncated {
			break
		}
		room -= size
		b = appendRecord(b, owner, uint16(q.Type), ip.BitLen()/8)
		if ip.Is4() {
			a := ip.As4()
			b = append(b, a[:]...)
		} else {
			a := ip.As16()
			b = append(b, a[:]...)
		}
		answers++
	}
	if truncated {
		b[at+2] |= 1 << 1
	}
	binary.BigEndian.PutUint16(b[at+6:], uint16(answers))
	if q.Extended {
		b[at+11] = 1
		b = append(b, 0, 0, byte(dnsmessage.TypeOPT), MaxDatagram>>8, MaxDatagram&0xff, 0, 0, 0, 0, 0, 0)
	}
	return b
}

// appendRecord writes what a record has before its data, whose size is in bytes.
func appendRecord(b []byte, owner, kind uint16, size int) []byte {
	b = binary.BigEndian.AppendUint16(b, owner)
	b = binary.BigEndian.AppendUint16(b, kind)
	b = binary.BigEndian.AppendUint16(b, uint16(dnsmessage.ClassINET))
	b = binary.BigEndian.AppendUint32(b, TTL)
	return binary.BigEndian.AppendUint16(b, uint16(size))
}

// appendName writes a name with the dot at its end, whose labels are those of a question or of a table, and have been looked at.
func appendName(b []byte, name string) []byte {
	for len(name) > 1 {
		dot := 0
		for name[dot] != '.' {
			dot++
		}
		b = append(append(b, byte(dot)), name[:dot]...)
		name = name[dot+1:]
	}
	return append(b, 0)
}

// Answers tells whether reply is the answer to a query that was sent under an id: of the same question, whatever case its letters have. Whoever guesses neither gets nothing in. A server that
// could not read the question may leave it out.
func Answers(reply, query []byte, id uint16) bool {
	if len(reply) < headerSize || binary.BigEndian.Uint16(reply) != id || reply[2]&(1<<7) == 0 {
		return false
	}
	if code := Code(reply); binary.BigEndian.Uint16(reply[4:]) == 0 && (code == Malformed || code == Failed || code == Unimplemented || code == Refused) {
		return true
	}
	end := questionEnd(query)
	return end > 0 && binary.BigEndian.Uint16(reply[4:]) == 1 && questionEnd(reply) == end && bytes.EqualFold(reply[headerSize:end-4], query[headerSize:end-4]) &&
		bytes.Equal(reply[end-4:end], query[end-4:end])
}

// Code is how a server has answered: one of the codes, or 0 if all is well.
func Code(reply []byte) uint16 { return uint16(reply[3] & 0xf) }

// Short is a reply that says that there is more of it than a datagram has room for: then the same is asked for over TCP.
func Short(reply, query []byte) []byte {
	b := AppendRefusal(nil, query, 0)
	b[2] |= 1 << 1
	b[3] |= byte(Code(reply))
	return b
}
