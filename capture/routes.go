package capture

import (
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// applyRoutes makes what rules alone cannot: packets with TPROXY's mark are taken for this host's own, and the loopback interface has the address that
// the inbound side connects from. What is there already stays. IPv4 needs no such address, since the whole of 127.0.0.0/8 is the host's.
func applyRoutes(p Plan) error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("the interface lo: %w", err)
	}
	if p.IPv6 {
		switch err := netlink.AddrAdd(lo, sourceAddress()); {
		case errors.Is(err, unix.EPERM):
			return fmt.Errorf("address ::6 on lo: %w: %s", err, wantsAdmin)
		case err != nil && !errors.Is(err, unix.EEXIST):
			return fmt.Errorf("address ::6 on lo: %w: is IPv6 switched off here (sysctl net.ipv6.conf.all.disable_ipv6)?", err)
		}
	}
	if p.Mark == 0 {
		return nil
	}
	for _, f := range p.families() {
		there, err := markRules(f, p)
		if err != nil {
			return err
		}
		if len(there) == 0 {
			if err := netlink.RuleAdd(markRule(f, p)); err != nil && !errors.Is(err, unix.EEXIST) {
				return fmt.Errorf("ip rule for mark %d: %w: this kernel may lack CONFIG_IP_MULTIPLE_TABLES", p.Mark, err)
			}
		}
		if err := netlink.RouteReplace(markRoute(f, p, lo)); err != nil {
			return fmt.Errorf("ip route in table %d: %w", p.RouteTable, err)
		}
	}
	return nil
}

// cleanRoutes takes away what applyRoutes has made and p does not want, of both versions of IP: the rule and the route for its mark, and the address
// unless p captures IPv6.
func cleanRoutes(p Plan) error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("the interface lo: %w", err)
	}
	var errs []error
	gone := func(err error) bool {
		return err == nil || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.EAFNOSUPPORT)
	}
	if !p.IPv6 {
		if err := netlink.AddrDel(lo, sourceAddress()); !gone(err) {
			errs = append(errs, fmt.Errorf("address ::6 on lo: %w", err))
		}
	}
	for _, f := range []Family{IPv4, IPv6} {
		there, err := markRules(f, p)
		if err != nil {
			continue // no such family here
		}
		for _, r := range there {
			if err := netlink.RuleDel(&r); !gone(err) {
				errs = append(errs, fmt.Errorf("ip rule for mark %d: %w", p.Mark, err))
			}
		}
		if err := netlink.RouteDel(markRoute(f, p, lo)); !gone(err) {
			errs = append(errs, fmt.Errorf("ip route in table %d: %w", p.RouteTable, err))
		}
	}
	return errors.Join(errs...)
}

// missingRoutes are those of the plan that are not there.
func missingRoutes(p Plan) ([]string, error) {
	var list []string
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return nil, fmt.Errorf("the interface lo: %w", err)
	}
	if p.IPv6 {
		there, err := netlink.AddrList(lo, netlink.FAMILY_V6)
		if err != nil {
			return nil, err
		}
		found := false
		for _, a := range there {
			found = found || a.IP.Equal(sourceAddress().IP)
		}
		if !found {
			list = append(list, "the address ::6 on lo")
		}
	}
	if p.Mark == 0 {
		return list, nil
	}
	for _, f := range p.families() {
		there, err := markRules(f, p)
		if err != nil {
			return nil, err
		}
		if len(there) == 0 {
			list = append(list, fmt.Sprintf("IPv%d: ip rule fwmark %d lookup %d", f, p.Mark, p.RouteTable))
		}
		routes, err := netlink.RouteListFiltered(int(f.number()), &netlink.Route{Table: int(p.RouteTable)}, netlink.RT_FILTER_TABLE)
		if err != nil {
			return nil, err
		}
		if len(routes) == 0 {
			list = append(list, fmt.Sprintf("IPv%d: ip route local default dev lo table %d", f, p.RouteTable))
		}
	}
	return list, nil
}

// Routes are what a plan wants beside its rules, as commands.
func (p Plan) Routes() []string {
	var list []string
	if p.IPv6 {
		list = append(list, "ip -6 addr add ::6/128 dev lo")
	}
	if p.Mark != 0 {
		for _, f := range p.families() {
			list = append(list, fmt.Sprintf("ip -%d rule add fwmark %d lookup %d", f, p.Mark, p.RouteTable), fmt.Sprintf("ip -%d route add local default dev lo table %d", f, p.RouteTable))
		}
	}
	return list
}

func (p Plan) families() []Family {
	if p.IPv6 {
		return []Family{IPv4, IPv6}
	}
	return []Family{IPv4}
}

func (f Family) number() int {
	if f == IPv6 {
		return unix.AF_INET6
	}
	return unix.AF_INET
}

// sourceAddress is there at once: on lo there is nobody else who could have it.
func sourceAddress() *netlink.Addr {
	return &netlink.Addr{Flags: unix.IFA_F_NODAD, IPNet: &net.IPNet{IP: inboundSource6.Addr().AsSlice(), Mask: net.CIDRMask(128, 128)}}
}

func markRule(f Family, p Plan) *netlink.Rule {
	r := netlink.NewRule()
	r.Family, r.Table, r.Mark = f.number(), int(p.RouteTable), p.Mark
	return r
}

func markRules(f Family, p Plan) ([]netlink.Rule, error) {
	all, err := netlink.RuleList(f.number())
	if err != nil {
		return nil, fmt.Errorf("ip rules: %w", err)
	}
	var list []netlink.Rule
	for _, r := range all {
		if r.Mark == p.Mark && r.Table == int(p.RouteTable) && p.Mark != 0 {
			list = append(list, r)
		}
	}
	return list, nil
}

func markRoute(f Family, p Plan, lo netlink.Link) *netlink.Route {
	_, all, _ := net.ParseCIDR("0.0.0.0/0")
	if f == IPv6 {
		_, all, _ = net.ParseCIDR("::/0")
	}
	return &netlink.Route{Family: f.number(), Dst: all, Scope: netlink.SCOPE_HOST, Type: unix.RTN_LOCAL, Table: int(p.RouteTable), LinkIndex: lo.Attrs().Index}
}
