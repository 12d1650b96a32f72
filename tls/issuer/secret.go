package issuer

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"
)

// Secrets are the identity as proxies are told it over SDS, each an encoded Secret of Envoy's: the certificate with its key, and whom peers are believed by.
func (i *Identity) Secrets(own, roots string) (certificate, trust []byte) {
	return certificateSecret(own, i.Chain, i.Key), rootsSecret(roots, i.Roots)
}

// How control planes name what is in files beside the workload, which the agent reads: file-cert:CHAIN~KEY, and file-root:ROOTS.
const (
	filePair  = "file-cert:"
	fileRoots = "file-root:"
)

// IsFile says whether a secret is named by the files that it is in.
func IsFile(name string) bool {
	return strings.HasPrefix(name, filePair) || strings.HasPrefix(name, fileRoots)
}

// FileSecret reads one, as Secrets has it. The version is another one exactly if the text of the certificates is.
func FileSecret(name string) (body []byte, version string, err error) {
	if path, is := strings.CutPrefix(name, fileRoots); is {
		list, err := readRoots(path)
		if err != nil {
			return nil, "", err
		}
		text := encode(list...)
		return rootsSecret(name, text), versionOf(text), nil
	}
	chain, key, is := strings.Cut(strings.TrimPrefix(name, filePair), "~")
	if !is {
		return nil, "", fmt.Errorf("%q: want %sCHAIN~KEY", name, filePair)
	}
	text, err := readFile(chain)
	if err != nil {
		return nil, "", err
	}
	secret, err := readFile(key)
	if err != nil {
		return nil, "", err
	}
	if _, err := tls.X509KeyPair(text, secret); err != nil {
		return nil, "", fmt.Errorf("%s and %s: %w", chain, key, err)
	}
	return certificateSecret(name, text, secret), versionOf(text), nil
}

func versionOf(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

func certificateSecret(name string, chain, key []byte) []byte {
	return encoded(&tlsv3.Secret{Name: name, Type: &tlsv3.Secret_TlsCertificate{TlsCertificate: &tlsv3.TlsCertificate{CertificateChain: inline(chain), PrivateKey: inline(key)}}})
}

func rootsSecret(name string, roots []byte) []byte {
	return encoded(&tlsv3.Secret{Name: name, Type: &tlsv3.Secret_ValidationContext{ValidationContext: &tlsv3.CertificateValidationContext{TrustedCa: inline(roots)}}})
}

func inline(b []byte) *corev3.DataSource {
	return &corev3.DataSource{Specifier: &corev3.DataSource_InlineBytes{InlineBytes: b}}
}

func encoded(s *tlsv3.Secret) []byte {
	b, err := proto.Marshal(s)
	if err != nil {
		panic("issuer: " + err.Error()) // names have come in protobuf, or are ours
	}
	return b
}
