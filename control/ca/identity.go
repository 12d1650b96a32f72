package ca

import (
	"fmt"
	"net/url"
	"strings"
)

// Identity is who a workload is: a service account of a namespace, in a domain of trust.
type Identity struct{ TrustDomain, Namespace, ServiceAccount string }

// String is the identity as a certificate says it (SPIFFE ID, 2).
func (i Identity) String() string { return i.uri().String() }

func (i Identity) uri() *url.URL {
	return &url.URL{Scheme: "spiffe", Host: i.TrustDomain, Path: "/ns/" + i.Namespace + "/sa/" + i.ServiceAccount}
}

// ParseIdentity reads spiffe://DOMAIN/ns/NAMESPACE/sa/ACCOUNT, and nothing else: there is one way to write each identity, so that comparing texts is
// comparing identities.
func ParseIdentity(text string) (Identity, error) {
	rest, ok := strings.CutPrefix(text, "spiffe://")
	parts := strings.Split(rest, "/")
	if !ok || len(parts) != 5 || parts[1] != "ns" || parts[3] != "sa" {
		return Identity{}, fmt.Errorf("ca: identity %q: want spiffe://DOMAIN/ns/NAMESPACE/sa/ACCOUNT", text)
	}
	i := Identity{parts[0], parts[2], parts[4]}
	return i, i.check()
}

// check says whether each part is a name as Kubernetes and SPIFFE have them: a part with a slash in it would be another identity.
func (i Identity) check() error {
	for _, part := range [...]struct {
		what, text string
		most       int
	}{
		{"trust domain", i.TrustDomain, 255}, // SPIFFE ID, 2.1
		{"namespace", i.Namespace, 63},
		{"service account", i.ServiceAccount, 253},
	} {
		if part.text == "" || len(part.text) > part.most || strings.ContainsFunc(part.text, strange) {
			return fmt.Errorf("ca: identity: %s %q: want 1 to %d lower-case letters, digits, '-', '.' and '_'", part.what, part.text, part.most)
		}
	}
	return nil
}

func strange(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '.' || r == '_') // '_' is SPIFFE's alone
}
