package tls

import (
	"crypto"
	"crypto/fips140"
	"crypto/rsa"
	"io"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/tls/batch"
)

// CanBatch tells whether private-key operations are done several at a time here; else one by one, by crypto/rsa. What FIPS 140-3 is asked
// for does not come from here.
func CanBatch() bool { return batch.Supported() && !fips140.Enabled() }

// Batching is by what they are done so; empty: they are not. An error says what this processor has but does not compute rightly, and is not used.
func Batching() (by string, refused error) { return batch.Serving() }

// batched prepares a certificate's key; nil: its operations are done by the library, one by one.
func batched(c *config.Certificate, s *Store) *batch.Key {
	k, ok := c.PrivateKey.(*rsa.PrivateKey)
	if !ok || !CanBatch() {
		return nil
	}
	b, err := batch.New(k, s.queue(c.Batch))
	if err != nil {
		return nil // a key of another shape
	}
	return b
}

// signer is a key that signs for one session, which makes room for others while it waits for company.
type signer struct {
	*batch.Key
	session *Session
}

func (s *signer) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	defer s.session.settle()
	return s.SignWithin(s.session.gate, random, digest, opts)
}

// settle says that no signature of this session is waited for any more.
func (s *Session) settle() {
	if s.expected != nil {
		s.expected()
		s.expected = nil
	}
}
