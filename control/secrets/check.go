package secrets

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"golang.org/x/crypto/ocsp"

	"github.com/weftmesh/weft/control/source"
	"github.com/weftmesh/weft/xds/server"
)

// keys are what an object has a credential under. Istio's generic ones count before those of Kubernetes.
type keys struct{ certificate, key, roots, revoked, staple string }

var spellings = [...]keys{
	{certificate: "cert", key: "key", roots: "cacert", revoked: "crl"},
	{certificate: "tls.crt", key: "tls.key", roots: "ca.crt", revoked: "ca.crl", staple: "tls.ocsp-staple"},
}

// fault is something wrong with what an object has under a key.
type fault struct{ key, text string }

func (f *fault) Error() string { return fmt.Sprintf("data[%s]: %s", f.key, f.text) }

func faulty(key, format string, args ...any) error { return &fault{key, fmt.Sprintf(format, args...)} }

// Check says what is wrong with an object that has a credential, or ought to: as problems for which it must be kept out of the mesh, so that its last good
// version stays, and as warnings. Of what has none it says nothing.
func Check(o *source.Object) (problems []source.Problem) {
	say := func(warning bool, err error) {
		p := source.Problem{Key: o.Key, From: o.From, Text: err.Error(), Warning: warning}
		if f := (*fault)(nil); errors.As(err, &f) {
			p.Path, p.Text = "data["+f.key+"]", f.text
		}
		problems = append(problems, p)
	}
	data := dataOf(o)
	for _, k := range spellings {
		certificate, key := data[k.certificate], data[k.key]
		typed := k.certificate == tlsCertificate && typeOf(o) == typeTLS
		switch both := certificate != nil && key != nil; {
		case both:
			leaf, err := pair(data, k)
			if err != nil {
				say(false, err)
			} else if now := time.Now(); now.After(leaf.NotAfter) {
				say(true, faulty(k.certificate, "the certificate has ended at %s: clients do not take it", leaf.NotAfter.UTC().Format(time.RFC3339)))
			}
		case typed || isPEM(certificate) || isPEM(key):
			missing := k.certificate
			if certificate != nil {
				missing = k.key
			}
			say(false, faulty(missing, "is missing"))
		}
		if data[k.roots] != nil {
			if err := roots(data, k); err != nil {
				say(false, err)
			}
		}
	}
	return problems
}

// typeTLS is the type of Secrets that have a certificate by Kubernetes' names.
const (
	typeTLS        = "kubernetes.io/tls"
	tlsCertificate = "tls.crt"
)

func typeOf(o *source.Object) string {
	if s, ok := o.Spec.(*source.SecretSpec); ok {
		return s.Type
	}
	return ""
}

// dataOf is what an object has under its keys; of a kind that has no credentials, nothing.
func dataOf(o *source.Object) map[string][]byte {
	switch spec := o.Spec.(type) {
	case *source.SecretSpec:
		return spec.Data
	case *source.ConfigMapSpec: // which have nothing that has to be kept secret
		data := map[string][]byte{}
		for _, k := range spellings {
			for _, name := range []string{k.roots, k.revoked} {
				if text, ok := spec.Data[name]; ok {
					data[name] = []byte(text)
				}
			}
		}
		return data
	}
	return nil
}

func isPEM(b []byte) bool { return bytes.Contains(b, []byte("-----BEGIN ")) }

// credentialOf makes of an object the secret of a name: its roots, or its certificate and key.
func credentialOf(name string, o *source.Object, wantRoots bool) (*server.Resource, error) {
	data := dataOf(o)
	for _, k := range spellings {
		switch {
		case wantRoots && data[k.roots] != nil:
			if err := roots(data, k); err != nil {
				return nil, err
			}
			v := &tlsv3.CertificateValidationContext{TrustedCa: inline(data[k.roots])}
			if data[k.revoked] != nil {
				v.Crl = inline(data[k.revoked])
			}
			return secret(name, "", &tlsv3.Secret{Name: name, Type: &tlsv3.Secret_ValidationContext{ValidationContext: v}}), nil
		case !wantRoots && data[k.certificate] != nil && data[k.key] != nil:
			if _, err := pair(data, k); err != nil {
				return nil, err
			}
			c := &tlsv3.TlsCertificate{CertificateChain: inline(data[k.certificate]), PrivateKey: inline(data[k.key])}
			if k.staple != "" && data[k.staple] != nil {
				c.OcspStaple = inline(data[k.staple])
			}
			// All but the key, which is that of the certificate: versions are logged.
			shown := &tlsv3.TlsCertificate{CertificateChain: c.CertificateChain, OcspStaple: c.OcspStaple}
			public := secret(name, "", &tlsv3.Secret{Name: name, Type: &tlsv3.Secret_TlsCertificate{TlsCertificate: shown}})
			return secret(name, public.Version, &tlsv3.Secret{Name: name, Type: &tlsv3.Secret_TlsCertificate{TlsCertificate: c}}), nil
		}
	}
	if wantRoots {
		return nil, fmt.Errorf("it has neither %s nor %s", spellings[1].roots, spellings[0].roots)
	}
	return nil, fmt.Errorf("it has neither %s with %s nor %s with %s", spellings[1].certificate, spellings[1].key, spellings[0].certificate, spellings[0].key)
}

// pair says what is wrong with a certificate and its key, as far as every proxy would refuse them.
func pair(data map[string][]byte, k keys) (*x509.Certificate, error) {
	chain, err := certificates(data[k.certificate])
	if err != nil {
		return nil, faulty(k.certificate, "%v", err)
	}
	leaf := chain[0]
	switch key := leaf.PublicKey.(type) {
	case *rsa.PublicKey:
		if n := key.N.BitLen(); n < 2048 {
			return nil, faulty(k.certificate, "its key is RSA of %d bits: want at least 2048", n)
		}
	case *ecdsa.PublicKey:
	default:
		return nil, faulty(k.certificate, "its key is %v: want ECDSA or RSA, which every proxy can use", leaf.PublicKeyAlgorithm)
	}
	if _, err := tls.X509KeyPair(data[k.certificate], data[k.key]); err != nil {
		return nil, faulty(k.key, "is not the private key, in PEM, of the certificate in %s", k.certificate) // what the library says may have some of it
	}
	if k.staple != "" && data[k.staple] != nil {
		if _, err := ocsp.ParseResponse(data[k.staple], nil); err != nil {
			return nil, faulty(k.staple, "is no OCSP response: %v", err)
		}
	}
	return leaf, nil
}

// roots says what is wrong with whom is to be trusted, and with the lists of what is revoked beside that.
func roots(data map[string][]byte, k keys) error {
	if _, err := certificates(data[k.roots]); err != nil {
		return faulty(k.roots, "%v", err)
	}
	text, found := data[k.revoked], 0
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if _, err := x509.ParseRevocationList(block.Bytes); err != nil {
			return faulty(k.revoked, "a list of revoked certificates cannot be read: %v", err)
		}
		found++
	}
	if data[k.revoked] != nil && found == 0 {
		return faulty(k.revoked, "has no list of revoked certificates in PEM")
	}
	return nil
}

func certificates(text []byte) (list []*x509.Certificate, err error) {
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d cannot be read: %w", len(list)+1, err)
		}
		list = append(list, c)
	}
	if len(list) == 0 {
		return nil, errors.New("has no certificate in PEM")
	}
	return list, nil
}
