package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/weftmesh/weft/control/ca"
)

// planeOptions are what the commands about weftd are asked with.
type planeOptions struct {
	server            string
	tokenFile, caFile string
	format            string
	names             []string // arguments

	files                 texts // of manifests
	namespace             string
	labels                string // of workloads
	everywhere            bool
	dryRun, ignoreMissing bool
	as                    string // the author, on weftd's own host
	number                int    // of a version
	kubeconfig, context   string // of a cluster
	account               string // there, as NAMESPACE/NAME
	discovery             bool

	domain           string // of trust
	identity, serial string
	reason           string
	life             time.Duration
	lists            bool
	anew             bool

	address, plane, network string // of a host
	capture, force          bool
	exclude, out            string
}

// planeCommand is one that asks weftd.
type planeCommand struct {
	name, about string
	text        string // of --help: what it does, and examples
	most        int    // arguments
	formats     []string
	flags       func(*flag.FlagSet, *planeOptions)
	check       func(*planeOptions) error // says what is wrong with what was asked, before anybody is
	run         func(context.Context, *pages, *planeOptions, streams) error
	failure     int                      // the exit code of what fails; 0: exitFailed
	remote      bool                     // weftd is asked from anywhere, by who shows who he is
	alone       func(*planeOptions) bool // tells whether weftd is not asked at all; nil: it is
}

func remoteFlags(set *flag.FlagSet, o *planeOptions) {
	set.StringVar(&o.server, "server", "", fmt.Sprintf("`address` of weftd: https://HOST:PORT of its --http-addr, or HOST:PORT of its pages on its own host (default %s, %s, or %s)", serverEnv, planeEnv, defaultPlane))
	set.StringVar(&o.tokenFile, "token-file", "", "`file` with the token that says who asks, over https (default what "+tokenEnv+" says)")
	set.StringVar(&o.caFile, "ca-file", "", "`file` with the certificates that weftd's is trusted by, such as weftctl ca roots prints (default "+caEnv+", or what this host trusts)")
}

// outcome is an exit code of what has been done as asked.
type outcome int

func (o outcome) Error() string { return fmt.Sprintf("exit code %d", int(o)) }

func (c *planeCommand) do(args []string, s streams) int {
	o := &planeOptions{}
	var err error
	o.names, err = parsed(c.name, c.text, args, s.out, func(set *flag.FlagSet) {
		if !c.remote {
			set.StringVar(&o.server, "server", "", fmt.Sprintf("`address` of weftd's pages, on its own host: HOST:PORT (default %s, or %s)", planeEnv, defaultPlane))
		} else {
			remoteFlags(set, o)
		}
		if c.formats != nil {
			formFlag(set, &o.format, c.formats)
		}
		c.flags(set, o)
	})
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitDone
	case err != nil:
	case len(o.names) > c.most:
		err = fmt.Errorf("unexpected argument %q (weftctl %s --help shows how it is asked)", o.names[c.most], c.name)
	default:
		if c.formats != nil {
			err = formKnown(o.format, c.formats)
		}
		if err == nil && c.check != nil {
			err = c.check(o)
		}
	}
	var p *pages
	if err == nil && (c.alone == nil || !c.alone(o)) {
		p, err = openPlane(o, c.remote)
	}
	if err != nil {
		fmt.Fprintf(s.err, "weftctl %s: %v\n", c.name, err)
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if p != nil {
		defer p.client.CloseIdleConnections()
	}
	err = c.run(ctx, p, o, s)
	var code outcome
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &code):
		return int(code)
	}
	fmt.Fprintf(s.err, "weftctl %s: %v\n", c.name, err)
	return cmp.Or(c.failure, exitFailed)
}

const (
	serverEnv = "WEFT_SERVER"
	tokenEnv  = "WEFT_TOKEN"
	caEnv     = "WEFT_CA_FILE"
	maxToken  = 16 << 10 // bytes
)

// openPlane is the way to weftd. A token is shown to whom a certificate names, and to nobody else.
func openPlane(o *planeOptions, remote bool) (*pages, error) {
	address := o.server
	if remote {
		address = cmp.Or(address, os.Getenv(serverEnv))
	}
	p, err := openPages(ofPlane, address)
	if err != nil {
		return nil, err
	}
	if !remote && strings.HasPrefix(p.base, "https://") {
		return nil, fmt.Errorf("weftd takes this from its own host only: want --server HOST:PORT of its pages there, and not %s", p.address)
	}
	if !strings.HasPrefix(p.base, "https://") {
		if o.tokenFile != "" || o.caFile != "" {
			return nil, fmt.Errorf("--token-file and --ca-file are about https, and weftd's address is %s: want --server https://HOST:PORT", p.address)
		}
		return p, nil
	}
	secure := &tls.Config{MinVersion: tls.VersionTLS12}
	if file := cmp.Or(o.caFile, os.Getenv(caEnv)); file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("--ca-file: %w", err)
		}
		if secure.RootCAs = x509.NewCertPool(); !secure.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("--ca-file: %s has no certificate", file)
		}
	}
	p.client.Transport = &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: secure, ForceAttemptHTTP2: true}
	p.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse } // the token is for nobody else
	p.token = os.Getenv(tokenEnv)
	if o.tokenFile != "" {
		f, err := os.Open(o.tokenFile)
		if err != nil {
			return nil, fmt.Errorf("--token-file: %w", err)
		}
		defer f.Close()
		text, err := io.ReadAll(io.LimitReader(f, maxToken+1))
		if err != nil {
			return nil, fmt.Errorf("--token-file: %w", err)
		}
		if p.token = strings.TrimSpace(string(text)); p.token == "" || len(text) > maxToken {
			return nil, fmt.Errorf("--token-file: %s has no token of at most %d bytes", o.tokenFile, maxToken)
		}
	}
	if p.token == "" {
		return nil, fmt.Errorf("who asks? want --token-file FILE, or a token in %s", tokenEnv)
	}
	return p, nil
}

func onlyServer(*flag.FlagSet, *planeOptions) {}

func domainFlag(set *flag.FlagSet, o *planeOptions) {
	set.StringVar(&o.domain, "trust-domain", "cluster.local", "trust `domain` of an identity that is said as NAMESPACE/ACCOUNT")
}

// identityOf reads an identity as people say it: whole, or as NAMESPACE/ACCOUNT of a trust domain.
func identityOf(text, domain string) (string, error) {
	said := text
	if namespace, account, short := strings.Cut(text, "/"); short && !strings.Contains(text, ":") {
		text = ca.Identity{TrustDomain: domain, Namespace: namespace, ServiceAccount: account}.String()
	}
	who, err := ca.ParseIdentity(text)
	if err != nil {
		return "", fmt.Errorf("%q is no identity: want NAMESPACE/ACCOUNT, or all of it, such as spiffe://cluster.local/ns/default/sa/sleep, in lower-case letters, digits, '-', '.' and '_'", said)
	}
	return who.String(), nil
}
