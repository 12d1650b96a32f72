package capture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// commandWait bounds one command of iptables, and how long iptables-legacy waits for the lock of the host.
const commandWait = 30 * time.Second

// wantsAdmin is what to do about a refusal for want of rights.
const wantsAdmin = "capture wants the capability NET_ADMIN, and NET_RAW for iptables: name them in securityContext.capabilities.add of the container, run as root, or leave the capture to a CNI plugin"

// errNoKernel says that the kernel has none of what a backend wants: nothing can be there by it.
var errNoKernel = errors.New("this kernel has no nftables: load nf_tables on the node, or take iptables-legacy by --force-iptables-binary")

// xtables is one variant of iptables and ip6tables: those that keep their rules in nftables, or those of old.
type xtables struct {
	variant string // nft, legacy, or empty for whatever iptables is
	env     []string
	why     string
}

func (x xtables) program(f Family, what string) string {
	name := "iptables"
	if f == IPv6 {
		name = "ip6tables"
	}
	if x.variant != "" {
		name += "-" + x.variant
	}
	return name + what
}

// run runs a program of iptables; its text is what it is told.
func (x xtables) run(f Family, what, text string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), commandWait)
	defer cancel()
	name := x.program(f, what)
	c := exec.CommandContext(ctx, name, args...)
	c.Stdin = strings.NewReader(text)
	c.Env = append(os.Environ(), x.env...)
	var out, complaint bytes.Buffer
	c.Stdout, c.Stderr = &out, &complaint
	err := c.Run()
	if err == nil {
		return out.String(), nil
	}
	said := strings.Join(strings.Fields(complaint.String()), " ")
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return "", fmt.Errorf("%w: install it, or take --backend nftables, which needs no program", err)
	case ctx.Err() != nil:
		return "", fmt.Errorf("%s did not end within %s: something may hold the lock of iptables", name, commandWait)
	case strings.Contains(said, "ermission denied"), strings.Contains(said, "must be root"):
		return "", fmt.Errorf("%s: %s: %s", name, said, wantsAdmin)
	case strings.Contains(said, "generation id"): // of nftables, which is asked first of all
		return "", fmt.Errorf("%s: %s: %w", name, said, errNoKernel)
	case strings.Contains(said, "missing kernel module"), strings.Contains(said, "does not exist"), strings.Contains(said, "not supported"), strings.Contains(said, "No such file"):
		return "", fmt.Errorf("%s: %s: the kernel lacks a module: load it on the node (modprobe xt_REDIRECT xt_owner xt_multiport, and xt_TPROXY xt_CT xt_conntrack where they are used), or take --backend nftables", name, said)
	}
	return "", fmt.Errorf("%s: %w: %s", name, err, said)
}

// save is what is in the kernel. What legacy tables there are is said without a program: there are none in most namespaces.
func (x xtables) save(f Family) (state, error) {
	if x.variant == "legacy" {
		names, err := os.ReadFile(map[Family]string{IPv4: "/proc/thread-self/net/ip_tables_names", IPv6: "/proc/thread-self/net/ip6_tables_names"}[f])
		if err == nil && len(names) == 0 || errors.Is(err, os.ErrNotExist) {
			_, err := exec.LookPath(x.program(f, "-save"))
			return state{}, err
		}
	}
	text, err := x.run(f, "-save", "")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(text) {
		// It leaves the table out, and ends well.
		if strings.HasPrefix(line, "#") && strings.Contains(line, "incompatible") {
			return nil, fmt.Errorf("%s: %s: somebody has put rules there by nft that iptables cannot show, so that ours cannot be told from them: move those to a table of their own", x.program(f, "-save"), strings.TrimSpace(line[1:]))
		}
	}
	return readSave(text), nil
}

// restore carries out text: each of its tables at once, or not at all.
func (x xtables) restore(f Family, text string) error {
	args := []string{"--noflush"}
	if x.variant == "legacy" {
		args = append(args, "-w", "30")
	}
	_, err := x.run(f, "-restore", text, args...)
	return err
}

// rules says that a state has rules of anybody.
func (s state) rules() bool {
	for _, t := range s {
		for _, list := range t {
			if len(list) > 0 {
				return true
			}
		}
	}
	return false
}

// findXTables is the variant to use: the one that is asked for, else legacy where it has rules already, for two variants beside each other would both be
// walked; else the one on nftables; else what iptables is here. It is Istio's order, too.
func findXTables(o Options) (xtables, error) {
	var env []string
	if o.OwnLock && o.Namespace != "" {
		env = append(env, "XTABLES_LOCKFILE="+o.Namespace)
	}
	try := func(variant, why string) (xtables, state, error) {
		x := xtables{variant: variant, env: env, why: why}
		s, err := x.save(IPv4)
		return x, s, err
	}
	if o.Binary != "" {
		x, _, err := try(o.Binary, "as --force-iptables-binary asks")
		if errors.Is(err, exec.ErrNotFound) {
			err = fmt.Errorf("--force-iptables-binary is %s, and there is no %s here", o.Binary, x.program(IPv4, "-save"))
		}
		return x, err
	}
	if x, s, err := try("legacy", "iptables-legacy has rules here already"); err == nil && s.rules() {
		return x, nil
	}
	x, _, err := try("nft", "iptables-nft is here, and iptables-legacy has no rules")
	if err == nil {
		return x, nil
	}
	if x, _, plain := try("", "there is only the one iptables"); plain == nil {
		return x, nil
	}
	if x, _, legacy := try("legacy", "the kernel has no nftables"); legacy == nil && errors.Is(err, errNoKernel) {
		return x, nil
	}
	return x, err
}
