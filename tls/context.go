package tls

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/tls/batch"
)

// Context is one transport socket's configuration, at work. It may be used from all loops.
type Context struct {
	config       *config.TLS
	store        *Store
	certificates []*slot // beside config.Certificates; nil where the certificate is there itself
	validation   *slot
	tickets      *slot
	keys         io.Writer // that secrets are written to; nil: they are not
	server       bool

	making  sync.Mutex
	current atomic.Pointer[compiled]
}

// compiled is a context with the secrets of one moment.
type compiled struct {
	secrets [maxSecrets]*config.Secret // it was made of, in the order of Context.slots
	err     error                      // why no connection can be made of it
	tls     *tls.Config
	plain   *tls.Config                        // the same without ALPN; nil: there is none anyway
	checks  *checks                            // nil: nothing is asked of the peer
	leaves  leaves                             // of a server
	first   *config.Certificate                // of a client; nil: it has none
	keys    map[*config.Certificate]*batch.Key // of a server, those whose operations are done several at a time
	policy  config.Stapling
	queue   *batch.Queue // that one of them uses; nil: none
}

// maxSecrets is how many secrets a context may use.
const maxSecrets = 10

// MaxCertificates is how many certificates a context may have.
const MaxCertificates = maxSecrets - 2

// NewServer makes the context of those who connect to us.
func NewServer(c *config.TLS, s *Store) *Context { return newContext(c, s, true) }

// NewClient makes the context of those we connect to.
func NewClient(c *config.TLS, s *Store) *Context { return newContext(c, s, false) }

func newContext(c *config.TLS, s *Store, server bool) *Context {
	x := &Context{config: c, store: s, server: server, certificates: make([]*slot, len(c.Certificates))}
	for i := range c.Certificates {
		if name := c.Certificates[i].Secret.Name; name != "" {
			x.certificates[i] = s.slot(name)
		}
	}
	if c.ValidationSecret.Name != "" {
		x.validation = s.slot(c.ValidationSecret.Name)
	}
	if c.TicketSecret.Name != "" {
		x.tickets = s.slot(c.TicketSecret.Name)
	}
	if c.KeyLog != nil && s.KeyLog != nil {
		x.keys = s.KeyLog(c.KeyLog.Path)
	}
	return x
}

// Server makes a connection of somebody who connects to us. An error says why there can be none for now.
func (x *Context) Server() (*Session, error) {
	c, err := x.now()
	if err != nil {
		return nil, err
	}
	s := newSession(x, c)
	s.conn = tls.Server(&s.pipe, x.keyed(s, c.tls))
	return s, nil
}

// Ask is what one connection of our own asks for beside what is configured.
type Ask struct {
	Name   string   // of the server, instead of what is configured; "": that
	Verify bool     // Name must be the certificate's
	Offer  []string // protocols, where none are configured
	Insist bool     // what is configured does not matter
	First  string   // a protocol that is offered before what is configured, if that is what workloads of a mesh offer; "": none
}

// Client makes a connection of our own.
func (x *Context) Client(a Ask) (*Session, error) {
	c, own, err := x.asking(a)
	if err != nil {
		return nil, err
	}
	s := newSession(x, c)
	s.conn = tls.Client(&s.pipe, x.keyed(s, own))
	return s, nil
}

// asking is the context with what one connection asks for.
func (x *Context) asking(a Ask) (*compiled, *tls.Config, error) {
	c, err := x.now()
	if err != nil {
		return nil, nil, err
	}
	own, offers := c.tls, []string(nil)
	switch {
	case len(a.Offer) > 0 && (a.Insist || len(own.NextProtos) == 0):
		offers = a.Offer
	case a.First != "" && slices.Contains(own.NextProtos, inMesh):
		offers = slices.Concat([]string{a.First}, own.NextProtos)
	}
	if a.Name != "" || offers != nil {
		own = own.Clone()
		if offers != nil {
			own.NextProtos = offers
		}
		if a.Name != "" {
			own.ServerName = a.Name
		}
		if a.Name != "" && a.Verify {
			own.VerifyConnection = func(s tls.ConnectionState) error { return c.checks.check(&s, true) }
		}
	}
	return c, own, nil
}

// now is the context with the secrets that there are, made again if one of them is new.
func (x *Context) now() (*compiled, error) {
	c := x.current.Load()
	if c == nil || !x.fresh(c) {
		c = x.remake()
	}
	return c, c.err
}

func (x *Context) fresh(c *compiled) bool {
	for i, s := range x.certificates {
		if s != nil && s.value.Load() != c.secrets[i] {
			return false
		}
	}
	return (x.validation == nil || x.validation.value.Load() == c.secrets[maxSecrets-2]) &&
		(x.tickets == nil || x.tickets.value.Load() == c.secrets[maxSecrets-1])
}

