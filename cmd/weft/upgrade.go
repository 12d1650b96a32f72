package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/weftmesh/weft/proxy/handover"
)

// upgraded is the command line of a process that takes the place of one that runs: that one's own, with the next epoch, and where it runs.
func upgraded(args []string) ([]string, error) {
	if len(args) != 1 {
		return nil, errors.New("want the process id of a weft that runs: weft upgrade PID")
	}
	pid, err := strconv.Atoi(args[0])
	if err != nil {
		return nil, fmt.Errorf("%q is no process id", args[0])
	}
	places, err := placesOf(pid)
	if err != nil {
		return nil, err
	}
	for _, name := range places {
		self, err := handover.Ask(name)
		if err != nil {
			continue // a place that it had, and that is another's now
		}
		if err := os.Chdir(self.Dir); err != nil {
			return nil, err
		}
		next := without(self.Args, "restart-epoch", "base-id", "use-dynamic-base-id")
		return append(next, "--base-id", strconv.FormatUint(uint64(self.BaseID), 10), "--restart-epoch", strconv.FormatUint(uint64(self.Epoch)+1, 10)), nil
	}
	return nil, fmt.Errorf("process %d is no weft that waits for a successor (is it another user's, or has it --disable-hot-restart?)", pid)
}

// placesOf are the sockets of a process that may be a place.
func placesOf(pid int) (names []string, err error) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	links, err := os.ReadDir(filepath.Join(dir, "fd"))
	if err != nil {
		return nil, fmt.Errorf("process %d: %w", pid, err)
	}
	has := map[string]bool{}
	for _, l := range links {
		if to, err := os.Readlink(filepath.Join(dir, "fd", l.Name())); err == nil {
			if inode, ok := strings.CutPrefix(to, "socket:["); ok {
				has[strings.TrimSuffix(inode, "]")] = true
			}
		}
	}
	table, err := os.ReadFile(filepath.Join(dir, "net", "unix"))
	if err != nil {
		return nil, fmt.Errorf("process %d: %w", pid, err)
	}
	for line := range strings.Lines(string(table)) {
		// Num RefCount Protocol Flags Type St Inode Path
		if f := strings.Fields(line); len(f) == 8 && has[f[6]] && strings.Contains(f[7], "_weft_") {
			names = append(names, f[7])
		}
	}
	return names, nil
}

// without leaves flags out of a command line, in all forms in which they may stand there. The last of them is a switch, which has no value.
func without(args []string, names ...string) (left []string) {
	for i := 0; i < len(args); i++ {
		name, _, whole := strings.Cut(strings.TrimLeft(args[i], "-"), "=")
		at := -1
		for k, n := range names {
			if strings.HasPrefix(args[i], "-") && name == n {
				at = k
			}
		}
		switch {
		case at < 0:
			left = append(left, args[i])
		case !whole && at < len(names)-1:
			i++
		}
	}
	return left
}
