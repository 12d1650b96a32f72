package capture

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/userdata"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// nftBuffer bounds, in bytes, what one transaction may take and what its answers may: 4,096 rules take about 2 MB of either.
const nftBuffer = 8 << 20

// remark is the comment on each rule. It has a sum of what the rule says: the kernel keeps comments, and writes rules back in other words.
func (r Rule) remark() string {
	sum := fnv.New32a()
	sum.Write([]byte(r.nft()))
	return fmt.Sprintf("%s %08x", signature, sum.Sum32())
}

func dialNFT() (*nftables.Conn, error) {
	c, err := nftables.New(nftables.WithSockOptions(func(c *netlink.Conn) error {
		return errors.Join(c.SetReadBuffer(nftBuffer), c.SetWriteBuffer(nftBuffer))
	}))
	if errors.Is(err, unix.EPROTONOSUPPORT) {
		return nil, fmt.Errorf("%w: %w", err, errNoKernel)
	}
	return c, err
}

// applyNFT has the kernel take the plan in place of what is there, in one transaction: nobody sees half of it. An empty plan takes all away.
func applyNFT(p Plan) error {
	c, err := dialNFT()
	if err != nil {
		return nftError(err)
	}
	there, err := ownNFTTables(c)
	if err != nil {
		return err
	}
	for _, table := range tables {
		t := &nftables.Table{Family: nftables.TableFamilyINet, Name: nftTable(table)}
		if slices.Contains(there, t.Name) {
			c.DelTable(t)
		}
		rules := p.nftRules(table)
		if len(rules) == 0 {
			continue
		}
		c.AddTable(t)
		chain := map[string]*nftables.Chain{}
		for _, name := range nftChains(rules) {
			made := &nftables.Chain{Name: nftChain(name), Table: t}
			if name == prerouting || name == output {
				at := baseOf(table, name)
				made.Type = nftables.ChainType(at.kind)
				made.Priority = nftables.ChainPriorityRef(nftables.ChainPriority(at.priority))
				made.Hooknum = nftables.ChainHookPrerouting
				if name == output {
					made.Hooknum = nftables.ChainHookOutput
				}
			}
			chain[name] = c.AddChain(made)
		}
		for _, r := range rules {
			c.AddRule(&nftables.Rule{Table: t, Chain: chain[r.Chain], Exprs: r.expressions(), UserData: userdata.AppendString(nil, userdata.TypeComment, r.remark())})
		}
	}
	return nftError(c.Flush())
}

// nftError says what a refusal of the kernel means.
func nftError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("nftables: %w: %s", err, wantsAdmin)
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOENT), errors.Is(err, unix.EAFNOSUPPORT), errors.Is(err, unix.EINVAL):
		return fmt.Errorf("nftables: %w: this kernel lacks a part of nftables (modules nft_chain_nat, nft_redir, nft_ct, and nft_tproxy for TPROXY; NAT for inet since Linux 5.2): load them on the node, or take --backend iptables", err)
	}
	return fmt.Errorf("nftables: %w", err)
}

// unanswered is the error of a question for tables or chains, none of which can be a wrong one: that there are none is no error.
func unanswered(err error) error {
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case errors.Is(err, unix.EINVAL): // nobody is there who knows it
		return fmt.Errorf("nftables: %w: %w", err, errNoKernel)
	}
	return nftError(err)
}

func ownNFTTables(c *nftables.Conn) ([]string, error) {
	list, err := c.ListTablesOfFamily(nftables.TableFamilyINet)
	if err != nil {
		return nil, unanswered(err)
	}
	var names []string
	for _, t := range list {
		for _, table := range tables {
			if t.Name == nftTable(table) {
				names = append(names, t.Name)
			}
		}
	}
	return names, nil
}

// nftRule is a rule as the kernel has it: whose it is, and its comment.
type nftRule struct {
	family       nftables.TableFamily
	table, chain string
	remark       string
}

