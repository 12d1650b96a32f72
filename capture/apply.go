package capture

import (
	"errors"
	"fmt"
	"os/exec"

	"github.com/weftmesh/weft/capture/bpf"
)

// backend is who carries a plan out.
type backend interface {
	name() string
	// apply makes what is there as planned, and does nothing where it is, which it says. Force does it all the same.
	apply(p Plan, force bool) (was bool, err error)
	// compare says what is not as planned.
	compare(p Plan) (Difference, error)
	// foreign are the rules of others that come before ours.
	foreign(p Plan) ([]string, error)
	// ours says that something of ours is there.
	ours() (bool, error)
	// clean takes it away, and says that there was something.
	clean() (bool, error)
}

type byXTables struct{ xtables }

func (b byXTables) name() string {
	if b.variant == "" {
		return BackendIPTables
	}
	return BackendIPTables + "-" + b.variant
}

// each gives what is there of either version of IP. Where IPv6 is not captured it may have been: what is left of that goes.
func (b byXTables) each(p Plan, do func(f Family, is state) error) error {
	for _, f := range []Family{IPv4, IPv6} {
		is, err := b.save(f)
		if err != nil {
			if f == IPv6 && !p.IPv6 {
				continue // no ip6tables, no rules of ours in it
			}
			return err
		}
		if err := do(f, is); err != nil {
			return err
		}
	}
	return nil
}

func (b byXTables) apply(p Plan, force bool) (bool, error) {
	texts := map[Family]string{}
	// Both are read before either is written: what cannot be read is found out while nobody is captured half.
	err := b.each(p, func(f Family, is state) error {
		texts[f] = p.replace(f, is, force)
		return nil
	})
	for _, f := range []Family{IPv4, IPv6} {
		if err == nil && texts[f] != "" {
			err = b.restore(f, texts[f])
		}
	}
	return err == nil && texts[IPv4]+texts[IPv6] == "", err
}

func (b byXTables) compare(p Plan) (Difference, error) {
	var all Difference
	err := b.each(p, func(f Family, is state) error {
		for _, table := range tables {
			d := p.compare(f, table, is)
			all.Missing, all.Surplus = append(all.Missing, d.Missing...), append(all.Surplus, d.Surplus...)
		}
		return nil
	})
	return all, err
}

func (b byXTables) foreign(p Plan) (list []string, err error) {
	err = b.each(p, func(f Family, is state) error {
		for _, table := range tables {
			for _, chain := range []string{prerouting, output} {
				list = append(list, before(fmt.Sprintf("IPv%d %s %s: ", f, table, chain), is[table][chain])...)
			}
		}
		return nil
	})
	more, missing := beforeNFT(p, false)
	if missing != nil && !errors.Is(missing, errNoKernel) {
		err = errors.Join(err, missing)
	}
	return append(list, more...), err
}

func (b byXTables) ours() (bool, error) {
	found := false
	err := b.each(Plan{}, func(_ Family, is state) error {
		found = found || is.ours()
		return nil
	})
	return found, err
}

func (b byXTables) clean() (bool, error) {
	found := false
	err := b.each(Plan{}, func(f Family, is state) error {
		if !is.ours() {
			return nil
		}
		found = true
		return b.restore(f, Plan{}.replace(f, is, false))
	})
	return found, err
}

type byNFTables struct{}

func (byNFTables) name() string { return BackendNFTables }

func (b byNFTables) apply(p Plan, force bool) (bool, error) {
	if !force {
		if d, err := compareNFT(p); err != nil || d.none() {
			return err == nil, err
		}
	}
	return false, applyNFT(p)
}

func (byNFTables) compare(p Plan) (Difference, error) { return compareNFT(p) }

func (byNFTables) foreign(p Plan) ([]string, error) { return beforeNFT(p, true) }

func (byNFTables) ours() (bool, error) {
	c, err := dialNFT()
	if err != nil {
		return false, nftError(err)
	}
	names, err := ownNFTTables(c)
	return len(names) > 0, err
}

func (b byNFTables) clean() (bool, error) {
	found, err := b.ours()
	if err != nil || !found {
		return false, err
	}
	return true, applyNFT(Plan{})
}

