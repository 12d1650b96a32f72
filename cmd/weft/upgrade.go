package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/weftmesh/weft/proxy/handover"
)

const upgradeHead = `weft upgrade takes the place of a weft that runs, with its own command line, and loses nothing. This program is the one that serves from then on: another version, say. It stays in the
foreground, and the other one ends by itself when its clients have had --drain-time-s to go (a sidecar: drainDuration of PROXY_CONFIG, 45 s).

Usage:
  weft upgrade PID

It has to be of the same user, in the same network namespace, and see the other one's /proc. A sidecar or a gateway is upgraded with the environment that it was started with. In a pod the container ends
with its first process: there a second container of the pod takes the place, by weft sidecar --take-over (WEFT_TAKE_OVER=true). A sidecar that has started its application keeps its place.

Examples:
  weft upgrade 4711                       take the place of process 4711
  weft upgrade $(pgrep -o -x weft)        of the one that has run for longest
  weft sidecar --take-over                of whichever sidecar runs here, or be the first
`

// upgraded is the command line of a process that takes the place of one that runs: that one's own, with the next epoch, and where it runs. Of a sidecar it does not return: this process is another one
// of it then, in its environment.
func upgraded(args []string) ([]string, error) {
	if len(args) != 1 {
		return nil, errors.New("want the process id of a weft that runs: weft upgrade PID")
	}
	pid, err := strconv.Atoi(args[0])
	if err != nil {
		return nil, fmt.Errorf("%q is no process id", args[0])
	}
	if err := sameUser(pid); err != nil {
		return nil, err
	}
	places, err := placesOf(pid)
	if err != nil {
		return nil, err
	}
	var wrong error
	for _, name := range places {
		self, err := handover.Ask(name)
		if err != nil {
			wrong = errors.Join(wrong, err) // such as of a place that it had, and that is another's now
			continue
		}
		if self.Refuses != "" {
			return nil, errors.New(self.Refuses)
		}
		if err := os.Chdir(self.Dir); err != nil {
			return nil, err
		}
		if len(self.Args) > 0 && slices.Contains(sidecarWords, self.Args[0]) {
			return nil, become(pid, self.Args)
		}
		next := without(self.Args, "restart-epoch", "base-id", "use-dynamic-base-id")
		return append(next, "--base-id", strconv.FormatUint(uint64(self.BaseID), 10), "--restart-epoch", strconv.FormatUint(uint64(self.Epoch)+1, 10)), nil
	}
	if wrong != nil {
		return nil, fmt.Errorf("process %d does not give its place, as one does not before it is ready: %w", pid, wrong)
	}
	return nil, fmt.Errorf("process %d is no weft that waits for a successor (has it --disable-hot-restart?)", pid)
}

// sidecarWords are those that begin the command lines of sidecars and gateways.
var sidecarWords = []string{"sidecar", "gateway", agentName}

// become has this process be a sidecar that takes the place of the one of that process id, whose environment says what it is.
func become(pid int, args []string) error {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "environ"))
	if err != nil {
		return fmt.Errorf("its environment says what it is: %w", err)
	}
	var env []string
	for one := range strings.SplitSeq(strings.TrimSuffix(string(text), "\x00"), "\x00") {
		switch name, value, _ := strings.Cut(one, "="); {
		case name == "SYSTEMD_EXEC_PID" && value == strconv.Itoa(pid): // systemd.exec(5)
			return fmt.Errorf("process %d is a service of systemd, which would take its end for the service's, and end this one, too: systemctl restart, with a moment in which nobody serves, is the way", pid)
		case name != "WEFT_TAKE_OVER":
			env = append(env, one)
		}
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	return syscall.Exec(program, append([]string{"weft"}, args...), append(env, "WEFT_TAKE_OVER=true"))
}

// sameUser says whether a process is of our user, to whom alone it gives its place.
func sameUser(pid int) error {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return fmt.Errorf("process %d: %w", pid, err)
	}
	for line := range strings.Lines(string(text)) {
		// Uid: real effective saved filesystem
		if f := strings.Fields(line); len(f) > 1 && f[0] == "Uid:" && f[1] != strconv.Itoa(os.Getuid()) {
			return fmt.Errorf("process %d is of user %s, and this one of user %d: run it as that user, with the same rights (setpriv --reuid %[2]s …)", pid, f[1], os.Getuid())
		}
	}
	return nil
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