// remake compiles, once for all who find the context out of date at a time.
func (x *Context) remake() *compiled {
	x.making.Lock()
	defer x.making.Unlock()
	if c := x.current.Load(); c != nil && x.fresh(c) {
		return c
	}
	c := x.load()
	c.err = x.compile(c)
	x.current.Store(c)
	return c
}

// load takes the secrets that are there now.
func (x *Context) load() *compiled {
	c := &compiled{}
	for i, s := range x.certificates {
		if s != nil {
			c.secrets[i] = s.value.Load()
		}
	}
	if x.validation != nil {
		c.secrets[maxSecrets-2] = x.validation.value.Load()
	}
	if x.tickets != nil {
		c.secrets[maxSecrets-1] = x.tickets.value.Load()
	}
	return c
}

// missingError is what connections fail with while a secret is not there, or is none of the kind that is wanted.
type missingError struct {
	name, what string
	other      bool // it is there, and is something else
}

func (e *missingError) Error() string {
	if e.other {
		return fmt.Sprintf("tls: secret %q is not %s", e.name, e.what)
	}
	return fmt.Sprintf("tls: secret %q: %s has not come", e.name, e.what)
}

func missing(s *slot, there *config.Secret, what string) error {
	return &missingError{s.name, what, there != nil}
}

// Check says why nobody could connect if there were these secrets and no others.
func Check(c *config.TLS, secrets map[string]*config.Secret, server bool) error {
	s := NewStore(nil)
	s.Update(secrets)
	x := newContext(c, s, server)
	if !server { // of a mesh's thousands of clusters, most are never connected to
		_, _, err := x.pick(x.load())
		return err
	}
	_, err := x.now()
	return err
}

// pick finds what the secrets are for: the certificates to show, and what is asked of the peer.
func (x *Context) pick(c *compiled) (certificates []*config.Certificate, asked *config.Validation, err error) {
	for i := range x.config.Certificates {
		v := x.config.Certificates[i].Value
		if s := x.certificates[i]; s != nil {
			if c.secrets[i] == nil || c.secrets[i].Certificate == nil {
				return nil, nil, missing(s, c.secrets[i], "a certificate")
			}
			v = c.secrets[i].Certificate
		}
		certificates = append(certificates, v)
	}
	asked = x.config.Validation
	if x.validation != nil {
		s := c.secrets[maxSecrets-2]
		if s == nil || s.Validation == nil {
			return nil, nil, missing(x.validation, s, "a validation context")
		}
		asked = merge(asked, s.Validation)
	}
	if asked != nil && asked.Roots == nil && !asked.SystemRoots && asked.Domains == nil && len(asked.Names)+len(asked.Revoked) > 0 {
		return nil, nil, errors.New("tls: names prove nothing without trusted_ca, and lists of revoked certificates say nothing: anybody may write a name into a certificate")
	}
	return certificates, asked, nil
}

func (x *Context) compile(c *compiled) error {
	certificates, asked, err := x.pick(c)
	if err != nil {
		return err
	}
	if asked != nil {
		c.checks = newChecks(asked, x.server)
	}
	t := &tls.Config{
		MinVersion: x.config.MinVersion, MaxVersion: x.config.MaxVersion,
		CipherSuites: x.config.Ciphers, CurvePreferences: x.config.Curves,
		NextProtos:                  x.config.Applications,
		DynamicRecordSizingDisabled: true, // to begin with small records costs system calls, and is for clients that draw pages
	}
	c.tls = t
	if x.server {
		return x.compileServer(c, certificates)
	}
	t.ServerName = x.config.ServerName
	t.InsecureSkipVerify = true // the checks are ours
	verifyName := x.config.VerifyName
	t.VerifyConnection = func(s tls.ConnectionState) error {
		return c.checks.check(&s, verifyName)
	}
	if n := x.config.Sessions; n > 0 {
		t.ClientSessionCache = tls.NewLRUClientSessionCache(n)
	}
	if len(certificates) > 0 {
		c.first = certificates[0]
		t.GetClientCertificate = func(r *tls.CertificateRequestInfo) (*tls.Certificate, error) {
			for _, own := range certificates {
				if r.SupportsCertificate(&own.Certificate) == nil {
					return &own.Certificate, nil
				}
			}
			// The server may take it all the same: what it lists is a hint (RFC 8446 §4.2.4).
			return &certificates[0].Certificate, nil
		}
	}
	return nil
}

