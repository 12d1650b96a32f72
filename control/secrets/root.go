package secrets

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"

	"github.com/weftmesh/weft/xds/server"
)

// Roots are whom everybody trusts, and the lists of what is revoked, the same for all.
func (s *Secrets) Roots() *server.Part {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.root
}

// takeRoots takes what the authority says of them. The same bytes stay the same part.
func (s *Secrets) takeRoots() {
	v := &tlsv3.CertificateValidationContext{TrustedCa: inline(s.Authority.RootsPEM())}
	if lists := s.Authority.Lists(); len(lists) > 0 {
		// Of whom a proxy has one list it needs one of each issuer that it meets. Those of leaves are here; what is between them and a root is
		// nobody's to revoke, and has none.
		v.Crl, v.OnlyVerifyLeafCertCrl = inline(lists), true
	}
	r := secret(Root, "", &tlsv3.Secret{Name: Root, Type: &tlsv3.Secret_ValidationContext{ValidationContext: v}})
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.root == nil || !bytes.Equal(s.root.Resources[0].Body, r.Body) {
		s.root = &server.Part{Kind: server.Secrets, Resources: []*server.Resource{r}}
	}
}

// secret is one as it is sent. Without a version it has that of its bytes, which those with a key must not have: versions are logged.
func secret(name, version string, m *tlsv3.Secret) *server.Resource {
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		panic("secrets: " + err.Error()) // all strings in it are names that were read, which are valid UTF-8
	}
	if version == "" {
		sum := sha256.Sum256(body)
		version = hex.EncodeToString(sum[:8])
	}
	return &server.Resource{Name: name, Version: version, Body: body}
}
