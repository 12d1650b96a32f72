package capture

import "strings"

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
		{Name: "istio-local-outbound-ports-exclude", Short: "o", Env: env("istio-local-outbound-ports-exclude"), Usage: "outbound `ports` that are not captured"},
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
		{Name: "backend", Default: BackendAuto, Usage: "`auto`, iptables, nftables or ebpf, which wants --cgroup"},
		{Name: "cgroup", Usage: "`folder` of the workload's cgroup (v2), for --backend ebpf: of the application and of the proxy"},
		{Name: "short-cuts", Bool: true, Usage: "with --backend ebpf: what is sent to the proxy by the application, and by proxies of other workloads of this machine that have short cuts, too, goes from socket to socket"},
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
