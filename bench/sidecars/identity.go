package sidecars

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

// The files of an authority, as weftd's --ca-dir has them.
const (
	certificateFile = "ca-cert.pem"
	keyFile         = "ca-key.pem"
	rootFile        = "root-cert.pem"
)

// good is how long certificates are.
const good = 12 * time.Hour

// Found makes an authority, whose root signs, in a folder: control planes that are given it trust those to whom it has issued, and are trusted by them.
func Found(dir string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{Organization: []string{"town"}}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(good),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	certificate, err := x509.CreateCertificate(rand.Reader, root, root, key.Public(), key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})
	return errors.Join(
		os.WriteFile(filepath.Join(dir, certificateFile), text, 0o644),
		os.WriteFile(filepath.Join(dir, rootFile), text, 0o644),
		os.WriteFile(filepath.Join(dir, keyFile), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
}

// authority issues certificates to sidecars.
type authority struct {
	pair   tls.Certificate
	serial int64
}

func openAuthority(dir string) (*authority, error) {
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, certificateFile), filepath.Join(dir, keyFile))
	return &authority{pair: pair, serial: 1}, err
}

// issue gives the certificate of a namespace's account, its key, and whom to trust, in PEM.
func (a *authority) issue(namespace, account string) (certificate, key, root string, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", "", err
	}
	a.serial++
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(a.serial), NotBefore: time.Now().Add(-time.Hour), NotAfter: a.pair.Leaf.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		URIs: []*url.URL{{Scheme: "spiffe", Host: "cluster.local", Path: fmt.Sprintf("/ns/%s/sa/%s", namespace, account)}},
	}
	signed, err := x509.CreateCertificate(rand.Reader, leaf, a.pair.Leaf, private.Public(), a.pair.PrivateKey)
	if err != nil {
		return "", "", "", err
	}
	bytes, err := x509.MarshalPKCS8PrivateKey(private)
	encode := func(kind string, b []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}))
	}
	return encode("CERTIFICATE", signed), encode("PRIVATE KEY", bytes), encode("CERTIFICATE", a.pair.Leaf.Raw), err
}
