package console

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/weftmesh/weft/control/source"
)

// oidcFile is an OpenID provider whose tokens are taken.
type oidcFile struct {
	Issuer   string `yaml:"issuer"`   // its URL
	Audience string `yaml:"audience"` // that tokens have to be for
	Username string `yaml:"usernameClaim"`
	Groups   string `yaml:"groupsClaim"`
	CA       string `yaml:"ca"` // a file with who may vouch for the issuer's server; empty: those whom this host trusts
}

// What is taken of a provider, and how often it is asked.
const (
	oidcTime     = 5 * time.Second
	oidcBytes    = 1 << 20 // of an answer
	oidcPace     = time.Second
	maxToken     = 16 << 10 // bytes
	maxGroups    = 500
	defaultName  = "sub"
	defaultGroup = "groups"
)

// provider knows an OpenID provider: its keys, which it asks for when a token is signed by one that it does not know.
type provider struct {
	file   *oidcFile
	client *http.Client

	mu       sync.Mutex
	verifier *oidc.IDTokenVerifier // nil: it has not answered yet
	asked    time.Time
	failure  error // why it has not
}

func newProvider(f *oidcFile) (*provider, error) {
	u, err := url.Parse(f.Issuer)
	switch {
	case err != nil || u.Host == "":
		return nil, fmt.Errorf("issuer: %q is no URL", f.Issuer)
	case u.Scheme != "https":
		return nil, fmt.Errorf("issuer: %q: want https, or anybody on the way could say whose tokens are good", f.Issuer)
	case f.Audience == "":
		return nil, errors.New("audience: is not said, and tokens for others would be good here")
	}
	if f.Username == "" {
		f.Username = defaultName
	}
	if f.Groups == "" {
		f.Groups = defaultGroup
	}
	trusted := &tls.Config{MinVersion: tls.VersionTLS12}
	if f.CA != "" {
		text, err := os.ReadFile(f.CA)
		if err != nil {
			return nil, fmt.Errorf("ca: %w", err)
		}
		if trusted.RootCAs = x509.NewCertPool(); !trusted.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("ca: %s has no certificate", f.CA)
		}
	}
	p := &provider{file: f}
	p.client = &http.Client{Timeout: oidcTime, Transport: &asking{next: &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: trusted, TLSHandshakeTimeout: oidcTime, MaxConnsPerHost: 2, IdleConnTimeout: time.Minute,
		DialContext: (&net.Dialer{Timeout: oidcTime}).DialContext, ForceAttemptHTTP2: true,
	}}, CheckRedirect: func(r *http.Request, via []*http.Request) error {
		if r.URL.Scheme != "https" || len(via) > 3 {
			return fmt.Errorf("leads on to %s", r.URL.Redacted())
		}
		return nil
	}}
	return p, nil
}

// asking bounds what a provider is asked and what it answers: who has no good token must not have us ask for keys as often as he likes.
type asking struct {
	next http.RoundTripper
	mu   sync.Mutex
	last time.Time // when keys were asked for
}

var errPace = errors.New("it was asked just now")

func (a *asking) RoundTrip(r *http.Request) (*http.Response, error) {
	if !strings.HasSuffix(r.URL.Path, "/.well-known/openid-configuration") {
		a.mu.Lock()
		soon := time.Since(a.last) < oidcPace
		if !soon {
			a.last = time.Now()
		}
		a.mu.Unlock()
		if soon {
			return nil, errPace
		}
	}
	response, err := a.next.RoundTrip(r)
	if err == nil {
		response.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(response.Body, oidcBytes), response.Body}
	}
	return response, err
}

// verifierNow discovers the provider, once. If that fails it is tried again, but not for each token.
func (p *provider) verifierNow() (*oidc.IDTokenVerifier, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.verifier != nil {
		return p.verifier, nil
	}
	if time.Since(p.asked) < oidcPace {
		return nil, p.failure
	}
	// The keys are asked for with this context later: it is not one request's.
	found, err := oidc.NewProvider(oidc.ClientContext(context.Background(), p.client), p.file.Issuer)
	p.asked = time.Now()
	if err != nil {
		p.failure = fmt.Errorf("console: the OpenID provider %s cannot be asked: %w", p.file.Issuer, err)
		return nil, p.failure
	}
	p.verifier = found.Verifier(&oidc.Config{ClientID: p.file.Audience})
	return p.verifier, nil
}

// claims are what a token says.
type claims struct {
	name   string
	groups []string
}

// verify takes a token that the provider has signed, for us, and that is good now.
func (p *provider) verify(ctx context.Context, token string) (*claims, error) {
	if len(token) > maxToken || strings.Count(token, ".") != 2 {
		return nil, errors.New("the token is none of the file's, and no JWT")
	}
	v, err := p.verifierNow()
	if err != nil {
		return nil, err
	}
	good, err := v.Verify(ctx, token)
	if err != nil {
		return nil, err
	}
	all := map[string]json.RawMessage{}
	if err := good.Claims(&all); err != nil {
		return nil, err
	}
	c := &claims{}
	if err := json.Unmarshal(all[p.file.Username], &c.name); err != nil || !source.IsAuthor(c.name) {
		return nil, fmt.Errorf("the claim %s is no word of at most 128 bytes", p.file.Username)
	}
	if p.file.Username == "email" && string(all["email_verified"]) != "true" {
		return nil, errors.New("the claim email_verified is not true")
	}
	if text, is := all[p.file.Groups]; is {
		var one string
		if json.Unmarshal(text, &one) == nil {
			c.groups = []string{one}
		} else if err := json.Unmarshal(text, &c.groups); err != nil {
			return nil, fmt.Errorf("the claim %s is no list of words", p.file.Groups)
		}
		if len(c.groups) > maxGroups {
			return nil, fmt.Errorf("the claim %s has more than %d groups", p.file.Groups, maxGroups)
		}
	}
	return c, nil
}
