package capture

import (
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/user"
	"strconv"
	"strings"
	"time"
)

// Flag is one flag of istio-iptables, or of ours.
type Flag struct {
	Name, Short string
	// Env are variables that say the same; a flag that is given counts more.
	Env     []string
	Default string
	Usage   string // empty: accepted, without effect, because of Harmless
	// Harmless says why a flag changes nothing that can be seen.
	Harmless string
	Bool     bool
}

// Flags are all flags, in the order in which they are listed. Names, short names, variables and defaults are istio-iptables'; those at the end are
// ours.
func Flags() []Flag {
	return []Flag{
		{Name: "envoy-port", Short: "p", Default: "15001", Usage: "`port` of the proxy that takes what goes out"},
		{Name: "inbound-capture-port", Short: "z", Env: env("inbound-capture-port"), Default: "15006", Usage: "`port` of the proxy that takes what comes in"},
		{Name: "inbound-tunnel-port", Short: "e", Env: env("inbound-tunnel-port"), Default: "15008", Usage: "`port` for the mesh's tunnels, never captured"},
		{Name: "proxy-uid", Short: "u", Env: env("proxy-uid"), Usage: "`users` of the proxy, by number: what they send is not captured; empty: that of ENVOY_USER, else 1337"},
		{Name: "proxy-gid", Short: "g", Env: env("proxy-gid"), Usage: "`groups` of the proxy, by number; empty: as --proxy-uid"},
		{Name: "istio-inbound-interception-mode", Short: "m", Env: env("istio-inbound-interception-mode"), Usage: "`mode` for what comes in: REDIRECT, or TPROXY, which keeps the client's address; empty: REDIRECT"},
		{Name: "istio-inbound-ports", Short: "b", Env: env("istio-inbound-ports"), Usage: "`ports` whose inbound connections are captured; *: all; empty: none"},
		{Name: "istio-local-exclude-ports", Short: "d", Env: env("istio-local-exclude-ports"), Usage: "inbound `ports` that are not captured, where all are"},
		{Name: "istio-exclude-interfaces", Short: "c", Env: env("istio-exclude-interfaces"), Usage: "`interfaces` by which nothing is captured; a + at the end stands for anything"},
		{Name: "istio-service-cidr", Short: "i", Env: env("istio-service-cidr"), Usage: "`ranges` of addresses to which connections are captured; *: all; empty: none"},
		{Name: "istio-service-exclude-cidr", Short: "x", Env: env("istio-service-exclude-cidr"), Usage: "`ranges` of addresses to which they are not"},
		{Name: "istio-outbound-ports", Short: "q", Env: env("istio-outbound-ports"), Usage: "outbound `ports` that are captured, wherever they are"},
		{Name: "istio-local-outbound-ports-exclude", Short: "o", Env: env("istio-local-outbound-ports-exclude"), Usage: "outbound `ports` that are not captured; with plan and check also a form, as --output"},
		{Name: "kube-virt-interfaces", Short: "k", Env: env("kube-virt-interfaces"), Usage: "`interfaces` of virtual machines: what comes in by them counts as going out"},
		{Name: "istio-inbound-tproxy-mark", Short: "t", Env: env("istio-inbound-tproxy-mark"), Default: "1337", Usage: "`mark` of packets that are the proxy's by TPROXY"},
		{Name: "istio-inbound-tproxy-route-table", Short: "r", Env: env("istio-inbound-tproxy-route-table"), Default: "133", Usage: "`number` of the routing table that brings them to it"},
		{Name: "dry-run", Short: "n", Env: env("dry-run"), Bool: true, Usage: "say what would be done, and do nothing"},
		{Name: "iptables-probe-port", Env: env("iptables-probe-port"), Default: "15002", Usage: "`port` that --run-validation connects to"},
		{Name: "probe-timeout", Env: env("probe-timeout"), Default: "5s", Usage: "how `long` --run-validation waits"},
		{Name: "skip-rule-apply", Env: env("skip-rule-apply"), Bool: true, Usage: "change nothing: for --run-validation"},
		{Name: "run-validation", Env: env("run-validation"), Bool: true, Usage: "send a connection that has to be captured, and end with 126 if it is not"},
		{Name: "redirect-dns", Env: env("redirect-dns", "ISTIO_META_DNS_CAPTURE"), Bool: true, Usage: "questions to the pod's resolvers go to port 15053"},
		{Name: "capture-all-dns", Env: env("capture-all-dns"), Bool: true, Usage: "with --redirect-dns: questions to anybody do"},
		{Name: "drop-invalid", Env: env("drop-invalid", "INVALID_DROP"), Bool: true, Usage: "drop packets outside of a connection's window, which the kernel would answer with a reset"},
		{Name: "dual-stack", Env: env("dual-stack", "ISTIO_DUAL_STACK"), Bool: true, Usage: "capture IPv6 beside IPv4; without, IPv6 is captured where the first address is one"},
		{Name: "network-namespace", Env: env("network-namespace"), Usage: "`path` of the network namespace to capture in; empty: this one"},
		{Name: "cni-mode", Env: env("cni-mode"), Bool: true, Usage: "with --network-namespace: iptables-legacy locks the namespace and not the host"},
		{Name: "cleanup-only", Env: env("cleanup-only"), Bool: true, Usage: "take away what is there, as clean"},
		{Name: "force-apply", Env: env("force-apply"), Bool: true, Usage: "write even what is there already"},
		{Name: "native-nftables", Env: env("native-nftables"), Bool: true, Usage: "as --backend nftables"},
		{Name: "force-iptables-binary", Env: env("force-iptables-binary"), Usage: "`variant` of iptables: legacy or nft; empty: the one that has rules"},
		{Name: "reconcile", Env: env("reconcile"), Bool: true, Harmless: "rules of other settings are always replaced"},
		{Name: "log_output_level", Harmless: "what is done is said in few lines"},
		{Name: "log_stacktrace_level", Harmless: "there are no stacks to show"},
		{Name: "log_caller", Harmless: "there are no callers to show"},
		{Name: "log_target", Harmless: "what is done is said on standard output and standard error"},
		{Name: "log_as_json", Bool: true, Harmless: "what is done is said in few lines"},
		{Name: "backend", Default: BackendAuto, Usage: "`auto`, iptables or nftables"},
		{Name: "output", Default: FormTable, Usage: "`form` in which plan and check answer: table; iptables or nft (plan); json (check)"},
	}
}

