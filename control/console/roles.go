package console

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/weftmesh/weft/control/source"
)

// Role is what somebody may do in a namespace. Each may do all that those before it may.
type Role uint8

// The roles.
const (
	None   Role = iota
	Viewer      // looks at objects and their history, but not at what secrets hold
	Editor      // changes what routes traffic
	Admin       // changes what says who may do what and what runs in proxies, and looks into secrets
)

var roleNames = []string{"none", "viewer", "editor", "admin"}

func (r Role) String() string { return roleNames[r] }

// ParseRole reads the name of a role.
func ParseRole(name string) (Role, error) {
	if at := slices.Index(roleNames, name); at > 0 {
		return Role(at), nil
	}
	return None, fmt.Errorf("role %q: want viewer, editor or admin", name)
}

// Everywhere is the namespace that stands for all of them, and for what has none.
const Everywhere = "*"

// Grants are roles by namespace.
type Grants map[string]Role

// In is the role in a namespace; of what has no namespace it is what is granted everywhere.
func (g Grants) In(namespace string) Role {
	if namespace == "" {
		return g[Everywhere]
	}
	return max(g[namespace], g[Everywhere])
}

// most is the highest role anywhere.
func (g Grants) most() Role {
	most := None
	for _, r := range g {
		most = max(most, r)
	}
	return most
}

func (g Grants) add(more Grants) {
	for namespace, r := range more {
		g[namespace] = max(g[namespace], r)
	}
}

func (g Grants) String() string {
	var words []string
	for _, namespace := range slices.Sorted(maps.Keys(g)) {
		words = append(words, namespace+": "+g[namespace].String())
	}
	return strings.Join(words, ", ")
}

// toChange is the role that changing an object of a kind takes. What decides who may do what, what holds keys, and what puts anything at all into a
// proxy is not for everybody who moves traffic.
func toChange(k source.Kind) Role {
	switch k {
	case source.PeerAuthentication, source.RequestAuthentication, source.AuthorizationPolicy, source.EnvoyFilter, source.WasmPlugin, source.ProxyConfig, source.ASMProxyConfig,
		source.Secret, source.ConfigMap, source.Namespace, source.Node, source.Pod, source.MeshConfig, source.MeshNetworks, source.IngressClass:
		return Admin
	}
	return Editor
}

// Caller is who asks.
type Caller struct {
	Name   string
	Grants Grants
	By     string // how he has shown that he is
	From   string // the address that he comes from
	local  bool   // he is on this host, where nobody has to show anything, and says who he is
}

// may says whether somebody has a role; else what is missing.
func (c *Caller) may(want Role, namespace, what string) error {
	if c.Grants.In(namespace) >= want {
		return nil
	}
	where := "in namespace " + namespace
	if namespace == "" {
		where = "everywhere (namespace *)"
	}
	return &refusal{code: 403, text: fmt.Sprintf("%s may not %s: that takes the role %s %s, and the roles are {%s}", c.Name, what, want, where, c.Grants)}
}

// author is who a change is by. On this host that is who says so; elsewhere who has shown so, or a part of him: a pipeline's steps have names of
// their own behind a slash.
func (c *Caller) author(said string) (string, error) {
	if said == "" {
		return c.Name, nil
	}
	if !source.IsAuthor(said) {
		return "", &refusal{code: 400, text: fmt.Sprintf("the author %.64q: want a word of at most 128 bytes", said)}
	}
	if !c.local && said != c.Name && !strings.HasPrefix(said, c.Name+"/") {
		return "", &refusal{code: 403, text: fmt.Sprintf("%s may not write as %q: want %s, or %s/ and a word more", c.Name, said, c.Name, c.Name)}
	}
	return said, nil
}

// refusal is an error with the status of HTTP that it is answered with.
type refusal struct {
	code int
	text string
}

func (r *refusal) Error() string { return r.text }

func refuse(code int, format string, args ...any) error {
	return &refusal{code, fmt.Sprintf(format, args...)}
}
