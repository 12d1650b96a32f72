package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/weftmesh/weft/control/ca"
)

// planeOptions are what the commands about weftd are asked with.
type planeOptions struct {
	admin  string
	format string
	names  []string // arguments

	domain           string // of trust
	identity, serial string
	reason           string
	life             time.Duration
	lists            bool
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
}

func (c *planeCommand) do(args []string, s streams) int {
	o := &planeOptions{}
	var err error
	o.names, err = parsed(c.name, c.text, args, s.out, func(set *flag.FlagSet) {
		set.StringVar(&o.admin, "admin", "", fmt.Sprintf("`address` of weftd's pages: HOST:PORT (default %s, or %s)", planeEnv, defaultPlane))
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
	if err == nil {
		p, err = openPages(ofPlane, o.admin)
	}
	if err != nil {
		fmt.Fprintf(s.err, "weftctl %s: %v\n", c.name, err)
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	defer p.client.CloseIdleConnections()
	if err := c.run(ctx, p, o, s); err != nil {
		fmt.Fprintf(s.err, "weftctl %s: %v\n", c.name, err)
		return exitFailed
	}
	return exitDone
}

func onlyAdmin(*flag.FlagSet, *planeOptions) {}

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
