package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weftmesh/weft/control/ca"
)

const tokenText = `Make a token with which a machine joins the mesh as an identity, once. It is for weftd on this host, which takes that from nobody else.

IDENTITY is NAMESPACE/ACCOUNT, or spiffe://DOMAIN/ns/NAMESPACE/sa/ACCOUNT. Whoever has the token can be that identity: it is printed, and is nowhere else.

Usage:
  weftctl token IDENTITY [flags]

Examples:
  weftctl token default/sleep
  weftctl token spiffe://mesh.test/ns/default/sa/sleep --life 5m > token`

const rootsText = `Print the certificates that the mesh trusts, as PEM.

Usage:
  weftctl ca roots [flags]

Examples:
  weftctl ca roots > roots.pem
  weftctl ca roots | openssl x509 -noout -text`

const rotateText = `Begin to replace the root. The new one is trusted at once and signs an hour later; the old one is trusted until all that it has signed has ended.
It is for weftd on this host, and not for an authority of yours (--ca-dir), whose files you change.

Usage:
  weftctl ca rotate [flags]

Examples:
  weftctl ca rotate`

const csrText = `Print a request for a certificate by which weftd's authority would be an intermediate one, under a root of yours, as PEM. Its key stays in weftd's store. It is the same one until it is
imported; --new makes another, and what was signed for the one before is worthless then. Have your root sign it as an authority that signs no others (pathlen 0), with the key usages keyCertSign and
cRLSign. It is for weftd on this host.

Usage:
  weftctl ca csr [flags]

Examples:
  weftctl ca csr > weft.csr
  weftctl ca csr --new`

const importText = `Have what was signed for weftctl ca csr take the place of the root. FILE has the certificate, those between it and your root, and your root, in PEM; - is what is read. Your root is trusted at once,
and what it has signed signs an hour later; the root before is trusted until all that it has signed has ended. It is for weftd on this host.

Usage:
  weftctl ca import FILE [flags]

Examples:
  weftctl ca import chain.pem
  cat signed.pem root.pem | weftctl ca import -`

const revokeText = `Take back an identity, or one certificate by its serial number. What is revoked gets no certificate any more, and loses its stream from weftd. Proxies
that have their certificate from weftd's stream are told at once: they refuse new connections with it, and weft ends those that stand. Others have to be
given the lists of weftctl ca revoked --lists. It is for weftd on this host.

IDENTITY is NAMESPACE/ACCOUNT, or spiffe://DOMAIN/ns/NAMESPACE/sa/ACCOUNT.

Usage:
  weftctl ca revoke (--identity IDENTITY | --serial SERIAL) --reason TEXT [flags]

Examples:
  weftctl ca revoke --identity default/sleep --reason 'its key was lost'
  weftctl ca revoke --serial 4f:1c:22 --reason 'issued by mistake'`

const restoreText = `Have an identity that was revoked get certificates again. Those that it had are good again, too. It is for weftd on this host.

IDENTITY is NAMESPACE/ACCOUNT, or spiffe://DOMAIN/ns/NAMESPACE/sa/ACCOUNT.

Usage:
  weftctl ca restore IDENTITY [flags]

Examples:
  weftctl ca restore default/sleep`

const revokedText = `Print what is revoked, by whom, when and why, as JSON; with --lists as lists of certificates that TLS reads (CRL), in PEM: nothing, while nothing is revoked.

Usage:
  weftctl ca revoked [flags]

Examples:
  weftctl ca revoked
  weftctl ca revoked --lists > revoked.pem`

const (
	restorePage = "/ca/restore"
	revokedPage = "/ca/revoked"
	listsPage   = "/ca/lists"
	tokenPage   = "/ca/token"
	rootsPage   = "/ca/roots"
	rotatePage  = "/ca/rotate"
	csrPage     = "/ca/csr"
	importPage  = "/ca/import"
	revokePage  = "/ca/revoke"
)

