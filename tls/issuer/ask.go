package issuer

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	stdtls "crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/structpb"
	securityv1alpha1 "istio.io/api/security/v1alpha1"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/rpc"
)

// method is how certificates are asked for.
const method = "/istio.v1.auth.IstioCertificateService/CreateCertificate"

// asking bounds one attempt, in which who signs may have to ask others: the API server about a token, and a signer of its own.
const asking = 10 * time.Second

// Server is who signs.
type Server struct {
	Address string // host:port
	Name    string // that its certificate must have; empty: the host
	// Roots is a file with whom it is believed by, read each time; empty: those that this host trusts.
	Roots string
}

// target is how it is reached, showing a certificate or none.
func (s *Server) target(own *stdtls.Certificate) (t rpc.Target, err error) {
	host, port, err := net.SplitHostPort(s.Address)
	if err != nil {
		return t, fmt.Errorf("the address %q: want HOST:PORT", s.Address)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return t, fmt.Errorf("the address %q: want a number as its port", s.Address)
	}
	name := s.Name
	if name == "" {
		name = host
	}
	v := &config.Validation{SystemRoots: s.Roots == "", Where: "the system", MaxDepth: -1, Names: []config.NameMatch{{Kind: config.DNSName, Match: config.StringMatch{Value: name}}}}
	if s.Roots != "" {
		v.Where = s.Roots
		if v.Roots, err = readRoots(s.Roots); err != nil {
			return t, err
		}
	}
	of := &config.TLS{MinVersion: stdtls.VersionTLS12, MaxVersion: stdtls.VersionTLS13, Validation: v, ServerName: name}
	if own != nil {
		of.Certificates = []config.CertificateSource{{Value: &config.Certificate{Certificate: *own}}}
	}
	c := &config.Cluster{Name: s.Address, ConnectTimeout: asking / 2, Transport: config.Transport{TLS: of}}
	return rpc.Target{Cluster: c, Endpoints: []*config.Endpoint{{Host: host, Port: uint16(n)}}, Authority: name}, nil
}

// proof is what is shown to who signs: a token, a certificate, or both.
type proof struct {
	by    string // for people
	token string
	own   *stdtls.Certificate
}

// request makes a key and asks for its certificate. The answer is read and not judged.
func (x *Issuer) request(ctx context.Context, p proof) (chain []*x509.Certificate, key []byte, err error) {
	signer, err := x.newKey()
	if err != nil {
		return nil, nil, err
	}
	if key, err = x.keyPEM(signer); err != nil {
		return nil, nil, err
	}
	q := &x509.CertificateRequest{}
	if w := x.Want; w.Domain != "" && w.Namespace != "" && w.Account != "" {
		q.URIs = []*url.URL{{Scheme: "spiffe", Host: w.Domain, Path: "/ns/" + w.Namespace + "/sa/" + w.Account}}
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, q, signer)
	if err != nil {
		return nil, nil, err
	}
	ask := &securityv1alpha1.IstioCertificateRequest{
		Csr:              string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})),
		ValidityDuration: int64(x.Life / time.Second),
	}
	if x.Signer != "" {
		ask.Metadata = &structpb.Struct{Fields: map[string]*structpb.Value{"CertSigner": structpb.NewStringValue(x.Signer)}}
	}
	t, err := x.Server.target(p.own)
	if err != nil {
		return nil, nil, err
	}
	t.Metadata = strings.Join(x.told(p.token), "\n")
	ctx, cancel := context.WithTimeout(ctx, asking)
	defer cancel()
	conn, err := rpc.Dial(ctx, t)
	if err != nil {
		return nil, nil, err
	}
	defer conn.Close()
	answer := &securityv1alpha1.IstioCertificateResponse{}
	if err := conn.Invoke(ctx, method, ask, answer); err != nil {
		return nil, nil, err
	}
	if chain, err = certificates([]byte(strings.Join(answer.GetCertChain(), "\n"))); err != nil {
		return nil, nil, fmt.Errorf("the answer %w", err)
	}
	return chain, key, nil
}

// told is what goes beside the request, as config.Stream has it.
func (x *Issuer) told(token string) (lines []string) {
	if token != "" {
		lines = append(lines, "authorization: Bearer "+token)
	}
	if x.Cluster != "" {
		lines = append(lines, "clusterid: "+x.Cluster)
	}
	return lines
}

// newKey makes a key of the kind that is wanted.
func (x *Issuer) newKey() (crypto.Signer, error) {
	if x.RSA > 0 {
		return rsa.GenerateKey(rand.Reader, x.RSA)
	}
	curve := x.Curve
	if curve == nil {
		curve = elliptic.P256()
	}
	return ecdsa.GenerateKey(curve, rand.Reader)
}

// keyPEM writes a key: in PKCS 8, or as Istio's agent does without PKCS8_KEY.
func (x *Issuer) keyPEM(key crypto.Signer) ([]byte, error) {
	kind, der, err := "PRIVATE KEY", []byte(nil), error(nil)
	switch k := key.(type) {
	case *rsa.PrivateKey:
		if !x.PKCS8 {
			kind, der = "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(k)
		}
	case *ecdsa.PrivateKey:
		if !x.PKCS8 {
			kind = "EC PRIVATE KEY"
			der, err = x509.MarshalECPrivateKey(k)
		}
	}
	if der == nil && err == nil {
		der, err = x509.MarshalPKCS8PrivateKey(key)
	}
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), nil
}

// maxToken bounds a token, in bytes: those of service accounts have 1 to 2 KB.
const maxToken = 64 << 10

// ReadToken reads a token from its file, which others may renew.
func ReadToken(path string) (string, error) {
	b, err := readFile(path)
	if err != nil {
		return "", fmt.Errorf("the token: %w", err)
	}
	token := strings.TrimSpace(string(b))
	switch {
	case token == "":
		return "", fmt.Errorf("the token: %s is empty", path)
	case len(token) > maxToken || strings.ContainsAny(token, " \r\n\t"):
		return "", fmt.Errorf("the token: %s has no token in it: want one line of at most %d bytes", path, maxToken)
	}
	return token, nil
}

// readFile reads a file that is not too large.
func readFile(path string) ([]byte, error) {
	i, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if i.Size() > maxText {
		return nil, fmt.Errorf("%s has %d bytes: want at most %d", path, i.Size(), maxText)
	}
	return os.ReadFile(path)
}

func readRoots(path string) ([]*x509.Certificate, error) {
	b, err := readFile(path)
	if err != nil {
		return nil, fmt.Errorf("roots: %w", err)
	}
	list, err := certificates(b)
	if err != nil {
		return nil, fmt.Errorf("roots: %s %w", path, err)
	}
	return list, nil
}

var errNoProof = errors.New("there is nothing to show who this is: want a token of a service account, a join token, or a certificate that is still good")
