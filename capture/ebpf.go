package capture

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/weftmesh/weft/capture/bpf"
)

// pinsBelow is where programs are kept that capture, by the network namespace that they are of.
const pinsBelow = "/sys/fs/bpf/weft-capture"

// ErrPrograms is that programs cannot do what settings want, which rules can.
var ErrPrograms = errors.New("leave it out, or take iptables or nftables")

// pins is the folder of the namespace that we are in.
func pins() (string, error) { return pinsOf("/proc/thread-self/ns/net") }

// pinsOf is that of another one.
func pinsOf(ns string) (string, error) {
	var s unix.Stat_t
	if err := unix.Stat(ns, &s); err != nil {
		return "", fmt.Errorf("the network namespace: %w", err)
	}
	return filepath.Join(pinsBelow, fmt.Sprint(s.Ino)), nil
}

// programs are settings as the programs have them. What those cannot do is refused.
func (o Options) programs() (c bpf.Config, err error) {
	s := o.Settings
	for what, is := range map[string]bool{
		"ISTIO_OUTBOUND_OWNER_GROUPS and _EXCLUDE": !s.Groups.All || len(s.ExcludedGroups) > 0, "--istio-exclude-interfaces": len(s.ExcludedInterfaces) > 0, "--kube-virt-interfaces": len(s.VirtualInterfaces) > 0,
		"--drop-invalid": s.DropInvalid,
	} {
		if is {
			return c, fmt.Errorf("--backend ebpf does nothing with %s: %w", what, ErrPrograms)
		}
	}
	addresses, err := hostAddresses()
	if err != nil {
		return c, err
	}
	c = bpf.Config{
		OutboundPort: s.ProxyPort, InboundPort: s.InboundPort, Users: s.ProxyUIDs, Groups: s.ProxyGIDs, AllOutbound: s.OutboundRanges.All, Ranges: s.OutboundRanges.List, LeftRanges: s.ExcludedOutboundRanges,
		OutboundPorts: s.OutboundPorts, LeftOutboundPorts: s.ExcludedOutboundPorts, AllInbound: s.InboundPorts.All, InboundPorts: s.InboundPorts.List, LeftInboundPorts: []uint16{s.TunnelPort}, ShortCuts: o.ShortCuts, OnlyIPv4: !s.IPv6, // which is left alone then, as by rules
	}
	if s.InboundPorts.All {
		c.LeftInboundPorts = append(c.LeftInboundPorts, s.ExcludedInboundPorts...)
	}
	if s.DNS {
		c.NamesPort, c.AllNames, c.Resolvers = DNSPort, s.AllDNS, s.Resolvers
	}
	for _, ip := range addresses {
		if !ip.IsLoopback() {
			c.Own = append(c.Own, ip.Unmap().WithZone(""))
		}
	}
	return c, nil
}

// applyPrograms has programs capture. Rules of ours from before go when those are in force.
func applyPrograms(o Options) error {
	c, err := o.programs()
	if err != nil {
		return err
	}
	dir, err := pins()
	if err != nil {
		return err
	}
	if err := applyRoutes(Plan{IPv6: o.IPv6}); err != nil { // the address that the proxy talks to the application from
		return err
	}
	if err := bpf.Attach(bpf.Workload{Cgroup: o.Cgroup, NetNS: "/proc/thread-self/ns/net", Pins: dir}, c); err != nil {
		return err
	}
	for _, b := range everybody() {
		if there, err := b.clean(); there && err != nil {
			return fmt.Errorf("rules that %s has from before: %w (the programs are in force: clean, or apply again)", b.name(), err)
		}
	}
	return cleanRoutes(Plan{Mark: o.Mark, RouteTable: o.RouteTable, IPv6: o.IPv6})
}

// cleanPrograms takes programs away, and says that there were some.
func cleanPrograms() (bool, error) {
	dir, err := pins()
	if err != nil {
		return false, err
	}
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return true, bpf.Detach(dir)
}

// ByPrograms says whether programs capture in the network namespace that we are in, or some of them are there.
func ByPrograms() bool {
	dir, err := pins()
	if err == nil {
		_, err = os.Stat(dir)
	}
	return err == nil
}

// Forget takes away programs that have captured in a network namespace that is about to go, and those of namespaces and cgroups that have gone. That there are none
// is no error, nor is a path that leads nowhere. Rules go with their namespace.
func Forget(ns string) error {
	if dir, err := pinsOf(ns); err == nil {
		if err := bpf.Detach(dir); err != nil {
			return err
		}
	}
	return bpf.Sweep(pinsBelow)
}

// checkPrograms says whether programs capture.
func checkPrograms(o Options) (Report, error) {
	r := Report{Backend: BackendEBPF, Why: "programs on the cgroup and the network namespace, as asked", Escapes: Escapes(o.Settings)}
	if _, err := o.programs(); err != nil {
		return r, err
	}
	dir, err := pins()
	if err != nil {
		return r, err
	}
	s, err := bpf.Look(dir)
	if err != nil {
		return r, err
	}
	switch {
	case !s.Whole:
		r.Missing = append(r.Missing, "programs, or some of them: apply")
	case !s.Listens && !o.InboundPorts.None():
		r.Held = fmt.Sprintf("nobody listens at port %d who has begun to since this was applied: nobody is let in; start the proxy (anew)", o.InboundPort)
	}
	for _, b := range everybody() {
		if there, err := b.ours(); err == nil && there {
			r.Elsewhere = append(r.Elsewhere, b.name())
		}
	}
	return r, nil
}
