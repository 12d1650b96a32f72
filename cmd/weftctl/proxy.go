package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os/signal"
	"slices"
	"strings"
	"syscall"
)

// proxyOptions are what the commands about one proxy are asked with.
type proxyOptions struct {
	admin  string
	format string
	names  []string // arguments

	// config
	resource, mask string
	endpoints      bool
	// stats
	used bool
	// explain
	listener, address, source, sni, identity, method string
	version, group                                   string
	alpn, headers, arguments, attachments            texts
	tls                                              bool
	all                                              bool
}

// texts are the values of a flag that may be said more than once.
type texts []string

// String implements flag.Value.
func (t *texts) String() string { return strings.Join(*t, ", ") }

// Set implements flag.Value.
func (t *texts) Set(s string) error {
	*t = append(*t, s)
	return nil
}

// proxyCommand is one word behind "weftctl proxy".
type proxyCommand struct {
	name, args, about string
	text              string // of --help: what it does, and examples
	most              int    // arguments
	formats           []string
	flags             func(*flag.FlagSet, *proxyOptions)
	run               func(context.Context, *pages, *proxyOptions, streams) error
}

// tables are the forms of what a table is enough of for people.
var tables = []string{"table", "json", "yaml"}

func proxyCommands() []proxyCommand {
	trees := []string{"json", "yaml"}
	return []proxyCommand{
		{"clusters", "[NAME]", "clusters and how well their endpoints are", clustersText, 1, tables, func(f *flag.FlagSet, o *proxyOptions) {
			f.BoolVar(&o.endpoints, "endpoints", false, "a line for each endpoint")
		}, proxyClusters},
		{"config", "[NAME]", "the configuration in force, as /config_dump has it", configText, 1, trees, func(f *flag.FlagSet, o *proxyOptions) {
			f.StringVar(&o.resource, "resource", "", "one `field` of the dump, such as dynamic_listeners")
			f.StringVar(&o.mask, "mask", "", "the `fields` that are wanted, with commas between them")
			f.BoolVar(&o.endpoints, "endpoints", false, "with the endpoints that came by EDS")
		}, proxyConfig},
		{"explain", "[URL]", "what a connection and a request, or a call of Dubbo, would meet, and what came close", explainText, 1, tables, func(f *flag.FlagSet, o *proxyOptions) {
			f.StringVar(&o.listener, "listener", "", "`name` of the listener that the connection comes to")
			f.StringVar(&o.address, "address", "", "`IP:PORT` or path that the client connects to")
			f.StringVar(&o.source, "source", "", "`IP[:PORT]` that it connects from (default 127.0.0.1)")
			f.StringVar(&o.sni, "sni", "", "server `name` that a TLS client asks for")
			f.Var(&o.alpn, "alpn", "`protocol` that it offers; may be said again")
			f.BoolVar(&o.tls, "tls", false, "the connection speaks TLS")
			f.StringVar(&o.identity, "identity", "", "`URI` of the certificate that it shows, such as spiffe://cluster.local/ns/shop/sa/web")
			f.StringVar(&o.method, "method", "", "`method` of the request (default GET), or of the call of Dubbo")
			f.Var(&o.headers, "H", "header of the request, `\"name: value\"`; may be said again")
			f.StringVar(&o.version, "version", "", "`version` of the service that a call of Dubbo is for")
			f.StringVar(&o.group, "group", "", "its `group`")
			f.Var(&o.arguments, "argument", "argument of the call, `TYPE=VALUE` with a type as in Java's sources and JSON for lists and objects, or TYPE alone for null; may be said again")
			f.Var(&o.attachments, "attachment", "attachment of the call, `NAME=VALUE`; may be said again")
			f.BoolVar(&o.all, "all", false, "with every rule that was looked at")
		}, proxyExplain},
		{"listeners", "[NAME]", "listeners, their filter chains, and where those lead", listenersText, 1, tables, noFlags, proxyListeners},
		{"routes", "[NAME]", "route tables: what matches, and where it goes", routesText, 1, tables, noFlags, proxyRoutes},
		{"secrets", "[NAME]", "certificates and roots, never their keys", secretsText, 1, tables, noFlags, proxySecrets},
		{"stats", "[REGEX]", "counters, gauges and histograms", statsText, 1, tables, func(f *flag.FlagSet, o *proxyOptions) {
			f.BoolVar(&o.used, "used", false, "only those that were ever touched")
		}, proxyStats},
	}
}

func noFlags(*flag.FlagSet, *proxyOptions) {}