func tokenCommand() *planeCommand {
	return &planeCommand{name: "token", text: tokenText, most: 1,
		flags: func(f *flag.FlagSet, o *planeOptions) {
			f.DurationVar(&o.life, "life", ca.DefaultTokenLife, fmt.Sprintf("how `long` it is good, at most %v", ca.MaxTokenLife))
			domainFlag(f, o)
		},
		check: func(o *planeOptions) (err error) {
			if len(o.names) == 0 {
				return errors.New("who is to join? say NAMESPACE/ACCOUNT, such as default/sleep")
			}
			if o.life <= 0 || o.life > ca.MaxTokenLife {
				return fmt.Errorf("--life is %v: want more than nothing and at most %v", o.life, ca.MaxTokenLife)
			}
			o.identity, err = identityOf(o.names[0], o.domain)
			return err
		},
		run: func(ctx context.Context, p *pages, o *planeOptions, s streams) error {
			return posted(ctx, p, tokenPage, url.Values{"identity": {o.identity}, "life": {o.life.Round(time.Millisecond).String()}}, s)
		}}
}

func runToken(args []string, s streams) int { return tokenCommand().do(args, s) }

// caCommands are the words behind "weftctl ca".
func caCommands() []*planeCommand {
	return []*planeCommand{
		{name: "ca revoke", about: "take back an identity, or one certificate", text: revokeText,
			flags: func(f *flag.FlagSet, o *planeOptions) {
				f.StringVar(&o.identity, "identity", "", "`identity` that is taken back, with all of its certificates")
				f.StringVar(&o.serial, "serial", "", "`number` of the certificate that is taken back, hexadecimal")
				f.StringVar(&o.reason, "reason", "", "`text` that says why, for those who come later")
				domainFlag(f, o)
			},
			check: checkRevoke,
			run: func(ctx context.Context, p *pages, o *planeOptions, s streams) error {
				return posted(ctx, p, revokePage, url.Values{"identity": {o.identity}, "serial": {o.serial}, "reason": {o.reason}}, s)
			}},
		{name: "ca restore", about: "have an identity that was revoked get certificates again", text: restoreText, most: 1, flags: domainFlag,
			check: func(o *planeOptions) (err error) {
				if len(o.names) == 0 {
					return errors.New("who is to be restored? say NAMESPACE/ACCOUNT, such as default/sleep")
				}
				o.identity, err = identityOf(o.names[0], o.domain)
				return err
			},
			run: func(ctx context.Context, p *pages, o *planeOptions, s streams) error {
				return posted(ctx, p, restorePage, url.Values{"identity": {o.identity}}, s)
			}},
		{name: "ca revoked", about: "print what is revoked, and why", text: revokedText,
			flags: func(f *flag.FlagSet, o *planeOptions) {
				f.BoolVar(&o.lists, "lists", false, "print lists that TLS reads, in PEM")
			},
			run: func(ctx context.Context, p *pages, o *planeOptions, s streams) error {
				if o.lists {
					return fetched(ctx, p, listsPage, s)
				}
				return fetched(ctx, p, revokedPage, s)
			}},
		{name: "ca roots", about: "print the certificates that the mesh trusts", text: rootsText, flags: onlyServer,
			run: func(ctx context.Context, p *pages, _ *planeOptions, s streams) error {
				return fetched(ctx, p, rootsPage, s)
			}},
		{name: "ca rotate", about: "begin to replace the root", text: rotateText, flags: onlyServer,
			run: func(ctx context.Context, p *pages, _ *planeOptions, s streams) error {
				return posted(ctx, p, rotatePage, nil, s)
			}},
		{name: "ca csr", about: "print a request for a certificate under a root of yours", text: csrText,
			flags: func(f *flag.FlagSet, o *planeOptions) {
				f.BoolVar(&o.anew, "new", false, "make another one: what was signed for the one before is worthless then")
			},
			run: func(ctx context.Context, p *pages, o *planeOptions, s streams) error {
				return posted(ctx, p, csrPage, url.Values{"anew": {strconv.FormatBool(o.anew)}}, s)
			}},
		{name: "ca import", about: "have what was signed for that take the root's place", text: importText, most: 1, flags: onlyServer,
			check: func(o *planeOptions) error {
				if len(o.names) == 0 {
					return errors.New("what is to be imported? name a file with the certificate and what leads to your root, or - for what is read")
				}
				return nil
			},
			run: func(ctx context.Context, p *pages, o *planeOptions, s streams) error {
				text, err := readCertificates(o.names[0], s)
				if err != nil {
					return err
				}
				return posted(ctx, p, importPage, url.Values{"certificates": {text}}, s)
			}},
	}
}

