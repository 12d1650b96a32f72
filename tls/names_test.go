package tls

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"net"
	"net/url"
	"regexp"
	"slices"
	"testing"

	"github.com/weftmesh/weft/config"
)

func exact(kind config.NameKind, value string) config.NameMatch {
	return config.NameMatch{Kind: kind, Match: config.StringMatch{Kind: config.StringExact, Value: value}}
}

func TestNames(t *testing.T) {
	dns := func(names ...string) *x509.Certificate { return &x509.Certificate{DNSNames: names} }
	uri := func(text string) *x509.Certificate {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		return &x509.Certificate{URIs: []*url.URL{u}}
	}
	mail := &x509.Certificate{EmailAddresses: []string{"a@b.test"}}
	address := &x509.Certificate{IPAddresses: []net.IP{net.ParseIP("10.0.0.1"), net.ParseIP("::1")}}
	common := &x509.Certificate{Subject: pkix.Name{CommonName: "a.test"}}
	of := func(kind config.NameKind, how config.StringKind, value string) config.NameMatch {
		return config.NameMatch{Kind: kind, Match: config.StringMatch{Kind: how, Value: value, Regex: regexp.MustCompile("^(?:" + regexp.QuoteMeta(value) + ")$")}}
	}
	folded := exact(config.DNSName, "a.test")
	folded.Match.IgnoreCase = true
	for _, c := range []struct {
		what  string
		leaf  *x509.Certificate
		match config.NameMatch
		want  bool
	}{
		{"exact", dns("a.test"), exact(config.DNSName, "a.test"), true},
		{"the second of two", dns("b.test", "a.test"), exact(config.DNSName, "a.test"), true},
		{"another", dns("b.test"), exact(config.DNSName, "a.test"), false},
		{"a longer one", dns("a.test.evil"), exact(config.DNSName, "a.test"), false},
		{"one before it", dns("x.a.test"), exact(config.DNSName, "a.test"), false},
		{"hosts have no case", dns("A.Test"), exact(config.DNSName, "a.test"), true},
		{"nor for who says so", dns("A.Test"), folded, true},
		{"a dot at the end", dns("a.test."), exact(config.DNSName, "a.test"), true},
		{"a wildcard for one label", dns("*.a.test"), exact(config.DNSName, "x.a.test"), true},
		{"not for two", dns("*.a.test"), exact(config.DNSName, "y.x.a.test"), false},
		{"not for none", dns("*.a.test"), exact(config.DNSName, "a.test"), false},
		{"not for an empty one", dns("*.a.test"), exact(config.DNSName, ".a.test"), false},
		{"not for all of a top-level domain", dns("*.test"), exact(config.DNSName, "a.test"), false},
		{"not within a label", dns("x*.a.test"), exact(config.DNSName, "xy.a.test"), false},
		{"not in the middle", dns("x.*.test"), exact(config.DNSName, "x.a.test"), false},
		{"a star alone", dns("*"), exact(config.DNSName, "a.test"), false},
		{"a star is itself", dns("*.a.test"), exact(config.DNSName, "*.a.test"), true},
		{"a star that is asked for is no pattern", dns("x.a.test"), exact(config.DNSName, "*.a.test"), false},
		{"a NUL ends nothing", dns("a.test\x00.evil"), exact(config.DNSName, "a.test"), false},
		{"nor does it begin anything", dns("evil\x00a.test"), of(config.DNSName, config.StringSuffix, ".test"), true},
		{"a prefix", dns("a.test"), of(config.DNSName, config.StringPrefix, "a."), true},
		{"a prefix has case", dns("A.test"), of(config.DNSName, config.StringPrefix, "a."), false},
		{"a suffix", dns("x.a.test"), of(config.DNSName, config.StringSuffix, ".a.test"), true},
		{"a part", dns("x.a.test"), of(config.DNSName, config.StringContains, ".a."), true},
		{"a pattern is for all of it", dns("xa.test"), of(config.DNSName, config.StringRegex, "a.test"), false},
		{"a pattern", dns("a.test"), of(config.DNSName, config.StringRegex, "a.test"), true},
		{"a URI", uri("spiffe://td/ns/a"), exact(config.URIName, "spiffe://td/ns/a"), true},
		{"a URI has case", uri("spiffe://td/ns/A"), exact(config.URIName, "spiffe://td/ns/a"), false},
		{"the beginning of a URI", uri("spiffe://td/ns/a/b"), exact(config.URIName, "spiffe://td/ns/a"), false},
		{"a mail address", mail, exact(config.EmailName, "a@b.test"), true},
		{"an address", address, exact(config.IPName, "10.0.0.1"), true},
		{"an address of IPv6", address, exact(config.IPName, "::1"), true},
		// CVE-2022-21656: a name is good for its own kind only.
		{"a URI for a host", uri("spiffe://a.test"), of(config.DNSName, config.StringContains, "a.test"), false},
		{"a host for a URI", dns("spiffe.td"), of(config.URIName, config.StringPrefix, "spiffe"), false},
		{"a host for an address", dns("10.0.0.1"), exact(config.IPName, "10.0.0.1"), false},
		{"an address for a host", address, exact(config.DNSName, "10.0.0.1"), false},
		{"a mail address for a host", mail, of(config.DNSName, config.StringSuffix, "b.test"), false},
		{"a host for a mail address", dns("a@b.test"), exact(config.EmailName, "a@b.test"), false},
		{"the subject for a host", common, exact(config.DNSName, "a.test"), false},
		{"any kind: a host", dns("a.test"), exact(config.AnyName, "a.test"), true},
		{"any kind: a URI", uri("spiffe://td/a"), exact(config.AnyName, "spiffe://td/a"), true},
		{"any kind: mail", mail, exact(config.AnyName, "a@b.test"), true},
		{"any kind: an address", address, exact(config.AnyName, "10.0.0.1"), true},
		{"any kind: the subject", common, exact(config.AnyName, "a.test"), false},
		{"no names", &x509.Certificate{}, of(config.AnyName, config.StringPrefix, ""), false},
	} {
		if got := hasName(c.leaf, &c.match); got != c.want {
			t.Errorf("%s: %v of %v is %t", c.what, c.match, allNames(c.leaf), got)
		}
	}
}

