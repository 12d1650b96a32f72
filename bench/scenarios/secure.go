package scenarios

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/weftmesh/weft/bench/load"
	"github.com/weftmesh/weft/bench/rivals"
	"github.com/weftmesh/weft/bench/upstream"
)

// secure is traffic over TLS, with a certificate of that kind.
type secure struct {
	spec load.Spec
	kind string // "rsa" with 2,048 bits, or "p256"
}

func (secure) fits(r rivals.Rival) bool { return !r.Floor }

func https(path string, body, conns int) secure {
	return secure{load.Spec{Protocol: load.HTTP1, Path: path, Body: body, Conns: conns, TLS: true}, "p256"}
}

// shaking is full handshakes, and nothing else, over conns connections at once. curve is as TLS numbers it.
func shaking(kind string, curve uint16, conns int) secure {
	return secure{load.Spec{Protocol: load.HTTP1, Path: upstream.Path1K, Body: upstream.Size1K, Conns: conns, TLS: true, Handshakes: true, Curve: curve}, kind}
}

func (t secure) measure(ctx context.Context, s *Stage, c rivals.Contestant) (Sample, error) {
	certificate, err := certificates(t.kind)
	if err != nil {
		return Sample{}, err
	}
	return traffic{t.spec}.over(ctx, s, c, rivals.Plan{Threads: 1, Certificate: certificate})
}

// perSecureConnection is perConnection over TLS.
type perSecureConnection struct {
	conns int
}

func (perSecureConnection) fits(r rivals.Rival) bool { return !r.Floor }

func (p perSecureConnection) measure(ctx context.Context, s *Stage, c rivals.Contestant) (Sample, error) {
	certificate, err := certificates("p256")
	if err != nil {
		return Sample{}, err
	}
	return perConnection{conns: p.conns, tls: true}.over(ctx, s, c, rivals.Plan{Threads: 1, Certificate: certificate})
}

// made are the certificates of this run by kind: a file with the chain and then the key, as every contestant takes it.
var made struct {
	sync.Mutex
	dir   string
	files map[string]string
}

// certificates makes a certificate of a kind, once.
func certificates(kind string) (file string, err error) {
	made.Lock()
	defer made.Unlock()
	if file := made.files[kind]; file != "" {
		return file, nil
	}
	if made.dir == "" {
		if made.dir, err = os.MkdirTemp("", "weft-bench-tls"); err != nil {
			return "", fmt.Errorf("scenarios: certificate: %w", err)
		}
		os.Chmod(made.dir, 0o755)
		made.files = map[string]string{}
	}
	chain, key, err := issue(kind)
	if err != nil {
		return "", err
	}
	text := append(chain, key...)
	file = filepath.Join(made.dir, kind+".pem")
	if err := os.WriteFile(file, text, 0o644); err != nil {
		return "", fmt.Errorf("scenarios: certificate: %w", err)
	}
	made.files[kind] = file
	return file, nil
}

// issue makes a certificate and its key, in PEM.
func issue(kind string) (chain, private []byte, err error) {
	var key crypto.Signer
	if kind == "rsa" {
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	} else {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("scenarios: key: %w", err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench.example"}, DNSNames: []string{"bench.example"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		return nil, nil, fmt.Errorf("scenarios: certificate: %w", err)
	}
	der8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("scenarios: key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der8}), nil
}

// forgetCertificates takes them away.
func forgetCertificates() {
	made.Lock()
	defer made.Unlock()
	if made.dir != "" {
		os.RemoveAll(made.dir)
		made.dir, made.files = "", nil
	}
}
