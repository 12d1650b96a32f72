package bpf

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// Workload is what is captured.
type Workload struct {
	Cgroup string // its folder in the unified hierarchy (v2): of the application and of the proxy
	NetNS  string // its network namespace, such as /proc/PID/ns/net
	Pins   string // the folder of a BPF file system that has what is attached, and outlives us; made here. Workloads with short cuts to each other have theirs in one folder
}

// kept are the maps that one set of programs hands to the next, so that nobody who is about to be connected, who listens, or who has a short cut, is forgotten.
var kept = []string{"wanted", "flows", "listeners", "ends"}

// Attach has the kernel capture a workload, from now on and until Detach; whoever has called it may end. What was attached to it by an earlier call is
// replaced: there is no moment at which nothing is captured. A workload is captured as a whole, or, with an error, as before.
//
// The proxy has to begin to listen after that, or to be known from an earlier call: until then, and when it is gone, nobody is let in.
func Attach(w Workload, c Config) (err error) {
	spec, err := loadKernel()
	if err != nil {
		return fmt.Errorf("bpf: %w", err)
	}
	var parts kernelSpecs
	if err := spec.Assign(&parts); err != nil {
		return fmt.Errorf("bpf: %w", err)
	}
	if err := c.constants(&parts); err != nil {
		return err
	}
	if err := makeHome(w.Pins); err != nil {
		return err
	}
	replaced := map[string]*ebpf.Map{}
	defer func() { closeAll(replaced) }()
	if c.ShortCuts {
		if replaced, err = share(w.Pins, spec); err != nil {
			return err
		}
		defer func() {
			if err != nil {
				os.Remove(w.Pins) // which it lets us do if there is nothing in it
			}
		}()
	} else {
		for _, name := range []string{"senders", "sockets", "reads"} {
			spec.Maps[name].MaxEntries = 1 // nobody is put into them
		}
	}
	for _, name := range kept {
		m, err := ebpf.LoadPinnedMap(filepath.Join(w.Pins, name), nil)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("bpf: what is attached: %s: %w: take it off first (weft capture clean)", name, err)
		}
		replaced[name] = m
	}
	var k kernelObjects
	if err := spec.LoadAndAssign(&k, &ebpf.CollectionOptions{MapReplacements: replaced}); err != nil {
		return fmt.Errorf("bpf: this kernel does not take the programs: %w", explained(err))
	}
	defer k.Close()
	if err := c.fill(&k.kernelMaps); err != nil {
		return err
	}
	set, err := attach(w, &k, c.ShortCuts)
	if err != nil {
		return err
	}
	defer set.close() // what is pinned stays
	if err := set.pin(w.Pins, &k.kernelMaps); err != nil {
		return err
	}
	return replaceOthers(w)
}

// attached are the links of one call.
type attached []named

type named struct {
	name string
	link link.Link
}

func (a attached) close() {
	for _, one := range a {
		one.link.Close()
	}
}

// attach makes the links: those first that do nothing by themselves, and what goes out last, since the proxy can tell where it was to go only then.
func attach(w Workload, k *kernelObjects, shortCuts bool) (set attached, err error) {
	defer func() {
		if err != nil {
			set.close()
			set = nil
		}
	}()
	if shortCuts {
		if err := link.RawAttachProgram(link.RawAttachProgramOptions{Target: k.Senders.FD(), Program: k.Shorten, Attach: ebpf.AttachSkMsgVerdict}); err != nil {
			return set, fmt.Errorf("bpf: short cuts: %w", explained(err))
		}
	}
	for _, one := range []struct {
		name    string
		attach  ebpf.AttachType
		program *ebpf.Program
	}{
		{"hears", ebpf.AttachCGroupSetsockopt, k.Hears},
		{"follows", ebpf.AttachCGroupSockOps, k.Follows},
		{"original", ebpf.AttachCGroupGetsockopt, k.Original},
		{"recvmsg4", ebpf.AttachCGroupUDP4Recvmsg, k.Recvmsg4},
		{"recvmsg6", ebpf.AttachCGroupUDP6Recvmsg, k.Recvmsg6},
		{"getpeername4", ebpf.AttachCgroupInet4GetPeername, k.Getpeername4},
		{"getpeername6", ebpf.AttachCgroupInet6GetPeername, k.Getpeername6},
		{"sendmsg4", ebpf.AttachCGroupUDP4Sendmsg, k.Sendmsg4},
		{"sendmsg6", ebpf.AttachCGroupUDP6Sendmsg, k.Sendmsg6},
		{"connect4", ebpf.AttachCGroupInet4Connect, k.Connect4},
		{"connect6", ebpf.AttachCGroupInet6Connect, k.Connect6},
	} {
		l, err := link.AttachCgroup(link.CgroupOptions{Path: w.Cgroup, Attach: one.attach, Program: one.program})
		if err != nil {
			return set, fmt.Errorf("bpf: %s at %s: %w", one.name, w.Cgroup, explained(err))
		}
		set = append(set, named{one.name, l})
	}
	ns, err := os.Open(w.NetNS)
	if err != nil {
		return set, fmt.Errorf("bpf: the network namespace: %w", err)
	}
	defer ns.Close()
	l, err := link.AttachNetNs(int(ns.Fd()), k.Inbound)
	if err != nil {
		return set, fmt.Errorf("bpf: inbound at %s: %w", w.NetNS, explained(err))
	}
	return append(set, named{"inbound", l}), nil
}

