package ca

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// The files of an authority that is given from outside, as Istio calls them. The chain may be missing where the root itself signs.
const (
	pluggedCertificate = "ca-cert.pem"
	pluggedKey         = "ca-key.pem"
	pluggedChain       = "cert-chain.pem"
	pluggedRoot        = "root-cert.pem"
)

// maxPlugged bounds such a file, in bytes.
const maxPlugged = 1 << 20

// plugged reads an authority from a folder: what signs, and the roots that are trusted, of which the file may have several while one takes
// another's place.
func plugged(folder string) (*issuer, []*x509.Certificate, error) {
	own, err := certificatesIn(folder, pluggedCertificate)
	if err != nil {
		return nil, nil, err
	}
	if len(own) != 1 {
		return nil, nil, fmt.Errorf("ca: file %s: has %d certificates: want the one that signs", filepath.Join(folder, pluggedCertificate), len(own))
	}
	roots, err := certificatesIn(folder, pluggedRoot)
	if err != nil {
		return nil, nil, err
	}
	chain, err := certificatesIn(folder, pluggedChain)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, nil, err
	}
	text, err := readBounded(filepath.Join(folder, pluggedKey))
	if err != nil {
		return nil, nil, err
	}
	key, err := readKey(text)
	if err != nil {
		return nil, nil, fmt.Errorf("ca: file %s: %w", filepath.Join(folder, pluggedKey), err)
	}
	path, err := pathToRoot(own[0], chain, roots)
	if err != nil {
		return nil, nil, fmt.Errorf("ca: folder %s: %w of %s and %s", folder, err, pluggedChain, pluggedRoot)
	}
	i, err := newIssuer(key, path)
	if err != nil {
		return nil, nil, fmt.Errorf("ca: folder %s: %w", folder, err)
	}
	return i, roots, nil
}

// pathToRoot puts a certificate and those between it and one of the roots in order. The chain's file has the signing certificate itself, with
// Istio, or has not.
func pathToRoot(own *x509.Certificate, chain, roots []*x509.Certificate) ([]*x509.Certificate, error) {
	path, at := []*x509.Certificate{own}, own
	for {
		for _, r := range roots {
			if at.Equal(r) {
				return path, nil
			}
			if at.CheckSignatureFrom(r) == nil {
				return append(path, r), nil
			}
		}
		var next *x509.Certificate
		for _, c := range chain {
			if !c.Equal(at) && at.CheckSignatureFrom(c) == nil {
				next = c
			}
		}
		if next == nil || len(path) > len(chain) {
			return nil, fmt.Errorf("%q is signed by %q, which is not among the certificates", at.Subject, at.Issuer)
		}
		path, at = append(path, next), next
	}
}

func certificatesIn(folder, name string) ([]*x509.Certificate, error) {
	path := filepath.Join(folder, name)
	text, err := readBounded(path)
	if err != nil {
		return nil, err
	}
	list, err := readCertificates(text)
	if err != nil {
		return nil, fmt.Errorf("ca: file %s: %w", path, err)
	}
	return list, nil
}

func readBounded(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	if info.Size() > maxPlugged {
		return nil, fmt.Errorf("ca: file %s: has %d bytes: want at most %d", path, info.Size(), maxPlugged)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	return text, nil
}

func readCertificates(text []byte) (list []*x509.Certificate, err error) {
	for len(list) < 100 {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("has a %s: want certificates only", block.Type)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", len(list)+1, err)
		}
		list = append(list, c)
	}
	if len(list) == 0 {
		return nil, errors.New("has no certificate in PEM")
	}
	return list, nil
}

// readKey reads a private key as OpenSSL and Istio write them: PKCS 8, PKCS 1 or SEC 1.
func readKey(text []byte) (crypto.Signer, error) {
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return nil, errors.New("has no private key in PEM")
		}
		if block.Type == "EC PARAMETERS" { // OpenSSL writes it before the key, which says it again
			continue
		}
		if key, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
			if s, ok := key.(crypto.Signer); ok {
				return s, nil
			}
		}
		if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
			return key, nil
		}
		if key, err := x509.ParseECPrivateKey(block.Bytes); err == nil {
			return key, nil
		}
		return nil, fmt.Errorf("its %s is no private key that can sign", block.Type)
	}
}
