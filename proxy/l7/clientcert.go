package l7

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"strings"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/tls"
	"github.com/weftmesh/weft/wire/http"
)

// forwardClientCert does to x-forwarded-client-cert what the configuration says. Who has shown no certificate may not say whose others are.
func (x *exchange) forwardClientCert() {
	mode, r := x.server.config.ClientCert.Mode, &x.request
	switch {
	case mode == config.ClientCertAlways:
	case mode == config.ClientCertSanitize, x.conn.state&connPresented == 0:
		r.Remove(http.XForwardedClientCert)
	case mode == config.ClientCertForward:
	default:
		own := x.conn.clientCert()
		was := r.Get(http.XForwardedClientCert)
		if mode == config.ClientCertSet || was == nil {
			if x.server.config.ClientCert.JSON {
				x.scratch = append(append(append(x.scratch[:0], '['), own.json...), ']')
				r.Set(http.XForwardedClientCert, x.scratch)
			} else {
				r.SetString(http.XForwardedClientCert, own.text)
			}
			return
		}
		// The form of what is there is kept.
		x.scratch = x.scratch[:0]
		for i := r.Index(http.XForwardedClientCert, 0); i >= 0; i = r.Index(http.XForwardedClientCert, i+1) {
			if len(x.scratch) > 0 {
				x.scratch = append(x.scratch, ',')
			}
			x.scratch = append(x.scratch, r.Value(i)...)
		}
		if list, ok := bytes.CutSuffix(bytes.TrimSpace(x.scratch), []byte("]")); ok && len(list) > 1 && list[0] == '[' {
			x.scratch = append(append(append(list, ','), own.json...), ']')
		} else {
			x.scratch = append(append(x.scratch, ','), own.text...)
		}
		r.Set(http.XForwardedClientCert, x.scratch)
	}
}

// clientCert is what is told of a connection's certificate: an element of the field, in both of its forms.
type clientCert struct{ text, json string }

type clientCertKey struct{}

// clientCert is made at the first request of a connection.
func (c *Conn) clientCert() clientCert {
	if v, ok := c.kept[clientCertKey{}]; ok {
		return v.(clientCert)
	}
	if c.kept == nil {
		c.kept = map[any]any{}
	}
	v := describeClient(&c.server.config.ClientCert, c.conn.TLS())
	c.kept[clientCertKey{}] = v
	return v
}

// described is what is told, in the order and under the names of the form in JSON.
type described struct {
	By      []string `json:"by,omitempty"`
	Hash    string   `json:"hash"`
	Cert    string   `json:"cert,omitempty"`
	Chain   []string `json:"chain,omitempty"`
	Subject *string  `json:"subject,omitempty"`
	URI     []string `json:"uri,omitempty"`
	DNS     []string `json:"dns,omitempty"`
	Issuer  *string  `json:"issuer,omitempty"`
}

func describeClient(c *config.ClientCert, s *tls.Session) clientCert {
	leaf := s.Peer()[0]
	sum := sha256.Sum256(leaf.Raw)
	d := described{Hash: hex.EncodeToString(sum[:])}
	parts := []string{}
	if own := s.Own(); own != nil {
		for _, u := range own.URIs {
			d.By = append(d.By, u.String())
			parts = append(parts, "By="+u.String())
		}
	}
	parts = append(parts, "Hash="+d.Hash)
	if c.Whole {
		d.Cert = tls.PEM(leaf)
		parts = append(parts, `Cert="`+percent(d.Cert)+`"`)
	}
	if c.Chain {
		for _, one := range s.Chain() {
			d.Chain = append(d.Chain, tls.PEM(one))
		}
		parts = append(parts, `Chain="`+percent(strings.Join(d.Chain, ""))+`"`)
	}
	if c.Subject {
		text := tls.DistinguishedName(leaf.RawSubject)
		d.Subject = &text
		parts = append(parts, `Subject="`+text+`"`)
	}
	if c.URI {
		for _, u := range leaf.URIs {
			d.URI = append(d.URI, u.String())
			parts = append(parts, "URI="+u.String())
		}
		if len(leaf.URIs) == 0 {
			parts = append(parts, "URI=")
		}
	}
	if c.DNS {
		d.DNS = leaf.DNSNames
		for _, n := range leaf.DNSNames {
			parts = append(parts, "DNS="+n)
		}
	}
	if c.Issuer {
		text := tls.DistinguishedName(leaf.RawIssuer)
		d.Issuer = &text
		parts = append(parts, `Issuer="`+text+`"`)
	}
	// A name with what this field is made of would read as other elements; Envoy writes it as it is.
	for i, p := range parts {
		parts[i] = visible(p)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // Envoy's does not
	e.Encode(d)            // of strings only, into memory
	return clientCert{text: strings.Join(parts, ";"), json: strings.TrimSpace(b.String())}
}

// percent escapes as Envoy does: all but letters, digits and -_.~, with %20 for a space.
func percent(text string) string { return strings.ReplaceAll(url.QueryEscape(text), "+", "%20") }

// visible takes out what may not stand in a field.
func visible(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, text)
}
