package dns

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// Bounds of an answer, which comes from whoever could send a datagram.
const (
	// MaxChain is how many names in a row may be aliases of the next.
	MaxChain = 16
	// MaxAddresses is how many addresses a name has; what is more is left out.
	MaxAddresses = 1000
	// MaxDatagram is what we say that we take in one datagram, in bytes: what crosses nearly every network in one piece.
	MaxDatagram = 1232
)

// Type is the family of addresses that is asked for.
type Type uint16

// The types.
const (
	A    = Type(dnsmessage.TypeA)
	AAAA = Type(dnsmessage.TypeAAAA)
)

// Question asks for the addresses of a name.
type Question struct {
	Name string // in full, with or without the dot at its end
	Type Type
}

// Answer is what a server says to a question.
type Answer struct {
	// Truncated says that there is more than the datagram had room for: the same is to be asked over TCP.
	Truncated bool
	// Missing says that there is no such name, or none of the name's records is of the type. Addresses is empty then.
	Missing   bool
	Addresses []Address
	Cut       int // addresses that were left out
}

// Address is one of a name's addresses, and how long that holds: its own TTL or, if it is shorter, an alias's on the way to it.
type Address struct {
	IP  netip.Addr
	TTL time.Duration
}

// Errors of a message that is no answer to the question.
var (
	ErrOther   = errors.New("dns: an answer to another question")
	ErrAliases = errors.New("dns: the aliases lead in a circle, or too far")
)

// ServerError is a server's refusal to answer.
type ServerError uint16

// Error names the code (RFC 1035 §4.1.1).
func (e ServerError) Error() string { return "dns: the server says " + dnsmessage.RCode(e).String() }

// AppendQuery writes a question as a message.
func AppendQuery(b []byte, id uint16, q Question) ([]byte, error) {
	name, err := dnsmessage.NewName(absolute(q.Name))
	if err != nil {
		return b, fmt.Errorf("dns: %q is no name: %w", q.Name, err)
	}
	w := dnsmessage.NewBuilder(b, dnsmessage.Header{ID: id, RecursionDesired: true})
	var opt dnsmessage.ResourceHeader
	if err = errors.Join(w.StartQuestions(),
		w.Question(dnsmessage.Question{Name: name, Type: dnsmessage.Type(q.Type), Class: dnsmessage.ClassINET}),
		w.StartAdditionals(),
		opt.SetEDNS0(MaxDatagram, dnsmessage.RCodeSuccess, false),
		w.OPTResource(opt, dnsmessage.OPTResource{})); err != nil {
		return b, fmt.Errorf("dns: %q cannot be asked for: %w", q.Name, err)
	}
	return w.Finish()
}

func absolute(name string) string {
	if strings.HasSuffix(name, ".") {
		return name
	}
	return name + "."
}

// ParseAnswer reads the message that answers a question. An error says that it does not, or that the server failed at it.
func ParseAnswer(b []byte, id uint16, q Question) (Answer, error) {
	var p dnsmessage.Parser
	h, err := p.Start(b)
	if err != nil {
		return Answer{}, fmt.Errorf("dns: %w", err)
	}
	if !h.Response || h.ID != id {
		return Answer{}, ErrOther
	}
	asked, err := p.Question()
	if err != nil || !strings.EqualFold(asked.Name.String(), absolute(q.Name)) || asked.Type != dnsmessage.Type(q.Type) || asked.Class != dnsmessage.ClassINET {
		return Answer{}, ErrOther
	}
	if err := p.SkipAllQuestions(); err != nil {
		return Answer{}, fmt.Errorf("dns: %w", err)
	}
	switch {
	case h.RCode == dnsmessage.RCodeNameError:
		return Answer{Missing: true}, nil
	case h.RCode != dnsmessage.RCodeSuccess:
		return Answer{}, ServerError(h.RCode)
	case h.Truncated:
		return Answer{Truncated: true}, nil
	}
	name, ttl, err := follow(p, absolute(q.Name))
	if err != nil {
		return Answer{}, err
	}
	return addresses(p, name, q.Type, ttl)
}

// noTTL is more than any record has.
const noTTL = 1<<32 - 1

// follow finds the name that aliases lead to, and the least of their TTLs in seconds. The parser is the caller's, who reads on from
// where it was.
func follow(p dnsmessage.Parser, name string) (string, uint32, error) {
	type alias struct {
		to  string
		ttl uint32
	}
	var aliases map[string]alias
	for {
		h, err := p.AnswerHeader()
		if err == dnsmessage.ErrSectionDone {
			break
		}
		if err != nil {
			return "", 0, fmt.Errorf("dns: %w", err)
		}
		if h.Type != dnsmessage.TypeCNAME {
			if err := p.SkipAnswer(); err != nil {
				return "", 0, fmt.Errorf("dns: %w", err)
			}
			continue
		}
		r, err := p.CNAMEResource()
		if err != nil {
			return "", 0, fmt.Errorf("dns: %w", err)
		}
		if aliases == nil {
			aliases = map[string]alias{}
		}
		if len(aliases) > MaxChain {
			return "", 0, ErrAliases
		}
		aliases[strings.ToLower(h.Name.String())] = alias{strings.ToLower(r.CNAME.String()), h.TTL}
	}
	name = strings.ToLower(name)
	ttl := uint32(noTTL)
	for range MaxChain + 1 {
		next, ok := aliases[name]
		if !ok {
			return name, ttl, nil
		}
		name, ttl = next.to, min(ttl, next.ttl)
	}
	return "", 0, ErrAliases
}

func addresses(p dnsmessage.Parser, name string, t Type, ttl uint32) (a Answer, err error) {
	for {
		h, err := p.AnswerHeader()
		if err == dnsmessage.ErrSectionDone {
			break
		}
		if err != nil {
			return Answer{}, fmt.Errorf("dns: %w", err)
		}
		if h.Type != dnsmessage.Type(t) || h.Class != dnsmessage.ClassINET || !strings.EqualFold(h.Name.String(), name) {
			if err := p.SkipAnswer(); err != nil {
				return Answer{}, fmt.Errorf("dns: %w", err)
			}
			continue
		}
		ip, err := address(&p, t)
		if err != nil {
			return Answer{}, fmt.Errorf("dns: %w", err)
		}
		if len(a.Addresses) == MaxAddresses {
			a.Cut++
			continue
		}
		// A TTL with its first bit set is none (RFC 2181 §8).
		left := min(h.TTL, ttl)
		if left > 1<<31-1 {
			left = 0
		}
		a.Addresses = append(a.Addresses, Address{IP: ip, TTL: time.Duration(left) * time.Second})
	}
	a.Missing = len(a.Addresses) == 0
	return a, nil
}

func address(p *dnsmessage.Parser, t Type) (netip.Addr, error) {
	if t == A {
		r, err := p.AResource()
		return netip.AddrFrom4(r.A), err
	}
	r, err := p.AAAAResource()
	return netip.AddrFrom16(r.AAAA), err
}
