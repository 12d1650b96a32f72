package kube

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// MaxKubeconfig bounds, in bytes, a kubeconfig by which a cluster is attached. With the certificates of an authority and a token it has a few thousand.
const MaxKubeconfig = 64 << 10

// maxName bounds, in bytes, the name of a cluster.
const maxName = 63

// CheckName says what is wrong with the name of a cluster: it stands in keys, logs and labels.
func CheckName(name string) error {
	word := func(r rune) bool { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' }
	if name == "" || len(name) > maxName || !word(rune(name[0])) || strings.ContainsFunc(name, func(r rune) bool { return !word(r) && !strings.ContainsRune("-._", r) }) {
		return fmt.Errorf("the name of a cluster %.80q: want 1 to %d letters, digits, '-', '.' and '_', the first a letter or a digit", name, maxName)
	}
	return nil
}

// Attach reads how the API server of a cluster of that name is reached, from a kubeconfig that somebody has put somewhere for us: of a context, or else of its current one. It asks nothing yet.
//
// Whoever wrote the kubeconfig is not one whom this host obeys: what would have a program run, a file read, or somebody believed without proof is refused, and the error says which field that is.
func Attach(name string, kubeconfig []byte, contextName, agent string) (*Server, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	if len(kubeconfig) > MaxKubeconfig {
		return nil, fmt.Errorf("the kubeconfig has %d bytes: want at most %d", len(kubeconfig), MaxKubeconfig)
	}
	raw, err := clientcmd.Load(kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("the kubeconfig cannot be read: %w", err)
	}
	one, err := oneContext(raw, contextName)
	if err != nil {
		return nil, err
	}
	if err := harmless(one); err != nil {
		return nil, err
	}
	config, err := clientcmd.NewNonInteractiveClientConfig(*one, one.CurrentContext, nil, nil).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("the kubeconfig: %w", err)
	}
	return serverOf(name, config, agent)
}

// oneContext is what a kubeconfig says of one context alone.
func oneContext(raw *api.Config, name string) (*api.Config, error) {
	if name == "" {
		name = raw.CurrentContext
	}
	at := raw.Contexts[name]
	if at == nil {
		return nil, fmt.Errorf("the kubeconfig has no context %.80q: want one of its contexts, or current-context", name)
	}
	cluster, user := raw.Clusters[at.Cluster], raw.AuthInfos[at.AuthInfo]
	switch {
	case cluster == nil:
		return nil, fmt.Errorf("the kubeconfig has no cluster %.80q, which its context %.80q names", at.Cluster, name)
	case user == nil:
		return nil, fmt.Errorf("the kubeconfig has no user %.80q, which its context %.80q names", at.AuthInfo, name)
	}
	return &api.Config{CurrentContext: name, Contexts: map[string]*api.Context{name: at}, Clusters: map[string]*api.Cluster{at.Cluster: cluster}, AuthInfos: map[string]*api.AuthInfo{at.AuthInfo: user}}, nil
}

// harmless says which field of a kubeconfig of one context is refused.
func harmless(c *api.Config) error {
	no := func(field, why, want string) error {
		return fmt.Errorf("the kubeconfig's %s is refused, since %s: want %s", field, why, want)
	}
	const program, file = "it has a program run", "it names a file of the host that weftd is on"
	for name, user := range c.AuthInfos {
		field := func(f string) string { return fmt.Sprintf("users[%s].%s", name, f) }
		const token = "the token of a service account there, such as weftctl cluster attach and istioctl create-remote-secret bring along"
		switch {
		case user.Exec != nil:
			return no(field("exec"), program, token)
		case user.AuthProvider != nil:
			return no(field("auth-provider"), program, token)
		case user.TokenFile != "":
			return no(field("tokenFile"), file, "token")
		case user.ClientCertificate != "":
			return no(field("client-certificate"), file, "client-certificate-data")
		case user.ClientKey != "":
			return no(field("client-key"), file, "client-key-data")
		}
	}
	for name, cluster := range c.Clusters {
		field := func(f string) string { return fmt.Sprintf("clusters[%s].%s", name, f) }
		u, err := url.Parse(cluster.Server)
		switch {
		case err != nil || u.Scheme != "https" || u.Host == "":
			return no(field("server"), "nobody could be told from it who shows that he is the API server", "https://HOST:PORT")
		case cluster.CertificateAuthority != "":
			return no(field("certificate-authority"), file, "certificate-authority-data")
		case cluster.ProxyURL != "":
			return no(field("proxy-url"), "it has weftd connect to a host of somebody's choice", "the API server itself")
		case cluster.InsecureSkipTLSVerify:
			return no(field("insecure-skip-tls-verify"), "it has anybody believed to be the API server, and shown the token", "certificate-authority-data")
		}
	}
	return nil
}

