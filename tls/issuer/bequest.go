package issuer

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"time"
)

// bequest is an identity on its way from a process to the one that takes its place, and never in a file. All is PEM.
type bequest struct{ Chain, Key, Roots []byte }

// Bequest is the identity in force, with its key, for a process of the same user, which has it as Before: so nobody is asked to sign because of an upgrade, and a token that was good once is not
// missed. nil: there is none.
func (x *Issuer) Bequest() []byte {
	i, _ := x.Identity()
	if i == nil {
		return nil
	}
	b, err := json.Marshal(bequest{i.Chain, i.Key, encode(i.came...)})
	if err != nil {
		panic("issuer: " + err.Error()) // of bytes
	}
	return b
}

// inherited is the identity of a bequest, judged as one that was asked for: what is wanted may have changed.
func inherited(text []byte, beside []*x509.Certificate, want Who, now time.Time) (*Identity, error) {
	var b bequest
	if err := json.Unmarshal(text, &b); err != nil {
		return nil, fmt.Errorf("it cannot be read: %w", err)
	}
	list, err := certificates(b.Chain)
	if err != nil {
		return nil, fmt.Errorf("it %w", err)
	}
	var came []*x509.Certificate
	if len(b.Roots) > 0 {
		if came, err = certificates(b.Roots); err != nil {
			return nil, fmt.Errorf("its trust %w", err)
		}
	}
	return judge(list, b.Key, came, beside, want, now)
}
