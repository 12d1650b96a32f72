package ca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"time"
)

// Lives of roots that we make ourselves.
const (
	rootLife = 10 * 365 * 24 * time.Hour
	// Overlap is how long a new root is trusted before it signs, if nothing else is said: by then every proxy that is connected has been told of it.
	Overlap = time.Hour
)

// generation is a root and when it is what. All replicas read the same times, so that they need not agree on anything else.
type generation struct {
	Certificate string    `json:"certificate"`        // PEM; of one that is under a root outside, with what leads to that, and that itself
	Key         string    `json:"key"`                // PEM, PKCS 8
	TrustedFrom time.Time `json:"trustedFrom"`        // from now on it is among the roots
	SignsFrom   time.Time `json:"signsFrom"`          // from now on it signs what is issued
	TrustedTo   time.Time `json:"trustedTo,omitzero"` // from now on it is not among them any more; zero: nobody follows yet
	Imported    bool      `json:"imported,omitempty"` // it is under a root outside
}

// plan is all roots, in the order in which they sign. It is a pure function of time who signs and who is trusted.
type plan struct {
	Generations []generation `json:"generations"`
}

func readPlan(text []byte) (plan, error) {
	var p plan
	if err := json.Unmarshal(text, &p); err != nil {
		return p, fmt.Errorf("ca: the roots in the store cannot be read: %w", err)
	}
	if len(p.Generations) == 0 {
		return p, errors.New("ca: the roots in the store are none")
	}
	return p, nil
}

// follow adds a new root to a plan, or begins one: then it signs at once. What the one before has signed is good until the last of it has ended.
func (p plan) follow(domain string, now time.Time, overlap time.Duration) (plan, error) {
	g, err := newRoot(domain, now)
	if err != nil {
		return p, err
	}
	return p.add(g, now, overlap)
}

// add is follow with a root that there is.
func (p plan) add(g generation, now time.Time, overlap time.Duration) (plan, error) {
	next := plan{append([]generation(nil), p.Generations...)}
	if n := len(next.Generations); n > 0 {
		last := &next.Generations[n-1]
		if now.Before(last.SignsFrom) {
			return p, fmt.Errorf("ca: %w: it signs from %s on: wait until then", errUnderWay, last.SignsFrom.Format(time.RFC3339))
		}
		g.SignsFrom = now.Add(overlap)
		last.TrustedTo = g.SignsFrom.Add(MaxLife + skew)
	}
	next.Generations = append(next.Generations, g)
	return next.since(now), nil
}

var errUnderWay = errors.New("a new root is on its way already")

// since leaves out roots that have been nothing for long.
func (p plan) since(now time.Time) (out plan) {
	for _, g := range p.Generations {
		if g.TrustedTo.IsZero() || now.Before(g.TrustedTo) {
			out.Generations = append(out.Generations, g)
		}
	}
	return out
}

// at is who signs at a time, and who is trusted. changes is when the next of this is otherwise; zero: never.
func (p plan) at(now time.Time) (signs *generation, trusted []*generation, changes time.Time) {
	soon := func(t time.Time) {
		if t.After(now) && (changes.IsZero() || t.Before(changes)) {
			changes = t
		}
	}
	for i := range p.Generations {
		g := &p.Generations[i]
		soon(g.TrustedFrom)
		soon(g.SignsFrom)
		soon(g.TrustedTo)
		if !now.Before(g.SignsFrom) {
			signs = g
		}
		if !now.Before(g.TrustedFrom) && (g.TrustedTo.IsZero() || now.Before(g.TrustedTo)) {
			trusted = append(trusted, g)
		}
	}
	return signs, trusted, changes
}

// issuer reads the root as one that signs.
func (g *generation) issuer() (*issuer, error) {
	certificates, err := readCertificates([]byte(g.Certificate))
	if err != nil {
		return nil, err
	}
	key, err := readKey([]byte(g.Key))
	if err != nil {
		return nil, err
	}
	return newIssuer(key, certificates)
}

// newRoot makes a root of P-256, which signs 40,000 times a second where RSA of 2,048 bits signs 1,000 times.
func newRoot(domain string, now time.Time) (g generation, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return g, err
	}
	id, err := keyID(key.Public())
	if err != nil {
		return g, err
	}
	t := &x509.Certificate{
		SerialNumber:          newSerial(),
		Subject:               pkix.Name{Organization: []string{domain}, CommonName: "Weft root"},
		NotBefore:             now.Add(-skew),
		NotAfter:              now.Add(rootLife),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true, // it signs workloads and no other authority
		SubjectKeyId:          id,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return g, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return g, err
	}
	return generation{
		Certificate: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		Key:         string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})),
		TrustedFrom: now,
		SignsFrom:   now,
	}, nil
}
