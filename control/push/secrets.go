package push

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/weftmesh/weft/control/ca"
	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/control/secrets"
	"github.com/weftmesh/weft/control/translate"
	"github.com/weftmesh/weft/xds/server"
)

// dressed is what a group's view was last made of: what translation has made, which does not know of secrets, and those. The goroutine that runs writes
// it; withheld is written with the lock held.
type dressed struct {
	base     *server.View // is held so that translation remembers what it is made of
	own      *server.Part // certificate and key; nil: none
	roots    *server.Part
	has      *server.Part // credentials
	whole    *server.View
	withheld []secrets.Withheld
}

// What secrets of a proxy's own are withheld for.
const (
	becausePlain = "its connection is in plain text, and nobody has shown there who he is: let it come to --secure-grpc-addr"
	becauseNone  = "there is no authority here: start with --secure-grpc-addr"
	becauseLate  = "it cannot be issued for now; the log says why"
)

// dress adds to what translation has made the secrets that a group's proxies are told. nil: they are not to be told anything yet, since what they wait
// for first is on its way.
func (p *Push) dress(g *group, m *mesh.Mesh, base *server.View, credentials []string) *server.View {
	d := dressed{base: base}
	wants := g.proxy.Identity == translate.FromPlane
	switch {
	case p.Secrets == nil || g.who == (ca.Identity{}):
		because := becausePlain
		if p.Secrets == nil {
			because = becauseNone
		}
		if wants {
			credentials = append([]string{secrets.Own, secrets.Root}, credentials...)
		}
		for _, name := range credentials {
			d.withheld = append(d.withheld, secrets.Withheld{Name: name, Because: because})
		}
	default:
		if wants {
			wait := false
			if d.own, wait = p.Secrets.Own(g.who); wait {
				return nil
			}
			if d.roots = p.Secrets.Roots(); d.own == nil {
				d.withheld = append(d.withheld, secrets.Withheld{Name: secrets.Own, Because: becauseLate})
			}
		}
		if g.denied != "" {
			for _, name := range credentials {
				d.withheld = append(d.withheld, secrets.Withheld{Name: name, Because: g.denied})
			}
			credentials = nil
		}
		var not []secrets.Withheld
		d.has, not = p.Secrets.Credentials(m, g.cluster, g.who.Namespace, credentials, g.has)
		d.withheld = append(d.withheld, not...)
	}
	if d.whole = g.whole; d.base != g.base || d.own != g.own || d.roots != g.roots || d.has != g.has || g.whole == nil {
		d.whole = d.view()
	}
	p.mu.Lock()
	before := g.withheld
	g.dressed = d
	p.mu.Unlock()
	for _, one := range d.withheld {
		if one.Because != becausePlain && one.Because != becauseNone && !slices.Contains(before, one) {
			p.Log.Warn("a proxy is not told a secret that its configuration names", "proxy", g.proxy.ID, "secret", one.Name, "because", one.Because)
		}
	}
	return d.whole
}

// view puts it together. Without secrets it is what translation has made.
func (d *dressed) view() *server.View {
	v := &server.View{Version: d.base.Version}
	for _, part := range []*server.Part{d.own, d.roots, d.has} {
		if part == nil {
			continue
		}
		v.Parts = append(v.Parts, part)
		for _, r := range part.Resources {
			v.Version += "-" + r.Version
		}
	}
	if len(v.Parts) == 0 {
		return d.base
	}
	v.Version = shorten(v.Version)
	v.Parts = append(slices.Clip(d.base.Parts), v.Parts...)
	slices.SortStableFunc(v.Parts, func(a, b *server.Part) int { return int(a.Kind) - int(b.Kind) })
	return v
}

// hold has what a proxy is told be there while it is connected. It is called with the lock held.
func (p *Push) hold(s *server.Session, proxy *translate.Proxy, shown Shown) {
	switch {
	case proxy.Identity != translate.FromPlane:
	case p.Secrets != nil && shown.Who != (ca.Identity{}):
		p.Secrets.Hold(shown.Who, s.Peer(), shown.By, shown.Token)
	case !p.plain:
		p.plain = true
		p.Log.Warn("proxies that want their certificate on the stream are told none: "+becausePlain+". It is said once; /status has all of them",
			"proxy", proxy.ID, "peer", s.Peer())
	}
}

// release lets it go. It is called with the lock held.
func (p *Push) release(m *member) {
	if p.Secrets != nil && m.proxy.Identity == translate.FromPlane && m.shown.Who != (ca.Identity{}) {
		p.Secrets.Release(m.shown.Who)
	}
}

// revoked says why somebody is not served any more, with a status of gRPC's.
func (p *Push) revoked(shown Shown) error {
	if p.Secrets == nil || shown.Who == (ca.Identity{}) {
		return nil
	}
	if err := p.Secrets.Revoked(shown.Who, shown.Certificate); err != nil {
		return status.Error(codes.Unauthenticated, err.Error())
	}
	return nil
}

// expel ends the streams of those who are revoked.
func (p *Push) expel() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for s, m := range p.proxies {
		if err := p.revoked(m.shown); err != nil && !m.out {
			m.out = true
			p.count(expelled, 1)
			p.Log.Warn("a proxy's stream is ended", "proxy", m.proxy.ID, "peer", s.Peer(), "because", err)
			s.End(err)
		}
	}
}

// renew shows those who are told secrets what they are told now.
func (p *Push) renew() {
	p.mu.Lock()
	var list []*group
	for _, g := range p.groups {
		if p.mesh != nil && g.who != (ca.Identity{}) {
			list = append(list, g)
		}
	}
	p.mu.Unlock()
	for _, g := range list {
		if v := p.view(g); v != nil && v != g.view {
			p.show(g, v, time.Now(), false)
		}
	}
}

// shorten is a text of the same length for all, another one for another text.
func shorten(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:8])
}
