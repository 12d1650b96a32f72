package tls

import (
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/match"
)

// named tells whether one of a certificate's names is wanted. A name is compared with conditions of its own kind only, or a URI could
// pass for a host (CVE-2022-21656).
func (c *checks) named(leaf *x509.Certificate) bool {
	for i := range c.asked.Names {
		if hasName(leaf, &c.asked.Names[i]) {
			return true
		}
	}
	return false
}

func hasName(leaf *x509.Certificate, m *config.NameMatch) bool {
	is := func(kind config.NameKind) bool { return m.Kind == kind || m.Kind == config.AnyName }
	fits := func(text string) bool { return match.String(&m.Match, []byte(text)) }
	if is(config.DNSName) {
		for _, n := range leaf.DNSNames {
			if m.Match.Kind == config.StringExact && sameName(m.Match.Value, n) || fits(n) {
				return true
			}
		}
	}
	if is(config.URIName) {
		for _, u := range leaf.URIs {
			if fits(u.String()) {
				return true
			}
		}
	}
	if is(config.EmailName) && slices.ContainsFunc(leaf.EmailAddresses, fits) {
		return true
	}
	if is(config.IPName) {
		for _, ip := range leaf.IPAddresses {
			if fits(ip.String()) {
				return true
			}
		}
	}
	return m.Kind == config.OtherName && slices.ContainsFunc(otherNames(leaf, m.OID), fits)
}

// sameName tells whether a certificate's name for hosts is good for a host. A star stands for one label, the first and all of it
// (RFC 9525 §6.3).
func sameName(host, pattern string) bool {
	host, pattern = strings.ToLower(strings.TrimSuffix(host, ".")), strings.ToLower(strings.TrimSuffix(pattern, "."))
	if rest, ok := strings.CutPrefix(pattern, "*."); ok {
		label, tail, found := strings.Cut(host, ".")
		return found && label != "" && tail == rest && strings.Contains(rest, ".")
	}
	return host != "" && host == pattern
}

// isFor tells whether a certificate is for a host, which may be an address.
func isFor(leaf *x509.Certificate, host string) bool {
	if ip := net.ParseIP(host); ip != nil {
		return slices.ContainsFunc(leaf.IPAddresses, ip.Equal)
	}
	return slices.ContainsFunc(leaf.DNSNames, func(n string) bool { return sameName(host, n) })
}

// allNames are a certificate's names, for people.
func allNames(c *x509.Certificate) []string {
	names := slices.Clone(c.DNSNames)
	for _, u := range c.URIs {
		names = append(names, u.String())
	}
	names = append(names, c.EmailAddresses...)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}

var subjectAltName = asn1.ObjectIdentifier{2, 5, 29, 17}

// otherNames are the texts of names of other kinds, by their object identifier; all of them without one.
func otherNames(c *x509.Certificate, oid string) (texts []string) {
	for _, e := range c.Extensions {
		if !e.Id.Equal(subjectAltName) {
			continue
		}
		var list asn1.RawValue
		if _, err := asn1.Unmarshal(e.Value, &list); err != nil {
			return nil
		}
		for rest := list.Bytes; len(rest) > 0; {
			var one asn1.RawValue
			var err error
			if rest, err = asn1.Unmarshal(rest, &one); err != nil {
				return nil
			}
			if one.Class != asn1.ClassContextSpecific || one.Tag != 0 {
				continue
			}
			var id asn1.ObjectIdentifier
			value, err := asn1.Unmarshal(one.Bytes, &id)
			if err != nil || oid != "" && id.String() != oid {
				continue
			}
			var outer, inner asn1.RawValue // EXPLICIT [0]
			if _, err := asn1.Unmarshal(value, &outer); err != nil {
				continue
			}
			if _, err := asn1.Unmarshal(outer.Bytes, &inner); err == nil && isText(inner.Tag) {
				texts = append(texts, string(inner.Bytes))
			}
		}
	}
	return texts
}

func isText(tag int) bool {
	return tag == asn1.TagUTF8String || tag == asn1.TagPrintableString || tag == asn1.TagIA5String || tag == asn1.TagOctetString
}

// trustDomain is that of a certificate's SPIFFE ID. There is exactly one URI in such a certificate (SPIFFE X.509-SVID §2).
func trustDomain(leaf *x509.Certificate) (string, error) {
	if len(leaf.URIs) != 1 {
		return "", fmt.Errorf("it has %d URIs, and a SPIFFE ID is the only one", len(leaf.URIs))
	}
	u := leaf.URIs[0]
	if u.Scheme != "spiffe" || u.Host == "" || u.User != nil || u.Port() != "" || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("its URI %s is no SPIFFE ID", u)
	}
	if leaf.IsCA {
		return "", errors.New("it is an issuer's, which is nobody's own")
	}
	return u.Host, nil
}
