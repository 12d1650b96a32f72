package decode

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	stdhash "hash"
	"strings"

	"software.sslmate.com/src/go-pkcs12"
)

// Private keys that a password keeps.

// maxIterations bounds how long a key may take to be opened; OpenSSL writes 2,048, and the most that is recommended anywhere is a million.
const maxIterations = 10_000_000

var errPassword = errors.New("the key does not open with that password")

// decrypted makes plain PEM of PEM in which keys are encrypted (PKCS #8, or OpenSSL's own way of old). What is plain stays so, whatever the password.
func decrypted(b, password []byte) ([]byte, error) {
	var out []byte
	for {
		var block *pem.Block
		if block, b = pem.Decode(b); block == nil {
			return out, nil
		}
		var err error
		kind := block.Type
		switch {
		case kind == "ENCRYPTED PRIVATE KEY":
			kind = "PRIVATE KEY"
			block.Bytes, err = decryptedPKCS8(block.Bytes, password)
		case x509.IsEncryptedPEMBlock(block):
			if block.Bytes, err = x509.DecryptPEMBlock(block, password); err == x509.IncorrectPasswordError {
				err = errPassword
			}
		}
		if err != nil && len(password) == 0 {
			err = errors.New("the key is encrypted, and there is no password")
		}
		if err != nil {
			return nil, err
		}
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: block.Bytes})...)
	}
}

// Of PBES2 and PBKDF2 (RFC 8018 §A.2, A.4).
type (
	encryptedKey struct {
		Algorithm pkix.AlgorithmIdentifier
		Data      []byte
	}
	pbes2 struct {
		Derivation, Encryption pkix.AlgorithmIdentifier
	}
	derivation struct {
		Salt       []byte
		Iterations int
		Length     int                      `asn1:"optional"`
		Function   pkix.AlgorithmIdentifier `asn1:"optional"`
	}
)

// What keys are encrypted with, by object identifier; functions are HMACs, of which SHA-1 is meant where none is named.
var (
	derivationHashes = map[string]func() stdhash.Hash{"": sha1.New, "1.2.840.113549.2.7": sha1.New, "1.2.840.113549.2.8": sha256.New224,
		"1.2.840.113549.2.9": sha256.New, "1.2.840.113549.2.10": sha512.New384, "1.2.840.113549.2.11": sha512.New}
	keyCiphers = map[string]struct {
		length int // of the key, in bytes
		make   func([]byte) (cipher.Block, error)
	}{"2.16.840.1.101.3.4.1.2": {16, aes.NewCipher}, "2.16.840.1.101.3.4.1.22": {24, aes.NewCipher}, "2.16.840.1.101.3.4.1.42": {32, aes.NewCipher},
		"1.2.840.113549.3.7": {24, des.NewTripleDESCipher}}
)

// decryptedPKCS8 decrypts a key (RFC 5958 §3) that is encrypted by PBES2 with PBKDF2 and a block cipher in CBC mode, which is what OpenSSL writes.
func decryptedPKCS8(der, password []byte) ([]byte, error) {
	var key encryptedKey
	var scheme pbes2
	var from derivation
	if _, err := asn1.Unmarshal(der, &key); err != nil {
		return nil, fmt.Errorf("an encrypted key that cannot be read: %w", err)
	}
	if name := key.Algorithm.Algorithm.String(); name != "1.2.840.113549.1.5.13" {
		return nil, fmt.Errorf("a key that is encrypted by %s: want PBES2", name)
	}
	if _, err := asn1.Unmarshal(key.Algorithm.Parameters.FullBytes, &scheme); err != nil {
		return nil, fmt.Errorf("an encrypted key that cannot be read: %w", err)
	}
	if name := scheme.Derivation.Algorithm.String(); name != "1.2.840.113549.1.5.12" {
		return nil, fmt.Errorf("a key whose password is stretched by %s: want PBKDF2", name)
	}
	if _, err := asn1.Unmarshal(scheme.Derivation.Parameters.FullBytes, &from); err != nil {
		return nil, fmt.Errorf("an encrypted key that cannot be read: %w", err)
	}
	sum := derivationHashes[from.Function.Algorithm.String()]
	with, known := keyCiphers[scheme.Encryption.Algorithm.String()]
	var vector []byte
	switch _, err := asn1.Unmarshal(scheme.Encryption.Parameters.FullBytes, &vector); {
	case sum == nil:
		return nil, fmt.Errorf("a key whose password is stretched by %s: want HMAC with SHA-1 or SHA-2", from.Function.Algorithm)
	case !known || err != nil:
		return nil, fmt.Errorf("a key that is encrypted by %s: want AES or triple DES in CBC mode", scheme.Encryption.Algorithm)
	case from.Iterations < 1 || from.Iterations > maxIterations:
		return nil, fmt.Errorf("a key whose password is stretched %d times: at most %d are done", from.Iterations, maxIterations)
	}
	secret, err := pbkdf2.Key(sum, string(password), from.Salt, from.Iterations, with.length)
	if err != nil {
		return nil, err
	}
	block, err := with.make(secret)
	if err != nil {
		return nil, err
	}
	size := block.BlockSize()
	if len(vector) != size || len(key.Data) == 0 || len(key.Data)%size != 0 {
		return nil, errors.New("an encrypted key that is not whole")
	}
	cipher.NewCBCDecrypter(block, vector).CryptBlocks(key.Data, key.Data)
	pad := int(key.Data[len(key.Data)-1])
	if pad < 1 || pad > size {
		return nil, errPassword
	}
	plain := key.Data[:len(key.Data)-pad]
	if _, err := x509.ParsePKCS8PrivateKey(plain); err != nil {
		return nil, errPassword // the padding was right by chance
	}
	return plain, nil
}

// keyStore reads a key and its chain from PKCS #12.
func keyStore(b, password []byte) (tls.Certificate, error) {
	key, leaf, rest, err := pkcs12.DecodeChain(b, string(password))
	switch {
	case errors.Is(err, pkcs12.ErrIncorrectPassword):
		return tls.Certificate{}, errors.New("it does not open with that password")
	case err != nil:
		return tls.Certificate{}, errors.New(strings.TrimPrefix(err.Error(), "pkcs12: "))
	}
	c := tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
	for _, r := range rest {
		c.Certificate = append(c.Certificate, r.Raw)
	}
	own, ok := key.(crypto.Signer)
	if public, comparable := leaf.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); !ok || !comparable || !public.Equal(own.Public()) {
		return tls.Certificate{}, errors.New("the key is not that of its certificate")
	}
	return c, nil
}
