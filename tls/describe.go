package tls

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"strings"
	"unicode/utf8"
)

// Own is the certificate that this side shows; nil: it has none.
func (s *Session) Own() *x509.Certificate {
	state, over := s.told()
	switch m := s.made; {
	case over && s.shown != nil:
		return s.shown.Leaf
	case m.first != nil:
		return m.first.Leaf
	case len(m.leaves.all) > 0: // a resumed session, to which none is shown again, or one that did not get so far
		return m.leaves.of(state.ServerName)[0].Leaf
	}
	return nil
}

// told is the state of a session whose handshake is over, well or not. Of one that is under way, or was left, crypto/tls tells nothing
// before it ends.
func (s *Session) told() (state tls.ConnectionState, over bool) {
	s.pipe.mu.Lock()
	over = s.pipe.done
	s.pipe.mu.Unlock()
	if over {
		state = s.conn.ConnectionState()
	}
	return state, over
}

// Agreed is what both have agreed on, by the names that Envoy has for it; empty: they have not got there.
func (s *Session) Agreed() (version, cipher, group string) {
	state, _ := s.told()
	return VersionName(state.Version), CipherName(state.CipherSuite), CurveName(state.CurveID)
}

// Suite is the number of the cipher that both have agreed on; 0: they have not got there.
func (s *Session) Suite() uint16 {
	state, _ := s.told()
	return state.CipherSuite
}

// AskedName is the server's name that was asked for.
func (s *Session) AskedName() string {
	state, _ := s.told()
	return state.ServerName
}

// Issuer is who has issued the peer's certificate, in a chain that is trusted; nil: there is none, or the certificate is trusted itself. It
// is found once.
func (s *Session) Issuer() *x509.Certificate {
	if _, over := s.told(); over && !s.looked {
		s.looked = true
		shown := s.Peer()
		if c := s.made.checks; c != nil && len(shown) > 0 {
			if found, err := c.trust(shown); err == nil && len(found) > 0 && len(found[0]) > 1 {
				s.issuer = found[0][1]
			}
		}
	}
	return s.issuer
}

// Name is a subject or an issuer, of which raw is the DER, as RFC 2253 writes it.
func (s *Session) Name(raw []byte) string { return DistinguishedName(raw) }

// OtherNames are a certificate's names of kinds that have no name.
func (s *Session) OtherNames(c *x509.Certificate) []string { return otherNames(c, "") }

// Explain is why a handshake failed, in one line for logs. It begins as Envoy's reasons do.
func Explain(err error) string {
	text, _, _ := strings.Cut(err.Error(), "\n") // behind which there is a stack
	_, rest, ok := strings.Cut(text, ": ")
	if room := text[:len(text)-len(rest)]; ok && (room == "tls: " || room == "listener: ") {
		text = rest
	}
	return "TLS error: " + text
}

// PEM is a certificate in PEM.
func PEM(c *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
}

// short are the names of attributes that RFC 2253 §2.3 and OpenSSL have letters for.
var short = map[string]string{
	"2.5.4.3": "CN", "2.5.4.4": "SN", "2.5.4.5": "serialNumber", "2.5.4.6": "C", "2.5.4.7": "L", "2.5.4.8": "ST", "2.5.4.9": "street",
	"2.5.4.10": "O", "2.5.4.11": "OU", "2.5.4.12": "title", "2.5.4.17": "postalCode", "2.5.4.13": "description", "2.5.4.41": "name", "2.5.4.42": "GN", "2.5.4.43": "initials", "2.5.4.44": "generationQualifier",
	"2.5.4.46": "dnQualifier", "2.5.4.65": "pseudonym", "2.5.4.97": "organizationIdentifier",
	"0.9.2342.19200300.100.1.1": "UID", "0.9.2342.19200300.100.1.25": "DC", "1.2.840.113549.1.9.1": "emailAddress",
}

// attribute is a part of a name. What its value is depends on its kind.
type attribute struct {
	Type  asn1.ObjectIdentifier
	Value asn1.RawValue
}

type attributeSET []attribute // the name tells encoding/asn1 that it is a set

// DistinguishedName is a subject or an issuer as RFC 2253 writes it, the last part first; raw is its DER.
func DistinguishedName(raw []byte) string {
	var parts []attributeSET
	if rest, err := asn1.Unmarshal(raw, &parts); err != nil || len(rest) > 0 {
		return ""
	}
	var b strings.Builder
	for i := len(parts) - 1; i >= 0; i-- {
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		for k := len(parts[i]) - 1; k >= 0; k-- {
			a := &parts[i][k]
			var text string
			name := short[a.Type.String()]
			if _, err := asn1.Unmarshal(a.Value.FullBytes, &text); name == "" || err != nil {
				// Who does not know the kind does not know what the text would mean (RFC 2253 §2.4).
				if name == "" {
					name = a.Type.String()
				}
				b.WriteString(name + "=#" + strings.ToUpper(hex.EncodeToString(a.Value.FullBytes)))
			} else {
				b.WriteString(name)
				b.WriteByte('=')
				escapeName(&b, text)
			}
			if k > 0 {
				b.WriteByte('+')
			}
		}
	}
	return b.String()
}

// escapeName escapes a value (RFC 2253 §2.4); what is not ASCII goes byte by byte in hexadecimal, as OpenSSL writes it.
func escapeName(b *strings.Builder, text string) {
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case strings.IndexByte(`,+"\<>;`, c) >= 0, i == 0 && (c == '#' || c == ' '), i == len(text)-1 && c == ' ':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c >= utf8.RuneSelf || c == 0x7f:
			b.WriteByte('\\')
			b.WriteString(strings.ToUpper(hex.EncodeToString([]byte{c})))
		default:
			b.WriteByte(c)
		}
	}
}