// maxCertificates bounds, in bytes, what is imported.
const maxCertificates = 48 << 10

// readCertificates reads a file, or what is read if that is -.
func readCertificates(name string, s streams) (string, error) {
	from := s.in
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return "", err
		}
		defer f.Close()
		from = f
	}
	text, err := io.ReadAll(io.LimitReader(from, maxCertificates+1))
	if err == nil && len(text) > maxCertificates {
		err = fmt.Errorf("%s has more than %d bytes", name, maxCertificates)
	}
	return string(text), err
}

func checkRevoke(o *planeOptions) (err error) {
	switch {
	case o.identity == "" && o.serial == "":
		return errors.New("what is to be revoked? want --identity or --serial")
	case o.identity != "" && o.serial != "":
		return errors.New("--identity and --serial are two revocations: want one of them")
	case o.reason == "":
		return errors.New("--reason is missing: say in a few words why, for those who come later")
	case o.identity != "":
		o.identity, err = identityOf(o.identity, o.domain)
	}
	return err
}

// fetched prints a page of weftd's as it is.
func fetched(ctx context.Context, p *pages, page string, s streams) error {
	b, err := p.get(ctx, page)
	if err == nil {
		_, err = s.out.Write(b)
	}
	return err
}

// posted has weftd do something, and says what it says.
func posted(ctx context.Context, p *pages, page string, form url.Values, s streams) error {
	b, err := p.post(ctx, page, form)
	if err == nil {
		_, err = s.out.Write(b)
	}
	return err
}

func runCA(args []string, s streams) int {
	return runOneOf("ca", "Ask and change the authority of the mesh, which weftd has with --secure-grpc-addr.", `
Examples:
  weftctl ca roots > roots.pem
  weftctl ca revoke --identity default/sleep --reason 'its key was lost'
  weftctl ca revoke --help
`, caCommands(), args, s)
}

// runOneOf runs one of the commands behind a word.
func runOneOf(word, about, examples string, list []*planeCommand, args []string, s streams) int {
	usage := func(w io.Writer) {
		fmt.Fprintf(w, "%s\n\nUsage:\n  weftctl %s COMMAND [flags]\n\nCommands:\n", about, word)
		for _, c := range list {
			fmt.Fprintf(w, "  %-10s %s\n", strings.TrimPrefix(c.name, word+" "), c.about)
		}
		io.WriteString(w, examples)
	}
	if len(args) == 0 {
		usage(s.err)
		return exitUsage
	}
	switch args[0] {
	case "-h", "-help", "--help", "help":
		usage(s.out)
		return exitDone
	}
	i := slices.IndexFunc(list, func(c *planeCommand) bool { return c.name == word+" "+args[0] })
	if i < 0 {
		var names []string
		for _, c := range list {
			names = append(names, strings.TrimPrefix(c.name, word+" "))
		}
		slices.Sort(names)
		fmt.Fprintf(s.err, "weftctl %s: there is no command %q: want %s or %s (weftctl %[1]s --help lists them)\n", word, args[0], strings.Join(names[:len(names)-1], ", "), names[len(names)-1])
		return exitUsage
	}
	return list[i].do(args[1:], s)
}