// other is a subjectAltName with one name of a kind, whose value has a tag.
func other(t testing.TB, oid asn1.ObjectIdentifier, tag int, text string) pkix.Extension {
	t.Helper()
	must := func(v any) []byte {
		b, err := asn1.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	wrap := func(b []byte) asn1.RawValue {
		return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: b}
	}
	value := must(wrap(must(asn1.RawValue{Tag: tag, Bytes: []byte(text)})))
	return pkix.Extension{Id: subjectAltName, Value: must([]asn1.RawValue{wrap(append(must(oid), value...)), {Class: asn1.ClassContextSpecific, Tag: 2, Bytes: []byte("a.test")}})}
}

func TestOtherNames(t *testing.T) {
	oid := asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 20, 2, 3}
	for _, tag := range []int{asn1.TagUTF8String, asn1.TagPrintableString, asn1.TagIA5String, asn1.TagOctetString} {
		leaf := &x509.Certificate{Extensions: []pkix.Extension{other(t, oid, tag, "u@td")}}
		if got := otherNames(leaf, oid.String()); !slices.Equal(got, []string{"u@td"}) {
			t.Errorf("tag %d: %q", tag, got)
		}
		if got := otherNames(leaf, "1.2.3"); len(got) != 0 {
			t.Errorf("tag %d: of another kind there is %q", tag, got)
		}
	}
	if got := otherNames(&x509.Certificate{Extensions: []pkix.Extension{other(t, oid, asn1.TagInteger, "\x01")}}, oid.String()); len(got) != 0 {
		t.Errorf("a number is text: %q", got)
	}
	m := config.NameMatch{Kind: config.OtherName, OID: oid.String(), Match: config.StringMatch{Kind: config.StringExact, Value: "u@td"}}
	leaf := &x509.Certificate{EmailAddresses: []string{"u@td"}, DNSNames: []string{"u@td"}}
	if hasName(leaf, &m) {
		t.Error("a mail address passes for another name")
	}
	m.Kind = config.EmailName
	if hasName(&x509.Certificate{Extensions: []pkix.Extension{other(t, oid, asn1.TagUTF8String, "u@td")}}, &m) {
		t.Error("another name passes for a mail address")
	}
}

// FuzzOtherNames must neither panic nor find text that is not in the extension.
func FuzzOtherNames(f *testing.F) {
	oid := asn1.ObjectIdentifier{1, 2, 3}
	whole := other(f, oid, asn1.TagUTF8String, "text").Value
	f.Add(whole)
	f.Add(whole[:len(whole)-3])
	f.Add([]byte{0x30, 0x80})
	f.Add([]byte{0x30, 0x02, 0xa0, 0x00})
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, text := range otherNames(&x509.Certificate{Extensions: []pkix.Extension{{Id: subjectAltName, Value: b}}}, oid.String()) {
			if len(text) > len(b) {
				t.Errorf("%d bytes of %d", len(text), len(b))
			}
		}
	})
}

func TestTrustDomains(t *testing.T) {
	for id, want := range map[string]string{
		"spiffe://td/ns/a": "td", "spiffe://td": "td", "spiffe://a.b-c_d/x": "a.b-c_d",
		"http://td/a": "", "spiffe:///a": "", "spiffe://u@td/a": "", "spiffe://td:8/a": "", "spiffe://td/a?q": "", "spiffe://td/a#f": "", "spiffe:td": "",
	} {
		u, err := url.Parse(id)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := trustDomain(&x509.Certificate{URIs: []*url.URL{u}}); got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v", id, got, err)
		}
		if _, err := trustDomain(&x509.Certificate{URIs: []*url.URL{u, u}}); err == nil {
			t.Errorf("%s twice is good", id)
		}
		if _, err := trustDomain(&x509.Certificate{URIs: []*url.URL{u}, IsCA: true}); err == nil {
			t.Errorf("%s of an issuer is good", id)
		}
	}
	if _, err := trustDomain(&x509.Certificate{}); err == nil {
		t.Error("no URI is good")
	}
}
