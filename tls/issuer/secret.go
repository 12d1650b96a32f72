package issuer

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"
)

// Secrets are the identity as proxies are told it over SDS, each an encoded Secret of Envoy's: the certificate with its key, and whom peers are believed by.
func (i *Identity) Secrets(own, roots string) (certificate, trust []byte) {
	inline := func(b []byte) *corev3.DataSource {
		return &corev3.DataSource{Specifier: &corev3.DataSource_InlineBytes{InlineBytes: b}}
	}
	encoded := func(s *tlsv3.Secret) []byte {
		b, err := proto.Marshal(s)
		if err != nil {
			panic("issuer: " + err.Error()) // names are ours
		}
		return b
	}
	return encoded(&tlsv3.Secret{Name: own, Type: &tlsv3.Secret_TlsCertificate{TlsCertificate: &tlsv3.TlsCertificate{CertificateChain: inline(i.Chain), PrivateKey: inline(i.Key)}}}),
		encoded(&tlsv3.Secret{Name: roots, Type: &tlsv3.Secret_ValidationContext{ValidationContext: &tlsv3.CertificateValidationContext{TrustedCa: inline(i.Roots)}}})
}
