package upstream

import (
	"encoding/binary"
	"net/netip"
	"strings"

	"github.com/weftmesh/weft/proxy/loop"
	"github.com/weftmesh/weft/tls"
)

// Apart is what keeps connections apart that are to the same endpoint: whom they seem to come from, what they offer its TLS server, the name that they
// ask it for, and what it is told of whom the connection is for. Empty: nothing does.
type Apart []byte

// sourced begins what a source is in: sourceSize bytes with its address and mark. No offer, and no name, begins so.
const (
	sourced    = 2
	sourceSize = 1 + 16 + 4
)

// AppendApart appends the first three to dst: from, which may be nil, the key of an offer, and a name. What comes behind a further zero byte is the fourth.
func AppendApart(dst []byte, from *loop.Origin, offer string, name []byte) Apart {
	if from != nil {
		ip := from.Addr.As16()
		dst = binary.BigEndian.AppendUint32(append(append(dst, sourced), ip[:]...), from.Mark)
	}
	return append(append(append(dst, offer...), 0), name...)
}

// by reads what connections are kept apart by.
func (p *Pool) by(key string) {
	p.key = key
	if key[0] == sourced {
		p.from = &loop.Origin{Addr: netip.AddrFrom16([16]byte([]byte(key[1:17]))).Unmap(), Mark: binary.BigEndian.Uint32([]byte(key[17:sourceSize]))}
		key = key[sourceSize:]
	}
	offer, rest, _ := strings.Cut(key, "\x00")
	p.offers = tls.OfferOf(offer)
	p.name, p.header, _ = strings.Cut(rest, "\x00")
}

// maxSources bounds the pools of connections that seem to come from others, of a loop to an endpoint: how many there are is what clients make up, and
// each has a connection at least.
const maxSources = 1024

// apart is the pool of connections that are kept apart so. It is the plain one's, for as long as somebody is in it. nil: there are too many, and none
// that could go.
func (p *Pool) apart(c *Cluster, by Apart) *Pool {
	if len(by) == 0 {
		return p
	}
	n := p.pools[string(by)]
	if n != nil {
		return n
	}
	if by[0] == sourced {
		if p.sources >= maxSources {
			c.Local(p.loop).Stats.Inc(CxPoolOverflow)
			if !p.reclaim() {
				return nil
			}
		}
		p.sources++
	}
	if p.pools == nil {
		p.pools = map[string]*Pool{}
	}
	n = &Pool{endpoint: p.endpoint, loop: p.loop, speaks: p.speaks, of: p, era: p.era}
	n.by(string(by))
	p.pools[n.key] = n
	return n
}

// looks is how many pools are looked at for one that can go: a map gives them in an order of its own, so that most often the first ones do.
const looks = 32

// reclaim closes the connections of a source that nobody uses just now, if one is found.
func (p *Pool) reclaim() bool {
	left := looks
	for _, n := range p.pools {
		if left--; left < 0 {
			break
		}
		if n.from == nil || !n.quiet() {
			continue
		}
		n.era++ // so that none is lent again
		n.drain()
		if p.sources < maxSources {
			return true
		}
	}
	return false
}

// quiet tells whether the pool's connections stand, and nobody has one or waits for one.
func (p *Pool) quiet() bool {
	for _, h := range p.shared {
		if h.strands != nil {
			return false
		}
	}
	for _, t := range p.lines {
		if t.active > 0 || !t.standing {
			return false
		}
	}
	return p.waiting == 0 && p.connecting == 0 && p.open > 0 && p.open == len(p.idle)+len(p.shared)+len(p.lines)
}

// left forgets a pool that nobody is in any more: what it is apart by is what clients make up.
func (p *Pool) left() {
	if p.of != nil && p.open == 0 && p.waiting == 0 && p.of.pools[p.key] == p {
		delete(p.of.pools, p.key)
		if p.from != nil {
			p.of.sources--
		}
	}
}
