package capture

import (
	"fmt"
	"slices"
	"strings"
)

// What nftables calls a table and a chain: as Istio does where it speaks nftables itself.
func nftTable(table string) string { return "istio-proxy-" + table }

func nftChain(chain string) string {
	if chain == prerouting || chain == output {
		return strings.ToLower(chain)
	}
	return "istio-" + strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(chain, "ISTIO_"), "_", "-"))
}

// base is where a chain of everybody is called from. Our tables are our own, so that they come before or behind whole tables of others.
type base struct {
	kind     string // nat, filter or route
	priority int
}

func baseOf(table, chain string) base {
	switch {
	case table == nat:
		return base{"nat", -100}
	case table == raw:
		return base{"filter", -300}
	case chain == output: // a mark that is set here has the packet routed anew
		return base{"route", -150}
	}
	return base{"filter", -150}
}

// nftRules are the plan's rules of a table in the order in which they are told, for nftables has one table for both versions of IP. Where IPv6 is
// not captured, the rules that are for both are for IPv4.
func (p Plan) nftRules(table string) []Rule {
	var list []Rule
	for _, r := range p.Rules {
		if r.Table != table {
			continue
		}
		if !p.IPv6 && (r.Chain == prerouting || r.Chain == output) {
			r.Family = IPv4
		}
		list = append(list, r)
		if r.Target.Kind == ToProxy {
			// Where nobody listens at the port, xtables' TPROXY drops the packet, and nftables' goes on to the next rule, past the proxy.
			r.Target = Target{Kind: Drop}
			list = append(list, r)
		}
	}
	return list
}

// nftChains are the chains that a table has, those of everybody first.
func nftChains(rules []Rule) []string {
	var names []string
	for _, chain := range []string{prerouting, output} {
		if slices.ContainsFunc(rules, func(r Rule) bool { return r.Chain == chain }) {
			names = append(names, chain)
		}
	}
	return append(names, chainsOf(rules)...)
}

// NFT is the plan as nft -f reads it: it takes the place of what is there, in one transaction.
func (p Plan) NFT() string {
	var b strings.Builder
	for _, table := range tables {
		name := "inet " + nftTable(table)
		rules := p.nftRules(table)
		fmt.Fprintf(&b, "add table %[1]s\ndelete table %[1]s\n", name)
		if len(rules) == 0 {
			continue
		}
		fmt.Fprintf(&b, "add table %s\n", name)
		for _, chain := range nftChains(rules) {
			fmt.Fprintf(&b, "add chain %s %s", name, nftChain(chain))
			if chain == prerouting || chain == output {
				at := baseOf(table, chain)
				fmt.Fprintf(&b, " { type %s hook %s priority %d ; }", at.kind, nftChain(chain), at.priority)
			}
			b.WriteByte('\n')
		}
		for _, r := range rules {
			fmt.Fprintf(&b, "add rule %s %s %s comment %q\n", name, nftChain(r.Chain), r.nft(), r.remark())
		}
	}
	return b.String()
}

// nft is the rule in nft's language.
func (r Rule) nft() string {
	var words []string
	say := func(format string, args ...any) { words = append(words, fmt.Sprintf(format, args...)) }
	not := func(n bool) string {
		if n {
			return "!= "
		}
		return ""
	}
	ip := "ip"
	if r.Family == IPv6 {
		ip = "ip6"
	}
	switch {
	case r.Family == IPv4:
		say("meta nfproto ipv4")
	case r.Family == IPv6:
		say("meta nfproto ipv6")
	}
	if r.In != "" {
		say("iifname %q", wildcard(r.In))
	}
	if r.Out != "" {
		say("oifname %q", wildcard(r.Out))
	}
	if r.Protocol != "" {
		say("meta l4proto %s", r.Protocol)
	}
	if r.Source.IsValid() {
		say("%s saddr %s", ip, r.Source)
	}
	if r.Destination.IsValid() {
		say("%s daddr %s%s", ip, not(r.NotDestination), r.Destination)
	}
	if r.SourcePort != 0 {
		say("%s sport %d", r.Protocol, r.SourcePort)
	}
	for _, port := range r.Ports {
		say("%s dport %s%d", r.Protocol, not(r.NotPorts), port)
	}
	for _, o := range r.Owners {
		if o.Group {
			say("meta skgid %s%d", not(o.Not), o.ID)
		} else {
			say("meta skuid %s%d", not(o.Not), o.ID)
		}
	}
	if r.Match.Mark != 0 {
		say("meta mark %s%d", not(r.NotMark), r.Match.Mark)
	}
	if r.ConnMark != 0 {
		say("ct mark %d", r.ConnMark)
	}
	if r.State != "" {
		say("ct state %s", strings.ToLower(r.State))
	}
	say("counter")
	switch t := r.Target; t.Kind {
	case Jump:
		say("jump %s", nftChain(t.Chain))
	case ToPort:
		say("redirect to :%d", t.Port)
	case ToProxy:
		say("tproxy %s to :%d meta mark set %d accept", ip, t.Port, t.Mark)
	case SetMark:
		say("meta mark set %d", t.Mark)
	case SaveMark:
		say("ct mark set meta mark")
	case RestoreMark:
		say("meta mark set ct mark")
	case SetZone:
		say("ct zone set %d", t.Zone)
	default:
		say("%s", strings.ToLower(string(t.Kind)))
	}
	return strings.Join(words, " ")
}

// wildcard is an interface's name, where a + at the end stands for anything, in nft's way.
func wildcard(name string) string {
	if begin, ok := strings.CutSuffix(name, "+"); ok {
		return begin + "*"
	}
	return name
}
