package bpf

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// Sweep takes off what is attached to workloads of a folder of which the cgroup or the network namespace has gone: it does nothing any more, and has memory.
func Sweep(home string) error {
	return each(home, func(pins string, cgroup uint64, ns uint32) error {
		if cgroup == 0 || ns == 0 {
			return Detach(pins)
		}
		return nil
	})
}

// replaceOthers takes off what is on a workload's cgroup under another name: of a network namespace that it has had before, and of which nobody has said
// that it has gone. Two sets would capture twice.
func replaceOthers(w Workload) error {
	var own unix.Stat_t
	if err := unix.Stat(w.Cgroup, &own); err != nil {
		return fmt.Errorf("bpf: %w", err)
	}
	return each(filepath.Dir(w.Pins), func(pins string, cgroup uint64, _ uint32) error {
		if cgroup == own.Ino && pins != filepath.Clean(w.Pins) {
			return Detach(pins)
		}
		return nil
	})
}

// each shows the workloads of a folder, each with the number of its cgroup and of its network namespace, 0 if that has gone. Those that are not attached
// as a whole are left out: somebody may be about it.
func each(home string, do func(pins string, cgroup uint64, ns uint32) error) error {
	all, err := os.ReadDir(home)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("bpf: %w", err)
	}
	var errs []error
	for _, one := range all {
		pins := filepath.Join(home, one.Name())
		out, err := infoOf(filepath.Join(pins, "link-connect4"))
		if err != nil {
			continue
		}
		in, err := infoOf(filepath.Join(pins, "link-inbound"))
		if err != nil {
			continue
		}
		if group, ns := out.Cgroup(), in.NetNs(); group != nil && ns != nil {
			errs = append(errs, do(pins, group.CgroupId, ns.NetnsInode))
		}
	}
	return errors.Join(errs...)
}

func infoOf(path string) (*link.Info, error) {
	l, err := link.LoadPinnedLink(path, nil)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	return l.Info()
}