func (x *Context) compileServer(c *compiled, certificates []*config.Certificate) error {
	t := c.tls
	if len(certificates) == 0 {
		return fmt.Errorf("tls: there is no certificate to show to clients")
	}
	c.leaves, c.policy = newLeaves(certificates, x.config), x.config.Stapling
	for _, own := range certificates {
		if k := batched(own, x.store); k != nil {
			if c.keys == nil {
				c.keys = map[*config.Certificate]*batch.Key{}
			}
			c.keys[own], c.queue = k, x.store.queue(own.Batch)
		}
	}
	t.GetCertificate = c.choose
	switch {
	case x.config.Require:
		t.ClientAuth = tls.RequireAnyClientCert
	case c.checks.asks():
		t.ClientAuth = tls.RequestClientCert
	}
	if c.checks != nil {
		if !c.checks.asked.HideRoots {
			t.ClientCAs = c.checks.hint()
		}
		t.VerifyConnection = func(s tls.ConnectionState) error {
			if len(s.PeerCertificates) == 0 {
				return nil // none is required, or crypto/tls has said so
			}
			return c.checks.check(&s, false)
		}
	}
	if err := x.compileTickets(c, t); err != nil {
		return err
	}
	if len(t.NextProtos) > 0 {
		c.plain = t.Clone()
		c.plain.NextProtos = nil
	}
	requireName := x.config.RequireName
	t.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		s := h.Conn.(*pipe).session
		c.greeted(s, h)
		if requireName && h.ServerName == "" {
			return nil, errNoName
		}
		// Without a protocol in common the connection goes on without one, as in Envoy; crypto/tls would end it.
		if c.plain != nil && !slices.ContainsFunc(h.SupportedProtos, func(p string) bool { return slices.Contains(t.NextProtos, p) }) {
			return s.keyed(c.plain), nil
		}
		return nil, nil
	}
	return nil
}

var errNoName = fmt.Errorf("tls: the client asks for no server name, which this listener requires (require_sni)")

// compileTickets binds session tickets to what is asked of clients: a ticket that was given for less, or for other roots, opens nothing.
func (x *Context) compileTickets(c *compiled, t *tls.Config) error {
	if x.config.NoTickets {
		t.SessionTicketsDisabled = true
		return nil
	}
	keys := x.config.Tickets
	if x.tickets != nil {
		s := c.secrets[maxSecrets-1]
		if s == nil || s.Tickets == nil {
			return missing(x.tickets, s, "keys of session tickets")
		}
		keys = s.Tickets
	}
	if keys == nil {
		// Keys of our own must not change with the configuration that is chosen for a client.
		keys = &config.TicketKeys{Keys: make([][32]byte, 1)}
		rand.Read(keys.Keys[0][:])
	}
	t.SetSessionTicketKeys(keys.Keys)
	bound := c.binding(x.config.Require)
	lifetime := x.config.Lifetime
	good := func(e []byte) bool {
		since, ok := bytes.CutPrefix(e, bound)
		return ok && len(since) == 8 && (lifetime <= 0 || time.Since(time.Unix(int64(binary.BigEndian.Uint64(since)), 0)) < lifetime)
	}
	t.WrapSession = func(cs tls.ConnectionState, ss *tls.SessionState) ([]byte, error) {
		ss.Extra = append(ss.Extra, binary.BigEndian.AppendUint64(slices.Clone(bound), uint64(time.Now().Unix())))
		return t.EncryptTicket(cs, ss)
	}
	t.UnwrapSession = func(identity []byte, cs tls.ConnectionState) (*tls.SessionState, error) {
		ss, err := t.DecryptTicket(identity, cs)
		if err != nil || ss == nil || !slices.ContainsFunc(ss.Extra, good) {
			return nil, err // a full handshake follows
		}
		return ss, nil
	}
	return nil
}

// binding sums up what is asked of clients and shown to them.
func (c *compiled) binding(require bool) []byte {
	h := sha256.New()
	fmt.Fprintln(h, require, len(c.leaves.all))
	for _, l := range c.leaves.all {
		h.Write(l.Leaf.Raw)
	}
	if c.checks != nil {
		v := c.checks.asked
		var n [8]byte
		list := func(of []*x509.Certificate) {
			binary.BigEndian.PutUint64(n[:], uint64(len(of)))
			h.Write(n[:])
			for _, r := range of {
				h.Write(r.Raw)
			}
		}
		list(v.Roots)
		for _, d := range sortedKeys(v.Domains) {
			fmt.Fprintln(h, d)
			list(v.Domains[d])
		}
		for i := range v.Names {
			m := &v.Names[i]
			fmt.Fprintln(h, m.Kind, m.OID, m.Match.Kind, m.Match.Value, m.Match.Regex, m.Match.IgnoreCase)
		}
		for _, r := range v.Revoked {
			h.Write(r.Raw)
		}
		fmt.Fprintln(h, v.SystemRoots, v.Keys, v.Certificates, v.RevokedLeafOnly, v.AllowExpired, v.AcceptUntrusted, v.MaxDepth)
	}
	return append([]byte("weft"), h.Sum(nil)...)
}

