package capture

import (
	"fmt"
	"net/netip"
	"os/user"
	"strconv"
	"strings"
	"time"
)

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
	r.oneOf("backend", o.Backend, BackendAuto, BackendIPTables, BackendNFTables, BackendEBPF)
	o.Cgroup, o.ShortCuts = r.values["cgroup"], r.is("short-cuts")
	switch {
	case o.Backend == BackendEBPF && o.Cgroup == "":
		r.wrong("cgroup", "want the folder of the workload's cgroup, for --backend ebpf, such as /sys/fs/cgroup/kubepods/podUID")
	case o.Backend != BackendEBPF && (o.Cgroup != "" || o.ShortCuts):
		o.Warnings = append(o.Warnings, "--cgroup and --short-cuts are for --backend ebpf: nothing is done with them")
	}
	r.oneOf("force-iptables-binary", o.Binary, "", "legacy", "nft")
	r.oneOf("output", o.Output, forms...)
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
