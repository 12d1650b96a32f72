package remote

import (
	"crypto/x509"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/weftmesh/weft/telemetry/accesslog"
)

// versions are the numbers of TLSVersion.
var versions = map[string]uint64{"TLSv1": 1, "TLSv1.1": 2, "TLSv1.2": 3, "TLSv1.3": 4}

// secured writes TLSProperties of the downstream connection; nothing, if it has neither TLS nor a name that was asked for.
func (b *buffer) secured(dst []byte, field protowire.Number, e *accesslog.Entry) []byte {
	t := e.TLS
	if t == nil && e.ServerName == "" {
		return dst
	}
	dst, at := open(dst, field)
	if t == nil {
		return end(text(dst, 3, e.ServerName), at)
	}
	version, _, _ := t.Agreed()
	dst = number(dst, 1, versions[version])
	dst = wrapped(dst, 2, uint64(t.Suite()))
	dst = text(dst, 3, e.ServerName)
	dst = b.certified(dst, 4, t, t.Own(), true)
	var shown *x509.Certificate
	if list := t.Peer(); len(list) > 0 {
		shown = list[0]
	}
	return end(b.certified(dst, 5, t, shown, false), at)
}

// certificate is one of ours or of a peer's.
type certificate struct {
	*x509.Certificate
	own bool
}

// maxCertificates bounds how many certificates of a loop are kept as they are written.
const maxCertificates = 256

// certified writes CertificateProperties, which are made once for each certificate: their names are read from DER.
func (b *buffer) certified(dst []byte, field protowire.Number, t accesslog.Transport, c *x509.Certificate, own bool) []byte {
	dst, at := open(dst, field)
	if c == nil {
		return end(dst, at)
	}
	as := certificate{c, own}
	made, ok := b.certificates[as]
	if !ok {
		for _, u := range c.URIs {
			var name int
			made, name = open(made, 1)
			made = end(text(made, 1, u.String()), name)
		}
		made = text(made, 2, t.Name(c.RawSubject))
		if !own { // nor does Envoy tell who has issued ours, nor any names but URIs
			made = text(made, 3, t.Name(c.RawIssuer))
		}
		if b.certificates == nil || len(b.certificates) == maxCertificates {
			b.certificates = map[certificate][]byte{}
		}
		b.certificates[as] = made
	}
	return end(append(dst, made...), at)
}
