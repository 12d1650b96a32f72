package capture

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// signature is the comment on rules of ours that stand among those of others and do not name a chain of ours: by it they are found again.
const signature = "weft"

// iptables is the rule as iptables-save writes it, but for its chain: what is read back can be compared, and what is written is understood.
func (r Rule) iptables(f Family) string {
	var words []string
	say := func(not bool, list ...string) {
		if not {
			words = append(words, "!")
		}
		words = append(words, list...)
	}
	if r.Source.IsValid() {
		say(false, "-s", r.Source.String())
	}
	if r.Destination.IsValid() {
		say(r.NotDestination, "-d", r.Destination.String())
	}
	if r.In != "" {
		say(false, "-i", r.In)
	}
	if r.Out != "" {
		say(false, "-o", r.Out)
	}
	if r.Protocol != "" {
		say(false, "-p", r.Protocol)
	}
	switch {
	case r.SourcePort != 0:
		say(false, "-m", r.Protocol, "--sport", strconv.Itoa(int(r.SourcePort)))
	case len(r.Ports) == 1:
		say(false, "-m", r.Protocol)
		say(r.NotPorts, "--dport", strconv.Itoa(int(r.Ports[0])))
	case len(r.Ports) > 1:
		say(false, "-m", "multiport")
		say(r.NotPorts, "--dports", join(r.Ports, ","))
	}
	for _, o := range r.Owners {
		say(false, "-m", "owner")
		if o.Group {
			say(o.Not, "--gid-owner", strconv.Itoa(int(o.ID)))
		} else {
			say(o.Not, "--uid-owner", strconv.Itoa(int(o.ID)))
		}
	}
	if r.Match.Mark != 0 {
		say(false, "-m", "mark")
		say(r.NotMark, "--mark", fmt.Sprintf("0x%x", r.Match.Mark))
	}
	if r.ConnMark != 0 {
		say(false, "-m", "connmark", "--mark", fmt.Sprintf("0x%x", r.ConnMark))
	}
	if r.State != "" {
		say(false, "-m", "conntrack", "--ctstate", r.State)
	}
	if r.own() {
		say(false, "-m", "comment", "--comment", signature)
	}
	switch t := r.Target; t.Kind {
	case Jump:
		say(false, "-j", t.Chain)
	case ToPort:
		say(false, "-j", "REDIRECT", "--to-ports", strconv.Itoa(int(t.Port)))
	case ToProxy:
		any := netip.IPv4Unspecified()
		if f == IPv6 {
			any = netip.IPv6Unspecified()
		}
		say(false, "-j", "TPROXY", "--on-port", strconv.Itoa(int(t.Port)), "--on-ip", any.String(), "--tproxy-mark", fmt.Sprintf("0x%x/0xffffffff", t.Mark))
	case SetMark:
		say(false, "-j", "MARK", "--set-xmark", fmt.Sprintf("0x%x/0xffffffff", t.Mark))
	case SaveMark:
		say(false, "-j", "CONNMARK", "--save-mark", "--nfmask", "0xffffffff", "--ctmask", "0xffffffff")
	case RestoreMark:
		say(false, "-j", "CONNMARK", "--restore-mark", "--nfmask", "0xffffffff", "--ctmask", "0xffffffff")
	case SetZone:
		say(false, "-j", "CT", "--zone", strconv.Itoa(int(t.Zone)))
	default:
		say(false, "-j", string(t.Kind))
	}
	return strings.Join(words, " ")
}

func join[T any](list []T, with string) string {
	words := make([]string, len(list))
	for i, v := range list {
		words[i] = fmt.Sprint(v)
	}
	return strings.Join(words, with)
}

// of are the plan's rules of a table for one version of IP.
func (p Plan) of(f Family, table string) []Rule {
	var list []Rule
	for _, r := range p.Rules {
		if r.Table == table && (r.Family == 0 || r.Family == f) && (f == IPv4 || p.IPv6) {
			list = append(list, r)
		}
	}
	return list
}

// chainsOf are the chains of ours that rules are in or go on to, in the order in which they are first named.
func chainsOf(rules []Rule) []string {
	var names []string
	name := func(chain string) {
		if slices.Contains(chains, chain) && !slices.Contains(names, chain) {
			names = append(names, chain)
		}
	}
	for _, r := range rules {
		name(r.Chain)
		name(r.Target.Chain)
	}
	return names
}

// IPTables is the plan as iptables-restore, or ip6tables-restore, reads it with --noflush, from nothing. It is empty where nothing is planned.
func (p Plan) IPTables(f Family) string { return p.replace(f, state{}, true) }

// replace has one transaction for each table in which what is there is not as planned. Chains of ours are emptied and filled anew; what others
// have in PREROUTING and OUTPUT stays, and ours comes behind it, or before it, as planned.
func (p Plan) replace(f Family, is state, always bool) string {
	var b strings.Builder
	for _, table := range tables {
		want, there := p.of(f, table), is[table]
		if same := p.compare(f, table, is); same.none() && !always {
			continue
		}
		names := chainsOf(want)
		if len(want) == 0 && !there.ours() {
			continue
		}
		fmt.Fprintf(&b, "*%s\n", table)
		for _, name := range names {
			fmt.Fprintf(&b, ":%s - [0:0]\n", name)
		}
		for _, name := range there.names() {
			if !slices.Contains(names, name) {
				fmt.Fprintf(&b, ":%s - [0:0]\n", name) // empties it
			}
		}
		for _, chain := range []string{prerouting, output} {
			for _, line := range there[chain] {
				if isOurs(line) {
					fmt.Fprintf(&b, "-D %s %s\n", chain, line)
				}
			}
		}
		for _, name := range there.names() {
			if !slices.Contains(names, name) {
				fmt.Fprintf(&b, "-X %s\n", name)
			}
		}
		head := map[string]int{}
		for _, r := range want {
			if r.Head {
				head[r.Chain]++
				fmt.Fprintf(&b, "-I %s %d %s\n", r.Chain, head[r.Chain], r.iptables(f))
			} else {
				fmt.Fprintf(&b, "-A %s %s\n", r.Chain, r.iptables(f))
			}
		}
		b.WriteString("COMMIT\n")
	}
	return b.String()
}