// env is a flag's variable, and others that say the same.
func env(name string, more ...string) []string {
	return append([]string{strings.ToUpper(strings.ReplaceAll(name, "-", "_"))}, more...)
}

// Variables without a flag, as with istio-iptables.
const (
	envUser           = "ENVOY_USER"
	envLoopback       = "ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR"
	envGroups         = "ISTIO_OUTBOUND_OWNER_GROUPS"
	envExcludedGroups = "ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE"
)

// Host is what a command line is completed by: where it runs.
type Host struct {
	Env       func(string) (string, bool)
	Addresses []netip.Addr // of interfaces, in their order
	Resolvers []netip.Addr
}

// Parse reads a command line of istio-iptables, completed by the environment and the host. flag.ErrHelp means that help was asked for, and written.
func Parse(args []string, h Host, help io.Writer, head string) (Options, error) {
	set := flag.NewFlagSet("capture", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	values, given := map[string]string{}, map[string]bool{}
	short := map[string]string{}
	for _, f := range Flags() {
		values[f.Name] = f.Default
		for _, name := range f.Env {
			// An empty variable of a switch is one that is not set.
			if v, ok := h.Env(name); ok && !(f.Bool && v == "") {
				values[f.Name] = v
			}
		}
		usage := f.Usage
		if f.Harmless != "" {
			usage = "accepted: " + f.Harmless
		}
		for _, name := range []string{f.Name, f.Short} {
			if name == "" {
				continue
			}
			if name != f.Name {
				usage = "short for --" + f.Name
				short[name] = f.Name
			}
			set.Var(&value{to: func(v string) { values[f.Name], given[f.Name] = v, true }, bool: f.Bool, def: f.Default}, name, usage)
		}
	}
	if err := set.Parse(apart(args, set, short)); err != nil {
		if err == flag.ErrHelp {
			io.WriteString(help, head)
			set.SetOutput(help)
			set.PrintDefaults()
			return Options{}, err
		}
		return Options{}, fmt.Errorf("%w (--help lists the flags)", err)
	}
	if set.NArg() > 0 {
		return Options{}, fmt.Errorf("unexpected argument %q (--help lists the flags)", set.Arg(0))
	}
	switch form := values["istio-local-outbound-ports-exclude"]; form {
	case FormTable, FormIPTables, FormNFT, FormJSON:
		values["output"] = form
		values["istio-local-outbound-ports-exclude"], _ = h.Env(env("istio-local-outbound-ports-exclude")[0])
	}
	r := &reader{values: values}
	o := r.options(h)
	if len(r.errs) > 0 {
		return o, r.err()
	}
	return o, o.check()
}

// value is one flag's.
type value struct {
	to   func(string)
	bool bool
	def  string
}

func (v *value) String() string     { return v.def }
func (v *value) Set(s string) error { v.to(s); return nil }
func (v *value) IsBoolFlag() bool   { return v.bool }

// apart puts a blank between a short flag and what is written at it: -p15001.
func apart(args []string, set *flag.FlagSet, short map[string]string) []string {
	var list []string
	for _, a := range args {
		if len(a) > 2 && a[0] == '-' && a[1] != '-' && a[2] != '=' && set.Lookup(strings.SplitN(a[1:], "=", 2)[0]) == nil && short[a[1:2]] != "" {
			list = append(list, a[:2], a[2:])
			continue
		}
		list = append(list, a)
	}
	return list
}

// ThisHost is where this program runs. Call it in the namespace that is captured.
func ThisHost() (Host, error) {
	h := Host{Env: os.LookupEnv}
	addresses, err := hostAddresses()
	if err != nil {
		return h, fmt.Errorf("addresses of this host: %w", err)
	}
	h.Addresses = addresses
	text, err := os.ReadFile("/etc/resolv.conf")
	if err != nil && !os.IsNotExist(err) {
		return h, err
	}
	for line := range strings.Lines(string(text)) {
		if words := strings.Fields(line); len(words) > 1 && words[0] == "nameserver" {
			if a, err := netip.ParseAddr(words[1]); err == nil {
				h.Resolvers = append(h.Resolvers, a.Unmap().WithZone(""))
			}
		}
	}
	return h, nil
}

// reader turns words into settings, and collects what is wrong with them.
type reader struct {
	values map[string]string
	errs   []string
}

func (r *reader) err() error { return fmt.Errorf("%s", strings.Join(r.errs, "; ")) }

func (r *reader) wrong(name, format string, args ...any) {
	r.errs = append(r.errs, fmt.Sprintf("--%s is %q: ", name, r.values[name])+fmt.Sprintf(format, args...))
}

func words(s string) []string {
	return strings.FieldsFunc(s, func(c rune) bool { return c == ',' || c == ' ' })
}

func (r *reader) number(name string) uint32 {
	n, err := strconv.ParseUint(r.values[name], 10, 32)
	if err != nil {
		r.wrong(name, "want a number")
	}
	return uint32(n)
}

func (r *reader) port(name string) uint16 {
	n, err := strconv.ParseUint(r.values[name], 10, 16)
	if err != nil || n == 0 {
		r.wrong(name, "want a port from 1 to 65535")
	}
	return uint16(n)
}

func (r *reader) is(name string) bool {
	if r.values[name] == "" {
		return false
	}
	b, err := strconv.ParseBool(r.values[name])
	if err != nil {
		r.wrong(name, "want true or false")
	}
	return b
}

func (r *reader) ports(name string) (list []uint16) {
	for _, w := range words(r.values[name]) {
		n, err := strconv.ParseUint(w, 10, 16)
		if err != nil || n == 0 {
			r.wrong(name, "%q is no port", w)
			continue
		}
		list = append(list, uint16(n))
	}
	return list
}

func (r *reader) ranges(name string) (list []netip.Prefix) {
	for _, w := range words(r.values[name]) {
		p, err := netip.ParsePrefix(w)
		if err != nil {
			r.wrong(name, "%q is no range such as 10.0.0.0/8", w)
			continue
		}
		list = append(list, p.Masked())
	}
	return list
}

func (r *reader) interfaces(name string) []string {
	list := words(r.values[name])
	for _, w := range list {
		if len(w) > 15 || strings.ContainsAny(w, `/"'*`) || w == "+" {
			r.wrong(name, "%q is no name of an interface", w)
		}
	}
	return list
}

// ids reads users or groups. find looks up a name, or is nil where there may be none.
func (r *reader) ids(name, text string, find func(string) (uint32, error)) (list []uint32) {
	for _, w := range words(text) {
		n, err := strconv.ParseUint(w, 10, 32)
		if err != nil && find != nil {
			var id uint32
			id, err = find(w)
			n = uint64(id)
		}
		if err != nil {
			r.errs = append(r.errs, fmt.Sprintf("%s: %q is no number, nor is anybody called so here", name, w))
			continue
		}
		list = append(list, uint32(n))
	}
	return list
}

func group(name string) (uint32, error) {
	g, err := user.LookupGroup(name)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(g.Gid, 10, 32)
	return uint32(n), err
}

// options are all of them, before they are held against each other.
func (r *reader) options(h Host) Options {
	get := func(name, otherwise string) string {
		if v, ok := h.Env(name); ok {
			return v
		}
		return otherwise
	}
	o := Options{Settings: Defaults(), Binary: r.values["force-iptables-binary"], Namespace: r.values["network-namespace"], Backend: r.values["backend"], Output: r.values["output"]}
	o.ProxyPort, o.InboundPort, o.TunnelPort = r.port("envoy-port"), r.port("inbound-capture-port"), r.port("inbound-tunnel-port")
	if r.values["proxy-uid"] == "" {
		r.values["proxy-uid"] = "1337"
		if u, err := user.Lookup(get(envUser, "istio-proxy")); err == nil {
			r.values["proxy-uid"] = u.Uid
		}
	}
	if r.values["proxy-gid"] == "" {
		r.values["proxy-gid"] = r.values["proxy-uid"]
	}
	o.ProxyUIDs, o.ProxyGIDs = r.ids("--proxy-uid", r.values["proxy-uid"], nil), r.ids("--proxy-gid", r.values["proxy-gid"], nil)
	if mode := r.values["istio-inbound-interception-mode"]; mode != "" {
		o.Mode = Mode(mode)
	}
	o.Mark, o.RouteTable = r.number("istio-inbound-tproxy-mark"), r.number("istio-inbound-tproxy-route-table")
	if o.InboundPorts.All = r.values["istio-inbound-ports"] == "*"; !o.InboundPorts.All {
		o.InboundPorts.List = r.ports("istio-inbound-ports")
	}
	o.ExcludedInboundPorts = r.ports("istio-local-exclude-ports")
	o.ExcludedInterfaces, o.VirtualInterfaces = r.interfaces("istio-exclude-interfaces"), r.interfaces("kube-virt-interfaces")
	if o.OutboundRanges.All = r.values["istio-service-cidr"] == "*"; !o.OutboundRanges.All {
		o.OutboundRanges.List = r.ranges("istio-service-cidr")
	}
	o.ExcludedOutboundRanges = r.ranges("istio-service-exclude-cidr")
	o.OutboundPorts, o.ExcludedOutboundPorts = r.ports("istio-outbound-ports"), r.ports("istio-local-outbound-ports-exclude")
	if text := get(envGroups, "*"); text != "*" {
		o.Groups = Groups{List: r.ids(envGroups, text, group)}
	}
	o.ExcludedGroups = r.ids(envExcludedGroups, get(envExcludedGroups, ""), group)
	loopback, err := netip.ParsePrefix(get(envLoopback, "127.0.0.1/32"))
	if err != nil {
		r.errs = append(r.errs, fmt.Sprintf("%s: %v", envLoopback, err))
	}
	o.Loopback = loopback.Masked()
	o.DNS, o.AllDNS, o.Resolvers = r.is("redirect-dns"), r.is("capture-all-dns"), h.Resolvers
	o.DropInvalid = r.is("drop-invalid")
	o.DryRun, o.SkipApply, o.CleanOnly, o.Force, o.Probe, o.OwnLock = r.is("dry-run"), r.is("skip-rule-apply"), r.is("cleanup-only"), r.is("force-apply"), r.is("run-validation"), r.is("cni-mode")
	r.is("reconcile")
	o.ProbePort = r.port("iptables-probe-port")
	if o.ProbeWait, err = time.ParseDuration(r.values["probe-timeout"]); err != nil || o.ProbeWait <= 0 {
		r.wrong("probe-timeout", "want a duration such as 5s")
	}
	if r.is("native-nftables") {
		o.Backend = BackendNFTables
	}
	r.oneOf("backend", o.Backend, BackendAuto, BackendIPTables, BackendNFTables)
	r.oneOf("force-iptables-binary", o.Binary, "", "legacy", "nft")
	r.oneOf("output", o.Output, FormTable, FormIPTables, FormNFT, FormJSON)
	o.IPv6 = r.captureIPv6(h, r.is("dual-stack"), &o)
	if o.DNS && !o.AllDNS && len(o.Resolvers) == 0 {
		o.Warnings = append(o.Warnings, "questions are not captured: --redirect-dns is for the resolvers of /etc/resolv.conf, which names none; --capture-all-dns is for all")
	}
	return o
}

func (r *reader) oneOf(name, value string, allowed ...string) {
	for _, a := range allowed {
		if value == a {
			return
		}
	}
	r.errs = append(r.errs, fmt.Sprintf("--%s is %q: want one of %s", name, value, strings.TrimLeft(strings.Join(allowed, ", "), ", ")))
}

// captureIPv6 is Istio's rule: with --dual-stack IPv6 is captured where the host has such an address, and without where its first one is.
func (r *reader) captureIPv6(h Host, dual bool, o *Options) bool {
	var all, six []netip.Addr
	for _, a := range h.Addresses {
		if a = a.Unmap(); a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsLinkLocalMulticast() || a == inboundSource6.Addr() {
			continue // the last is our own
		}
		all = append(all, a)
		if a.Is6() {
			six = append(six, a)
		}
	}
	switch {
	case len(all) == 0:
		o.Warnings = append(o.Warnings, "this namespace has no address yet but loopback ones: IPv6 is not captured")
		return false
	case dual:
		return len(six) > 0
	case all[0].Is6():
		return true
	case len(six) > 0:
		o.Warnings = append(o.Warnings, "IPv6 is not captured, though this namespace has "+join(six, ", ")+": --dual-stack captures it")
	}
	return false
}