// dumpNFT are all rules of nftables. The library reads only rules whose every part it knows, so that this reads the three parts that are wanted.
func dumpNFT() ([]nftRule, error) {
	c, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	list, err := c.Execute(netlink.Message{
		Header: netlink.Header{Type: netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETRULE), Flags: netlink.Request | netlink.Dump},
		Data:   []byte{unix.NFPROTO_UNSPEC, unix.NFNETLINK_V0, 0, 0},
	})
	if err != nil {
		return nil, nftError(err)
	}
	var rules []nftRule
	for _, m := range list {
		if len(m.Data) < 4 {
			continue
		}
		r := nftRule{family: nftables.TableFamily(m.Data[0])}
		attributes, err := netlink.NewAttributeDecoder(m.Data[4:])
		if err != nil {
			return nil, err
		}
		attributes.ByteOrder = binary.BigEndian
		for attributes.Next() {
			switch attributes.Type() {
			case unix.NFTA_RULE_TABLE:
				r.table = attributes.String()
			case unix.NFTA_RULE_CHAIN:
				r.chain = attributes.String()
			case unix.NFTA_RULE_USERDATA:
				r.remark, _ = userdata.GetString(attributes.Bytes(), userdata.TypeComment)
				r.remark = strings.TrimRight(r.remark, "\x00")
			}
		}
		if err := attributes.Err(); err != nil {
			return nil, err
		}
		rules = append(rules, r)
	}
	return rules, nil
}

// compareNFT holds what nftables has against the plan.
func compareNFT(p Plan) (Difference, error) {
	var d Difference
	c, err := dialNFT()
	if err != nil {
		return d, nftError(err)
	}
	names, err := ownNFTTables(c)
	if err != nil {
		return d, err
	}
	rules, err := dumpNFT()
	if err != nil {
		return d, err
	}
	for _, table := range tables {
		want := p.nftRules(table)
		name := nftTable(table)
		if slices.Contains(names, name) && len(want) == 0 {
			d.Surplus = append(d.Surplus, "the table inet "+name)
			continue
		}
		for _, chain := range append([]string{prerouting, output}, chains...) {
			where := fmt.Sprintf("inet %s %s: ", name, nftChain(chain))
			var planned []Rule
			for _, r := range want {
				if r.Chain == chain {
					planned = append(planned, r)
				}
			}
			var lines []string
			for _, r := range rules {
				if r.family == nftables.TableFamilyINet && r.table == name && r.chain == nftChain(chain) {
					lines = append(lines, r.remark)
				}
			}
			for len(planned) > 0 && len(lines) > 0 && planned[0].remark() == lines[0] {
				planned, lines = planned[1:], lines[1:]
			}
			for _, r := range planned {
				d.Missing = append(d.Missing, where+r.nft())
			}
			for _, line := range lines {
				d.Surplus = append(d.Surplus, fmt.Sprintf("%sa rule that says %q of itself", where, line))
			}
		}
	}
	return d, nil
}

// beforeNFT are chains of others that may get packets before ours do, may change where they go, and have rules. What the rules say is not looked into. At
// the same priority the chain that was made last comes first, and nobody says which that is. shared are the tables that iptables-nft has for
// everybody: where ours are among them, those are looked into by iptables, rule by rule.
func beforeNFT(p Plan, shared bool) ([]string, error) {
	c, err := dialNFT()
	if err != nil {
		return nil, nftError(err)
	}
	all, err := c.ListChains()
	if err != nil {
		return nil, unanswered(err)
	}
	rules, err := dumpNFT()
	if err != nil {
		return nil, err
	}
	var list []string
	for _, chain := range all {
		t := chain.Table
		other := t.Family == nftables.TableFamilyINet || t.Family == nftables.TableFamilyIPv4 || t.Family == nftables.TableFamilyIPv6 && p.IPv6
		if !other || chain.Hooknum == nil || chain.Priority == nil || slices.ContainsFunc(tables, func(table string) bool { return t.Family == nftables.TableFamilyINet && t.Name == nftTable(table) }) ||
			!shared && t.Family != nftables.TableFamilyINet && slices.Contains(tables, t.Name) {
			continue
		}
		hook := *chain.Hooknum
		if chain.Type != nftables.ChainTypeNAT || hook != *nftables.ChainHookPrerouting && hook != *nftables.ChainHookOutput || *chain.Priority > -100 {
			continue
		}
		n := 0
		for _, r := range rules {
			if r.family == t.Family && r.table == t.Name && r.chain == chain.Name {
				n++
			}
		}
		if n > 0 {
			list = append(list, fmt.Sprintf("nftables %s %s: %d rules that may change where connections go, at priority %d", t.Name, chain.Name, n, *chain.Priority))
		}
	}
	return list, nil
}
