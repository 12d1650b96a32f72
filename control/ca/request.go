package ca

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// maxRequest bounds a certificate signing request in bytes: one with a key of 4,096 bits takes 1.7 KB.
const maxRequest = 16 << 10

// Bounds of RSA keys, in bits. Checking a signature of more takes milliseconds, which strangers must not ask for.
const minRSA, maxRSA = 2048, 4096

// readRequest takes the key out of a certificate signing request (RFC 2986), after whoever has made it has shown that it has the other half.
// The key is all that is taken: who somebody is says the authenticated caller, and nothing that he writes.
func readRequest(text []byte) (crypto.PublicKey, error) {
	if len(text) > maxRequest {
		return nil, fmt.Errorf("the certificate request has %d bytes: want at most %d", len(text), maxRequest)
	}
	block, rest := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE REQUEST" && block.Type != "NEW CERTIFICATE REQUEST" {
		return nil, errors.New("the certificate request is not in PEM: want one CERTIFICATE REQUEST")
	}
	if next, _ := pem.Decode(rest); next != nil {
		return nil, errors.New("there is more than one thing in the certificate request")
	}
	r, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("the certificate request cannot be read: %w", err)
	}
	switch key := r.PublicKey.(type) {
	case *ecdsa.PublicKey:
		if key.Curve != elliptic.P256() && key.Curve != elliptic.P384() {
			return nil, fmt.Errorf("the key is of the curve %s: want P-256 or P-384", key.Curve.Params().Name)
		}
	case *rsa.PublicKey:
		if n := key.N.BitLen(); n < minRSA || n > maxRSA {
			return nil, fmt.Errorf("the key is RSA of %d bits: want %d to %d", n, minRSA, maxRSA)
		}
	default:
		return nil, fmt.Errorf("the key is %v: want ECDSA or RSA, which every proxy can use", r.PublicKeyAlgorithm)
	}
	if err := r.CheckSignature(); err != nil {
		return nil, fmt.Errorf("the certificate request is not signed by its own key: %w", err)
	}
	return r.PublicKey, nil
}
