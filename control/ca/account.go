package ca

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// TokenAudience is whom the tokens are for that Istio's agents show.
const TokenAudience = "istio-ca"

// AccountToken is how a Caller has shown who it is by ByAccount.
const AccountToken = "service account token"

// ErrUnanswered says that nobody could be asked who calls: the caller may try again.
var ErrUnanswered = errors.New("ca: who knows who calls cannot be asked now")

// ByAccount is the proof of a token of a Kubernetes service account.
type ByAccount struct {
	TrustDomain string
	// Review asks a cluster whose token it is, which must be for TokenAudience. An error that is an ErrUnanswered says nothing about the token.
	Review func(ctx context.Context, token string) (namespace, account string, err error)
}

// Authenticate implements Authenticator.
func (b ByAccount) Authenticate(ctx context.Context) (Caller, error) {
	text := bearer(ctx)
	if strings.HasPrefix(text, tokenBegins) || strings.Count(text, ".") != 2 { // RFC 7519, 3: a JWT that is signed has three parts
		return Caller{}, ErrNoProof
	}
	namespace, account, err := b.Review(ctx, text)
	if err != nil {
		return Caller{}, err
	}
	who := Identity{TrustDomain: b.TrustDomain, Namespace: namespace, ServiceAccount: account}
	if err := who.check(); err != nil {
		return Caller{}, fmt.Errorf("ca: the token of a service account: %w", err)
	}
	return Caller{Identity: who, By: AccountToken}, nil
}