// choose is who carries plans out, and why, in a line; and the others, who may have done so before.
func choose(o Options) (chosen backend, why string, others []backend, err error) {
	x, missing := findXTables(o)
	tables, nft := byXTables{x}, byNFTables{}
	absent := errors.Is(missing, exec.ErrNotFound)
	switch {
	case o.Backend == BackendNFTables:
		chosen, why = nft, "nftables over netlink, as asked"
	case absent && o.Backend == BackendIPTables:
		return nil, "", nil, fmt.Errorf("--backend is iptables, and there is no %s here: install iptables, or take --backend nftables, which needs no program", x.program(IPv4, "-save"))
	case absent && o.Binary == "":
		chosen, why = nft, "nftables over netlink: there is no iptables here"
	case missing != nil:
		return nil, "", nil, missing
	case o.Backend == BackendIPTables:
		chosen, why = tables, tables.name()+", as asked: "+x.why
	default:
		chosen, why = tables, tables.name()+": "+x.why
		if there, err := nft.ours(); err == nil && there {
			if by, err := tables.ours(); err == nil && !by {
				chosen, why = nft, "nftables over netlink: what was applied before is there"
			}
		}
	}
	for _, b := range everybody() {
		if b.name() != chosen.name() {
			others = append(others, b)
		}
	}
	return chosen, why, others, nil
}

// Apply has the kernel capture what the settings say. What is as planned is left alone, what is not is replaced in one transaction for each table (by
// iptables) or for all (by nftables), and rules of ours that another backend has are taken away afterwards. After an error the same call mends
// what stands half, and Clean takes it away. It returns who carried it out and why.
func Apply(o Options) (string, error) {
	if err := held(o.Settings); err != nil {
		return "", err
	}
	without := ""
	if o.Backend == BackendEBPF {
		err := applyPrograms(o)
		if err == nil {
			return "ebpf, as asked", nil
		}
		if !errors.Is(err, bpf.ErrUnsupported) {
			return "", err
		}
		// One line says why, and rules carry on.
		without, o.Backend = fmt.Sprintf(" (not by ebpf: %v)", err), BackendAuto
	}
	b, why, others, err := choose(o)
	if err != nil {
		return "", err
	}
	why += without
	p := Make(o.Settings)
	half := func(err error) error {
		return fmt.Errorf("%w (what was done before that stands: apply again, or weft capture clean)", err)
	}
	// Routes first: rules that mark packets lose them without.
	if err := applyRoutes(p); err != nil {
		return why, half(err)
	}
	if err := applied(b, p, o.Force); err != nil {
		return why, half(err)
	}
	for _, other := range others {
		if there, err := other.clean(); there && err != nil { // where it cannot be looked, it cannot have been used
			return why, half(fmt.Errorf("rules that %s has from before: %w", other.name(), err))
		}
	}
	if _, err := cleanPrograms(); err != nil {
		return why, half(err)
	}
	if p.Mark == 0 { // it may have been TPROXY before
		if err := cleanRoutes(Plan{Mark: o.Mark, RouteTable: o.RouteTable, IPv6: p.IPv6}); err != nil {
			return why, half(err)
		}
	}
	return why, nil
}

// maxAttempts bounds how often a plan is applied until it stands. Others may change the same tables in between, another apply among them.
const maxAttempts = 4

// applied applies a plan until it finds it there: what a kernel has taken is looked at.
func applied(b backend, p Plan, force bool) error {
	var err error
	for range maxAttempts {
		was := false
		if was, err = b.apply(p, force); was || errors.Is(err, errNoKernel) || errors.Is(err, exec.ErrNotFound) {
			return err
		}
		force = false
	}
	if err == nil {
		err = fmt.Errorf("%s has taken it %d times, and it is not as planned: somebody else changes these tables", b.name(), maxAttempts)
	}
	return err
}

// Clean takes away all that is ours, whoever has carried it out, and nothing else. It returns what was there, in words.
func Clean(o Options) ([]string, error) {
	var done []string
	var errs []error
	for _, b := range everybody() {
		there, err := b.clean()
		switch {
		case errors.Is(err, errNoKernel): // nothing can be there
		case err != nil:
			errs = append(errs, err)
		case there:
			done = append(done, b.name())
		}
	}
	if there, err := cleanPrograms(); err != nil {
		errs = append(errs, err)
	} else if there {
		done = append(done, BackendEBPF)
	}
	if err := cleanRoutes(Plan{Mark: o.Mark, RouteTable: o.RouteTable}); err != nil {
		errs = append(errs, err)
	}
	return done, errors.Join(errs...)
}

// everybody is each backend that there is here.
func everybody() []backend {
	var list []backend
	for _, variant := range []string{"legacy", "nft", ""} {
		x := xtables{variant: variant}
		if variant == "" && len(list) > 0 { // it is one of the two
			break
		}
		if _, err := exec.LookPath(x.program(IPv4, "-save")); err == nil {
			list = append(list, byXTables{x})
		}
	}
	return append(list, byNFTables{})
}
