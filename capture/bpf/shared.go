package bpf

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// common are the maps by which the workloads of a node find the other ends of their connections.
var common = []string{"sockets", "reads"}

// commonDir is their folder beside those of workloads. Its number is that of what is in them: programs that have other maps have other folders, and no
// short cuts to those of before.
const commonDir = "short-1"

// share gives the maps that all workloads have whose pins are beside each other's, and makes what is not there. Whoever has called it closes them.
func share(pins string, spec *ebpf.CollectionSpec) (maps map[string]*ebpf.Map, err error) {
	unlock, err := lock(filepath.Dir(pins))
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := os.MkdirAll(pins, 0o700); err != nil { // before the last of the others goes, which would take them away
		return nil, fmt.Errorf("bpf: %w", err)
	}
	dir := filepath.Join(filepath.Dir(pins), commonDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("bpf: %w", err)
	}
	maps = map[string]*ebpf.Map{}
	for _, name := range common {
		path := filepath.Join(dir, name)
		m, err := ebpf.LoadPinnedMap(path, nil)
		if errors.Is(err, os.ErrNotExist) {
			if m, err = ebpf.NewMap(spec.Maps[name]); err == nil {
				err = m.Pin(path)
			}
		}
		if m != nil {
			maps[name] = m
		}
		if err != nil {
			closeAll(maps)
			return nil, fmt.Errorf("bpf: short cuts: %s: %w", name, explained(err))
		}
	}
	return maps, nil
}

func closeAll(maps map[string]*ebpf.Map) {
	for _, m := range maps {
		m.Close()
	}
}

// leave takes away a workload's folder, and what all have shared if it was the last one.
func leave(pins string) error {
	home := filepath.Dir(pins)
	unlock, err := lock(home)
	if err != nil {
		return err
	}
	defer unlock()
	if err := os.Remove(pins); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("bpf: %w", err)
	}
	all, err := os.ReadDir(home)
	if err != nil {
		return fmt.Errorf("bpf: %w", err)
	}
	others := slices.ContainsFunc(all, func(one os.DirEntry) bool { return one.IsDir() && one.Name() != commonDir })
	if !others {
		if err := os.RemoveAll(filepath.Join(home, commonDir)); err != nil {
			return fmt.Errorf("bpf: %w", err)
		}
	}
	return nil
}

// lock keeps others out of a folder until unlock.
func lock(dir string) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err == nil {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX) // held for the time of a few system calls
	}
	if err != nil {
		return nil, fmt.Errorf("bpf: %w", err)
	}
	return func() { f.Close() }, nil
}