func runProxy(args []string, s streams) int {
	list := proxyCommands()
	if len(args) == 0 {
		proxyUsage(s.err, list)
		return exitUsage
	}
	switch args[0] {
	case "-h", "-help", "--help", "help":
		proxyUsage(s.out, list)
		return exitDone
	}
	i := slices.IndexFunc(list, func(c proxyCommand) bool { return c.name == args[0] })
	if i < 0 {
		var names []string
		for _, c := range list {
			names = append(names, c.name)
		}
		fmt.Fprintf(s.err, "weftctl proxy: there is no command %q: did you mean %q? (weftctl proxy --help lists them)\n", args[0], nearestOf(args[0], names))
		return exitUsage
	}
	c := &list[i]
	o, err := c.parse(args[1:], s.out)
	if errors.Is(err, flag.ErrHelp) {
		return exitDone
	}
	var p *pages
	if err == nil {
		p, err = openPages(ofProxy, o.admin)
	}
	if err != nil {
		fmt.Fprintf(s.err, "weftctl proxy %s: %v\n", c.name, err)
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := c.run(ctx, p, o, s); err != nil {
		fmt.Fprintf(s.err, "weftctl proxy %s: %v\n", c.name, err)
		return exitFailed
	}
	return exitDone
}

func proxyUsage(w io.Writer, list []proxyCommand) {
	io.WriteString(w, "Look into one proxy over its admin address: weft's, and but for explain Envoy's, too. Nothing is changed.\n\nUsage:\n  weftctl proxy COMMAND [flags]\n\nCommands:\n")
	for _, c := range list {
		fmt.Fprintf(w, "  %-10s %s\n", c.name, c.about)
	}
	fmt.Fprintf(w, `
Every command takes --admin ADDRESS (HOST:PORT, or the path of a Unix socket; default: %s, or %s, where Istio's proxies have it)
and -o for the form of the output.

Examples:
  weftctl proxy routes
  weftctl proxy clusters --endpoints reviews
  weftctl proxy explain --address 10.0.0.1:9080 http://reviews:9080/reviews/1
  weftctl proxy explain --help
`, adminEnv, defaultAdmin)
}

// parse reads flags and arguments in any order.
func (c *proxyCommand) parse(args []string, out io.Writer) (*proxyOptions, error) {
	o := &proxyOptions{}
	names, err := parsed("proxy "+c.name, c.text, args, out, func(set *flag.FlagSet) {
		set.StringVar(&o.admin, "admin", "", fmt.Sprintf("`address` of the admin pages: HOST:PORT or the path of a Unix socket (default %s, or %s)", adminEnv, defaultAdmin))
		formFlag(set, &o.format, c.formats)
		c.flags(set, o)
	})
	o.names = names
	switch {
	case err != nil:
		return nil, err
	case len(o.names) > c.most:
		return nil, fmt.Errorf("unexpected argument %q: it takes one at most", o.names[c.most])
	}
	return o, formKnown(o.format, c.formats)
}

// parsed reads the flags and the arguments of a command, in any order. flag.ErrHelp says that its text was asked for, and is written.
func parsed(name, text string, args []string, out io.Writer, flags func(*flag.FlagSet)) (names []string, err error) {
	set := flag.NewFlagSet("weftctl "+name, flag.ContinueOnError)
	set.SetOutput(io.Discard)
	flags(set)
	err = parseAnywhere(set, args, &names)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintf(out, "%s\n\nFlags:\n", strings.TrimSpace(text))
		set.SetOutput(out)
		set.PrintDefaults()
	case err != nil:
		err = fmt.Errorf("%w (weftctl %s --help lists the flags)", err, name)
	}
	return names, err
}

// formFlag is -o, which is the first of these forms if nobody says another.
func formFlag(set *flag.FlagSet, form *string, forms []string) {
	set.StringVar(form, "o", forms[0], "`form` of the output: "+strings.Join(forms, ", "))
}

func formKnown(form string, forms []string) error {
	if slices.Contains(forms, form) {
		return nil
	}
	return fmt.Errorf("-o is %q: want %s", form, strings.Join(forms, ", "))
}

// parseAnywhere lets flags stand behind arguments, too.
func parseAnywhere(set *flag.FlagSet, args []string, names *[]string) error {
	for {
		if err := set.Parse(args); err != nil {
			return err
		}
		if set.NArg() == 0 {
			return nil
		}
		*names = append(*names, set.Arg(0))
		args = set.Args()[1:]
	}
}

// name is the only argument, or empty.
func (o *proxyOptions) name() string {
	if len(o.names) == 0 {
		return ""
	}
	return o.names[0]
}

// wants tells whether something of that name is asked for.
func (o *proxyOptions) wants(name string) bool { return strings.Contains(name, o.name()) }

// nothing is the error of a name that nothing has.
func (o *proxyOptions) nothing(what string, p *pages) error {
	if o.name() == "" {
		return fmt.Errorf("the proxy at %s has no %s", p.address, what)
	}
	return fmt.Errorf("the proxy at %s has no %s with %q in its name: leave the name out to see all", p.address, what, o.name())
}
