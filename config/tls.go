package config

import (
	"crypto/tls"
	"crypto/x509"
	"iter"
	"net/netip"
	"time"
)

// TLS is a transport socket that speaks TLS, to those who connect to us or to those we connect to.
type TLS struct {
	Hash Hash // of all of it
	// MinVersion and MaxVersion are as crypto/tls numbers them.
	MinVersion, MaxVersion uint16
	Ciphers                []uint16      // of TLS 1.2; nil: crypto/tls's own
	Curves                 []tls.CurveID // nil: crypto/tls's own
	Applications           []string      // of ALPN, the best first; nil: none is offered or chosen
	Certificates           []CertificateSource
	// Validation is what is asked of the peer's certificate. ValidationSecret is a secret whose demands come on top, if it has a name.
	Validation       *Validation
	ValidationSecret SecretRef
	KeyLog           *KeyLog // nil: keys are told to nobody

	// Of those who connect to us.
	Require      bool // a certificate
	RequireName  bool // a server name
	FullScan     bool // a name that is nobody's gets any certificate that its client can verify, instead of the first
	NoTickets    bool
	Tickets      *TicketKeys   // nil: keys that nobody else has
	TicketSecret SecretRef     // has them, if it has a name
	Lifetime     time.Duration // of a session; 0: as crypto/tls likes, which is a week
	Stapling     Stapling

	// Of those we connect to.
	ServerName   string // that is asked for; "": none, unless the request or the endpoint says so
	EndpointName bool   // the endpoint's own name is asked for, if it has one
	VerifyName   bool   // the name that is asked for must be the certificate's
	Sessions     int    // that are kept to be resumed; 0: none
}

// KeyLog is a file to which the secrets of connections are written, for who is to read what was recorded of them. Of Local and Remote each
// has networks of which one must have the address of that side; none: it does not matter.
type KeyLog struct {
	Path          string
	Local, Remote []netip.Prefix
}

// SecretRef names a secret, and the file or the stream that it comes from; without either it is the bootstrap's own.
type SecretRef struct {
	Name   string
	File   *WatchedFile
	Stream *Subscription
}

// CertificateSource is a certificate, or a secret that has one.
type CertificateSource struct {
	Secret SecretRef
	Value  *Certificate // without Secret
}

// Secrets are those that a transport socket names.
func (t *TLS) Secrets() iter.Seq[SecretRef] {
	return func(yield func(SecretRef) bool) {
		if t == nil {
			return
		}
		for i := range t.Certificates {
			if r := t.Certificates[i].Secret; r.Name != "" && !yield(r) {
				return
			}
		}
		for _, r := range []SecretRef{t.ValidationSecret, t.TicketSecret} {
			if r.Name != "" && !yield(r) {
				return
			}
		}
	}
}

// Certificate is a chain with its private key, ready for use. Where says where they are from, for people, and Label what statistics call
// them where no secret has a name.
type Certificate struct {
	tls.Certificate
	Where string
	Label string
	// StapleUntil is when the OCSP response that goes with it, if there is one, is not valid any more.
	StapleUntil time.Time
	// MustStaple: the certificate itself demands one (RFC 7633).
	MustStaple bool
	// Batch is how long an operation of the key may wait for others to be done with, if the processor does several at once; 0: as is best.
	Batch time.Duration
}

// Stapling is what becomes of a certificate by its OCSP response.
type Stapling uint8

// The policies.
const (
	StapleIfValid Stapling = iota // what is not valid any more is left out
	StapleStrict                  // a certificate whose response is not valid any more is not used
	StapleAlways                  // one that has none is not used either
)

// TicketKeys seal session tickets: the first one new ones, and all of them open old ones.
type TicketKeys struct{ Keys [][32]byte }

// Validation is what is asked of a peer's certificate. The zero value asks nothing.
type Validation struct {
	// Roots are whom chains must end with; nil: nobody's matters. SystemRoots has those that this host trusts stand for them if there are none.
	Roots       []*x509.Certificate
	SystemRoots bool
	Where       string // the roots are from
	Label       string // that statistics call the roots by, where no secret has a name
	// Domains are roots by the trust domain of a SPIFFE ID, instead.
	Domains map[string][]*x509.Certificate
	// Names are conditions on the certificate's names of which one must hold; none: no name matters.
	Names []NameMatch
	// Keys and Certificates are SHA-256 sums of public keys and whole certificates, of which the leaf's must be one; none: any.
	Keys, Certificates [][32]byte
	Revoked            []*x509.RevocationList // entries in the order of serial numbers
	RevokedLeafOnly    bool
	AllowExpired       bool
	// AcceptUntrusted takes chains that end with nobody known, and only notes it.
	AcceptUntrusted bool
	MaxDepth        int  // of issuers, with the root; -1: any
	HideRoots       bool // clients are not told whose certificates are wanted
}

// NameMatch is a condition on a subject alternative name.
type NameMatch struct {
	Kind  NameKind
	Match StringMatch
	OID   string // of OtherName
}

// NameKind is the kind of a subject alternative name.
type NameKind uint8

// The kinds.
const (
	AnyName NameKind = iota // of the next four
	DNSName
	URIName
	EmailName
	IPName
	OtherName
)

// Secret is kept apart from what uses it, under a name. One of the three is set.
type Secret struct {
	Name        string
	Hash        Hash
	Certificate *Certificate
	Validation  *Validation
	Tickets     *TicketKeys
	// Files are those that it was read from, to be watched.
	Files []WatchedFile
	Raw   []byte // in protobuf's wire format, to be shown
}

// ClientCert is what becomes of the field that tells of the certificates of clients.
type ClientCert struct {
	Mode ClientCertMode
	// What is told of a certificate beside its sum.
	Subject, Whole, Chain, DNS, URI, Issuer bool
	JSON                                    bool // instead of text
}

// ClientCertMode is what is done with the field.
type ClientCertMode uint8

// The modes.
const (
	ClientCertSanitize ClientCertMode = iota // it is taken out
	ClientCertForward                        // it stays if the client has shown a certificate
	ClientCertAppend                         // likewise, and the client's own comes behind it
	ClientCertSet                            // the client's own instead
	ClientCertAlways                         // it stays
)