// Portable is what the kubeconfig in a file says of a context, or else of its current one, alone, with what other files say in their place, as it can be sent elsewhere. What Attach would refuse
// there is refused here.
func Portable(path, contextName string) ([]byte, error) {
	raw, err := clientcmd.LoadFromFile(path)
	if err != nil {
		return nil, err
	}
	one, err := oneContext(raw, contextName)
	if err != nil {
		return nil, err
	}
	if err := clientcmd.ResolveLocalPaths(one); err != nil {
		return nil, err
	}
	for _, user := range one.AuthInfos { // which FlattenConfig does not look at
		if user.TokenFile != "" {
			return nil, errors.New("its user's tokenFile is refused: the token in it is another one every hour: want a token that lasts")
		}
	}
	if err := api.FlattenConfig(one); err != nil {
		return nil, err
	}
	if err := harmless(one); err != nil {
		return nil, err
	}
	return clientcmd.Write(*one)
}

// Account is a kubeconfig of a service account of the cluster that a kubeconfig in a file is of, as it can be sent elsewhere. It asks the API server for the account's token that lasts, as Role has it made, as who that kubeconfig
// is of.
func Account(ctx context.Context, path, contextName, namespace, account string) ([]byte, error) {
	raw, err := clientcmd.LoadFromFile(path)
	if err != nil {
		return nil, err
	}
	one, err := oneContext(raw, contextName)
	if err != nil {
		return nil, err
	}
	s, err := Connect(path, contextName, "weftctl")
	if err != nil {
		return nil, err
	}
	defer s.client.CloseIdleConnections()
	var secret struct{ Data map[string][]byte }
	err = s.answer(ctx, http.MethodGet, "/api/v1/namespaces/"+url.PathEscape(namespace)+"/secrets/"+url.PathEscape(tokenOf(account)), nil, &secret)
	const make = "want what weftctl manifests --kinds=false --attached prints applied there"
	switch {
	case apierrors.IsNotFound(err):
		return nil, fmt.Errorf("there is no Secret %s/%s with its token: %s", namespace, tokenOf(account), make)
	case err != nil:
		return nil, fmt.Errorf("the Secret %s/%s with its token: %w", namespace, tokenOf(account), err)
	case len(secret.Data["token"]) == 0:
		return nil, fmt.Errorf("the Secret %s/%s has no token yet: the cluster writes it in a moment", namespace, tokenOf(account))
	}
	if err := clientcmd.ResolveLocalPaths(one); err != nil {
		return nil, err
	}
	for _, cluster := range one.Clusters {
		if ca := secret.Data["ca.crt"]; cluster.CertificateAuthority == "" && len(cluster.CertificateAuthorityData) == 0 && len(ca) > 0 {
			cluster.CertificateAuthorityData = ca
		}
	}
	at := one.Contexts[one.CurrentContext]
	one.AuthInfos = map[string]*api.AuthInfo{at.AuthInfo: {Token: string(secret.Data["token"])}}
	if err := api.FlattenConfig(one); err != nil {
		return nil, err
	}
	if err := harmless(one); err != nil {
		return nil, err
	}
	return clientcmd.Write(*one)
}

// serverOf makes the one that a configuration is of.
func serverOf(name string, config *rest.Config, agent string) (*Server, error) {
	config.UserAgent = agent
	base, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, fmt.Errorf("control/source/kube: %w", err)
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("control/source/kube: %w", err)
	}
	// An API server sends nobody elsewhere. One of somebody else could have us ask whom we alone reach, in plain text and with the token: 307 and 308 (RFC 9110, 15.4.8) keep the method and the body.
	stays := *client
	stays.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Server{Name: name, URL: strings.TrimSuffix(base.String(), "/"), client: &stays, reviews: make(chan struct{}, maxReviews)}, nil
}
