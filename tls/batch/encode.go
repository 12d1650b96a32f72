package batch

import (
	"crypto"
	"crypto/rsa"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// encode makes of a digest what is signed (RFC 8017 §9).
func (k *Key) encode(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	h := opts.HashFunc()
	if h == 0 || len(digest) != h.Size() {
		return nil, fmt.Errorf("batch: a digest of %d bytes: want one of the hash that opts name", len(digest))
	}
	if o, ok := opts.(*rsa.PSSOptions); ok {
		return k.pss(random, digest, h, o)
	}
	return k.pkcs1(digest, h)
}

var hashNames = map[crypto.Hash]asn1.ObjectIdentifier{
	crypto.SHA1:   {1, 3, 14, 3, 2, 26},
	crypto.SHA224: {2, 16, 840, 1, 101, 3, 4, 2, 4},
	crypto.SHA256: {2, 16, 840, 1, 101, 3, 4, 2, 1},
	crypto.SHA384: {2, 16, 840, 1, 101, 3, 4, 2, 2},
	crypto.SHA512: {2, 16, 840, 1, 101, 3, 4, 2, 3},
}

// pkcs1 is EMSA-PKCS1-v1_5 (RFC 8017 §9.2).
func (k *Key) pkcs1(digest []byte, h crypto.Hash) ([]byte, error) {
	name := hashNames[h]
	if name == nil {
		return nil, fmt.Errorf("batch: PKCS #1 v1.5 with %v is not supported", h)
	}
	info, err := asn1.Marshal(struct {
		Algorithm pkix.AlgorithmIdentifier
		Digest    []byte
	}{pkix.AlgorithmIdentifier{Algorithm: name, Parameters: asn1.NullRawValue}, digest})
	if err != nil {
		return nil, fmt.Errorf("batch: %w", err)
	}
	out := make([]byte, k.size)
	out[1] = 1
	for i := 2; i < k.size-len(info)-1; i++ {
		out[i] = 0xff
	}
	copy(out[k.size-len(info):], info)
	return out, nil
}

// pss is EMSA-PSS with MGF1 of the same hash (RFC 8017 §9.1).
func (k *Key) pss(random io.Reader, digest []byte, h crypto.Hash, o *rsa.PSSOptions) ([]byte, error) {
	salt := o.SaltLength
	switch salt {
	case rsa.PSSSaltLengthAuto:
		salt = k.size - h.Size() - 2
	case rsa.PSSSaltLengthEqualsHash:
		salt = h.Size()
	}
	if salt < 0 || k.size < h.Size()+salt+2 {
		return nil, errors.New("batch: the key is too short for the salt that is wanted")
	}
	out := make([]byte, k.size)
	db, sum := out[:k.size-h.Size()-1], out[k.size-h.Size()-1:k.size-1]
	seed := db[len(db)-salt:]
	if _, err := io.ReadFull(random, seed); err != nil {
		return nil, fmt.Errorf("batch: salt: %w", err)
	}
	f := h.New()
	f.Write(make([]byte, 8))
	f.Write(digest)
	f.Write(seed)
	f.Sum(sum[:0])
	db[len(db)-salt-1] = 1
	mask(db, sum, h)
	db[0] &= 0x7f // the modulus has a multiple of 8 bits, and the message one less
	out[k.size-1] = 0xbc
	return out, nil
}

// mask is MGF1 (RFC 8017 §B.2.1), put over b.
func mask(b, seed []byte, h crypto.Hash) {
	var sum []byte
	for i := uint32(0); len(b) > 0; i++ {
		f := h.New()
		f.Write(seed)
		f.Write(binary.BigEndian.AppendUint32(nil, i))
		sum = f.Sum(sum[:0])
		n := min(len(sum), len(b))
		for j := range n {
			b[j] ^= sum[j]
		}
		b = b[n:]
	}
}
