package ca

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/weftmesh/weft/control/store"
)

// Lives of join tokens.
const (
	DefaultTokenLife = 15 * time.Minute
	MaxTokenLife     = 24 * time.Hour
)

const (
	tokensPrefix = "ca/tokens/"
	tokenBegins  = "weft-join-" // so that people and scanners of secrets see what it is
)

// token is what is known of a join token. The token itself is nowhere.
type token struct {
	Identity string    `json:"identity"`
	Until    time.Time `json:"until"`
	By       string    `json:"by"` // who has made it
}

// NewToken makes a token with which a machine outside of Kubernetes gets its first certificate, once. by is who has asked for it.
func (a *Authority) NewToken(ctx context.Context, who Identity, life time.Duration, by string) (string, error) {
	if err := who.check(); err != nil {
		return "", err
	}
	if who.TrustDomain != a.options.TrustDomain {
		return "", fmt.Errorf("ca: tokens for %q are not made here: want %q", who.TrustDomain, a.options.TrustDomain)
	}
	if life <= 0 || life > MaxTokenLife {
		return "", fmt.Errorf("ca: a token for %v: want more than nothing and at most %v", life, MaxTokenLife)
	}
	var secret [24]byte
	rand.Read(secret[:])
	text, err := json.Marshal(token{who.String(), time.Now().Add(life), by})
	if err != nil {
		return "", fmt.Errorf("ca: %w", err)
	}
	one := tokenBegins + base64.RawURLEncoding.EncodeToString(secret[:])
	if _, err := a.options.Store.Put(ctx, tokenKey(one), text, store.Absent); err != nil {
		return "", fmt.Errorf("ca: %w", err)
	}
	return one, nil
}

// tokenKey is where a token is. Who reads the store cannot use what he finds.
func tokenKey(one string) string {
	sum := sha256.Sum256([]byte(one))
	return tokensPrefix + base64.RawURLEncoding.EncodeToString(sum[:])
}

// Token is whom a token was made for. spend takes it: nobody can use it again, whichever replica is asked.
func (a *Authority) Token(ctx context.Context, one string) (who Identity, spend func(context.Context) error, err error) {
	if len(one) > 128 {
		return who, nil, errNoToken
	}
	e, err := a.options.Store.Get(ctx, tokenKey(one))
	if errors.Is(err, store.ErrNotFound) {
		return who, nil, errNoToken
	}
	if err != nil {
		return who, nil, fmt.Errorf("ca: %w", err)
	}
	var t token
	if err := json.Unmarshal(e.Value, &t); err != nil {
		return who, nil, fmt.Errorf("ca: a token in the store cannot be read: %w", err)
	}
	if !time.Now().Before(t.Until) {
		return who, nil, errNoToken
	}
	who, err = ParseIdentity(t.Identity)
	return who, func(ctx context.Context) error {
		err := a.options.Store.Delete(ctx, e.Key, e.Revision)
		if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrConflict) {
			return errNoToken // somebody else was faster
		}
		if err != nil {
			return fmt.Errorf("ca: %w", err)
		}
		return nil
	}, err
}

// errNoToken does not say which of them it is: whoever guesses learns nothing.
var errNoToken = errors.New("ca: the join token is not known, was used already, or has ended: ask for a new one (weftctl token)")

// sweepTokens takes out of the store what nobody has used in time.
func (a *Authority) sweepTokens(ctx context.Context, now time.Time) error {
	list, err := a.options.Store.List(ctx, tokensPrefix)
	if err != nil {
		return fmt.Errorf("ca: %w", err)
	}
	for _, e := range list {
		var t token
		if json.Unmarshal(e.Value, &t) == nil && now.Before(t.Until) {
			continue
		}
		if err := a.options.Store.Delete(ctx, e.Key, e.Revision); err != nil && !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrConflict) {
			return fmt.Errorf("ca: %w", err)
		}
	}
	return nil
}