// merge puts the demands of a secret on top of those beside it, as protobuf merges messages: what is one of a kind is replaced, and lists
// grow.
func merge(own, secret *config.Validation) *config.Validation {
	if own == nil {
		return secret
	}
	m := *own
	if secret.Roots != nil {
		m.Roots, m.Where = secret.Roots, secret.Where
	}
	if secret.Domains != nil {
		m.Domains = secret.Domains
	}
	if secret.Revoked != nil {
		m.Revoked = secret.Revoked
	}
	if secret.MaxDepth >= 0 {
		m.MaxDepth = secret.MaxDepth
	}
	m.SystemRoots = own.SystemRoots || secret.SystemRoots
	m.RevokedLeafOnly = own.RevokedLeafOnly || secret.RevokedLeafOnly
	m.AllowExpired = own.AllowExpired || secret.AllowExpired
	m.AcceptUntrusted = own.AcceptUntrusted || secret.AcceptUntrusted
	m.HideRoots = own.HideRoots || secret.HideRoots
	m.Names = slices.Concat(own.Names, secret.Names)
	m.Keys = slices.Concat(own.Keys, secret.Keys)
	m.Certificates = slices.Concat(own.Certificates, secret.Certificates)
	return &m
}

// leaves are a server's certificates, by the names that they are good for.
type leaves struct {
	all      []*config.Certificate
	ranked   []*config.Certificate            // all, those that cost less first
	byName   map[string][]*config.Certificate // a wildcard without its star
	fullScan bool
}

func newLeaves(all []*config.Certificate, c *config.TLS) leaves {
	l := leaves{all: all, ranked: slices.Clone(all), byName: map[string][]*config.Certificate{}, fullScan: c.FullScan}
	for _, own := range all {
		names := own.Leaf.DNSNames
		if len(names) == 0 && own.Leaf.Subject.CommonName != "" {
			names = []string{own.Leaf.Subject.CommonName}
		}
		for _, name := range names {
			name = strings.TrimPrefix(strings.ToLower(name), "*")
			l.byName[name] = append(l.byName[name], own)
		}
	}
	// A client that can verify curves gets them: they cost an eighth of RSA.
	byRank := func(a, b *config.Certificate) int { return rank(a) - rank(b) }
	slices.SortStableFunc(l.ranked, byRank)
	for _, list := range l.byName {
		slices.SortStableFunc(list, byRank)
	}
	return l
}

func rank(c *config.Certificate) int {
	if c.Leaf.PublicKeyAlgorithm == x509.ECDSA {
		return 0
	}
	return 1
}

// of are the certificates for a name, the best first.
func (l *leaves) of(name string) []*config.Certificate {
	name = strings.ToLower(name)
	if list := l.byName[name]; list != nil {
		return list
	}
	if dot := strings.IndexByte(name, '.'); dot > 0 {
		if list := l.byName[name[dot:]]; list != nil {
			return list
		}
	}
	if l.fullScan || name == "" {
		return l.ranked
	}
	return l.all[:1]
}

var errStale = errors.New("tls: the OCSP response of every certificate that would do is not valid any more (ocsp_staple_policy)")

// choose finds the certificate for a client: one of the name that it asks for, of a kind that it can verify, and else the first.
func (c *compiled) choose(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
	s := h.Conn.(*pipe).session
	list, asked := c.leaves.of(h.ServerName), asksForStaple(h)
	if asked {
		if list = c.usable(list); len(list) == 0 {
			s.stapling.Store(uint32(stale))
			return nil, errStale
		}
	}
	nameless := *h
	nameless.ServerName = "" // it has been looked at
	chosen := list[0]
	for _, own := range list {
		if nameless.SupportsCertificate(&own.Certificate) == nil {
			chosen = own
			break
		}
	}
	s.shown = chosen
	own := chosen.Certificate
	if asked {
		s.stapling.Store(uint32(c.stapling(chosen)))
	}
	if chosen.OCSPStaple != nil && !time.Now().Before(chosen.StapleUntil) {
		own.OCSPStaple = nil
	}
	if k := c.keys[chosen]; k != nil {
		own.PrivateKey = &signer{k, s}
	} else {
		s.settle()
	}
	return &own, nil
}
