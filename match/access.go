package match

import (
	"bytes"
	"crypto/x509"
	"net/netip"
	"strings"

	"github.com/weftmesh/weft/config"
)

// Caller is what is known of who wants something, and of what that is. Of a connection, for which there is no request yet, no header holds, and the path is empty.
type Caller interface {
	Headers(list []config.HeaderMatch) bool
	// Path may have a query and a fragment.
	Path() []byte
	// Local is where it was going, Direct the peer of the socket, Source whom a PROXY protocol names, else the same, and Remote whom the
	// request is trusted to come from.
	Local() netip.AddrPort
	Direct() netip.Addr
	Source() netip.Addr
	Remote() netip.Addr
	// ServerName is what a TLS client asks for; empty: nothing.
	ServerName() string
	// Peer is what the other side's certificate says; nil: it does not speak TLS.
	Peer() *Peer
	// Metadata is what filters have noted of it, Route what is configured of its route, if it has one, and State what filters have set.
	Metadata() config.Metadata
	Route() (m config.Metadata, ok bool)
	State(name string) (value string, ok bool)
}

// Peer are the names of a certificate that was verified. All are empty if there was none: whoever shows what nobody vouches for is nobody.
type Peer struct {
	URIs, Hosts []string // of its subject alternative names
	Subject     string   // as RFC 2253 writes it
}

// Shown is what a TLS connection tells of its peer.
type Shown interface {
	Peer() []*x509.Certificate // what it has shown, the leaf first
	Verified() bool            // that ends with a root that is trusted, or is known by its sum
	Name(raw []byte) string    // a subject, of which raw is the DER, as RFC 2253 writes it
}

// PeerOf reads a certificate's names, which is to be done once for a connection.
func PeerOf(t Shown) *Peer {
	p := &Peer{}
	if !t.Verified() {
		return p
	}
	leaf := t.Peer()[0]
	for _, u := range leaf.URIs {
		p.URIs = append(p.URIs, u.String())
	}
	p.Hosts, p.Subject = leaf.DNSNames, t.Name(leaf.RawSubject)
	return p
}

// Access finds the first policy that is for a caller; -1: none is.
func Access(r *config.AccessRules, c Caller) (policy int) {
	for i := range r.Policies {
		if p := &r.Policies[i]; anyAccess(p.Permissions, c) && anyAccess(p.Principals, c) {
			return i
		}
	}
	return -1
}

// Passes tells whether a caller does for whom that policy is, or none.
func Passes(r *config.AccessRules, policy int) bool {
	switch r.Action {
	case config.AccessAllow:
		return policy >= 0
	case config.AccessDeny:
		return policy < 0
	}
	return true
}

// Denied is why a caller for whom that policy is, or none, does not pass, in the words that Envoy has for logs: white space of the policy's
// name would tear a line into other columns.
func Denied(r *config.AccessRules, policy int) string {
	name := "none"
	if policy >= 0 {
		name = blank.Replace(r.Policies[policy].Name)
	}
	return "rbac_access_denied_matched_policy[" + name + "]"
}

// Words say for people which policy decides of a caller, and whether he passes; they are empty if none has a say.
func Words(r *config.AccessRules, c Caller) (words string, passes bool) {
	return Decision(r, Access(r, c))
}

// Decision is Words for a caller for whom that policy is, or none.
func Decision(r *config.AccessRules, by int) (words string, passes bool) {
	passes = Passes(r, by)
	switch {
	case by < 0 && !passes:
		words = "denied: no policy is for it"
	case by < 0:
	case !passes:
		words = "denied by policy " + r.Policies[by].Name
	case r.Action == config.AccessAllow:
		words = "allowed by policy " + r.Policies[by].Name
	}
	return words, passes
}

var blank = strings.NewReplacer(" ", "_", "\t", "_", "\n", "_", "\v", "_", "\f", "_", "\r", "_")

func anyAccess(list []config.Access, c Caller) bool {
	for i := range list {
		if accesses(&list[i], c) {
			return true
		}
	}
	return false
}

// accesses tells whether a condition holds.
func accesses(a *config.Access, c Caller) bool {
	switch a.Kind {
	case config.AccessEverybody:
		return true
	case config.AccessAll:
		for i := range a.Of {
			if !accesses(&a.Of[i], c) {
				return false
			}
		}
		return true
	case config.AccessAny:
		return anyAccess(a.Of, c)
	case config.AccessNot:
		return !accesses(&a.Of[0], c)
	case config.AccessHeader:
		return c.Headers(a.Headers)
	case config.AccessPath:
		path := c.Path()
		if i := bytes.IndexAny(path, "?#"); i >= 0 {
			path = path[:i]
		}
		return len(path) > 0 && String(a.String, path)
	case config.AccessLocal:
		return contains(a.Range, c.Local().Addr())
	case config.AccessPort:
		to := c.Local()
		return to.IsValid() && a.From <= uint32(to.Port()) && uint32(to.Port()) < a.To
	case config.AccessDirect:
		return contains(a.Range, c.Direct())
	case config.AccessSource:
		return contains(a.Range, c.Source())
	case config.AccessRemote:
		return contains(a.Range, c.Remote())
	case config.AccessServerName:
		return Text(a.String, c.ServerName())
	case config.AccessPeer:
		p := c.Peer()
		return p != nil && (a.String == nil || named(a.String, p))
	case config.AccessMetadata:
		fits, _ := Metadata(a.Metadata, c.Metadata())
		return fits != a.Metadata.Invert
	case config.AccessRoute:
		m, ok := c.Route()
		fits, _ := Metadata(a.Metadata, m)
		return ok && fits != a.Metadata.Invert
	case config.AccessState:
		value, ok := c.State(a.State.Name)
		return ok && Text(&a.State.String, value)
	}
	return false // nobody, and what there is no rule for
}

func contains(p netip.Prefix, a netip.Addr) bool { return p.Contains(a.Unmap().WithZone("")) }

// named tells whether a certificate says a name: in one of its URIs, or of its hosts' names, or as its subject, as Envoy 1.40 looks.
func named(m *config.StringMatch, p *Peer) bool {
	for _, list := range [2][]string{p.URIs, p.Hosts} {
		for _, name := range list {
			if Text(m, name) {
				return true
			}
		}
	}
	return Text(m, p.Subject)
}