// makeHome makes the folder that workloads' folders are in.
func makeHome(pins string) error {
	home := filepath.Dir(pins)
	there := home
	for _, err := os.Stat(there); err != nil && there != filepath.Dir(there); _, err = os.Stat(there) {
		there = filepath.Dir(there)
	}
	if !isBPF(there) {
		return fmt.Errorf("bpf: %w: %s is in no BPF file system: mount one (mount -t bpf bpf /sys/fs/bpf)", ErrUnsupported, pins)
	}
	if err := os.MkdirAll(home, 0o700); err != nil {
		return fmt.Errorf("bpf: %w", err)
	}
	return nil
}

// pin has the file system keep what is attached, in the place of what it has kept before.
func (a attached) pin(dir string, m *kernelMaps) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("bpf: %w", err)
	}
	for name, one := range map[string]*ebpf.Map{"wanted": m.Wanted, "flows": m.Flows, "listeners": m.Listeners, "ends": m.Ends} {
		if err := one.Pin(filepath.Join(dir, name)); err != nil && !errors.Is(err, os.ErrExist) {
			return fmt.Errorf("bpf: %w", err)
		}
	}
	// These are each set's own. A map of sockets has its programs as long as somebody holds it by a file or a name.
	for name, one := range map[string]*ebpf.Map{"counted": m.Counted, "senders": m.Senders} {
		path := filepath.Join(dir, name)
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("bpf: %w", err)
		}
		if err := one.Pin(path); err != nil {
			return fmt.Errorf("bpf: %w", err)
		}
	}
	for _, one := range a {
		path := filepath.Join(dir, "link-"+one.name)
		if err := unpin(path); err != nil { // ours is at work beside it by now
			return err
		}
		if err := one.link.Pin(path); err != nil {
			return fmt.Errorf("bpf: %w", err)
		}
	}
	return nil
}

// unpin takes off what the file system keeps there, if it does. It is off when unpin is back: with its name alone it would be so a moment later.
func unpin(path string) error {
	l, err := link.LoadPinnedLink(path, nil)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err == nil {
		defer l.Close()
		if err = l.Detach(); errors.Is(err, link.ErrNotSupported) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOLINK) { // its cgroup has gone, say
			err = nil
		}
	}
	if err == nil {
		err = os.Remove(path)
	}
	if err != nil {
		return fmt.Errorf("bpf: taking off %s: %w", filepath.Base(path), err)
	}
	return nil
}

// Detach takes all off that Attach has put on a workload, whole or not. That there is nothing is no error.
func Detach(pins string) error {
	entries, err := os.ReadDir(pins)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("bpf: %w", err)
	}
	// What sends connections to the proxy goes before what tells it where they were to go.
	for _, last := range []bool{false, true} {
		for _, one := range entries {
			if leads := strings.HasPrefix(one.Name(), "link-connect") || strings.HasPrefix(one.Name(), "link-sendmsg") || one.Name() == "link-inbound"; leads == last {
				continue
			}
			path := filepath.Join(pins, one.Name())
			if strings.HasPrefix(one.Name(), "link-") {
				err = unpin(path)
			} else if err = os.Remove(path); err != nil {
				err = fmt.Errorf("bpf: %w", err)
			}
			if err != nil {
				return err
			}
		}
	}
	return leave(pins)
}

// isBPF tells whether a folder is of a BPF file system.
func isBPF(dir string) bool {
	var s unix.Statfs_t
	return unix.Statfs(dir, &s) == nil && s.Type == unix.BPF_FS_MAGIC
}

// ErrUnsupported is that this kernel, or what we may do of it, has not what is wanted: rules can do what programs cannot.
var ErrUnsupported = errors.New("this kernel has not what programs want")

// explained says of an error of the kernel's what to do.
func explained(err error) error {
	switch {
	case errors.Is(err, unix.ENOSYS):
		return fmt.Errorf("%w: %w", ErrUnsupported, err)
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("%w: %w: it wants CAP_BPF, CAP_NET_ADMIN and, of older kernels, CAP_SYS_ADMIN", ErrUnsupported, err)
	case errors.Is(err, unix.EINVAL), errors.Is(err, ebpf.ErrNotSupported):
		return fmt.Errorf("%w: %w: it wants Linux 5.10 or newer with CONFIG_CGROUP_BPF, and a cgroup of the unified hierarchy", ErrUnsupported, err)
	}
	return err
}
