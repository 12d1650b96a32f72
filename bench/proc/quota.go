package proc

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ErrNoQuota says that this machine or this user cannot make a control group with a CPU quota.
var ErrNoQuota = errors.New("proc: no control group")

// A Quota is a control group that allows its processes a share of one processor.
type Quota struct {
	group string // its directory
	mount string // the mount it needed, or ""
}

// quotaPeriod is the kernel's and Kubernetes' default, so that throttling looks as it does in a pod.
const quotaPeriod = 100 * time.Millisecond

// NewQuota makes a control group with cores (0.2: a fifth of one processor) by the cpu controller of
// control groups v1 where that is mounted, else of v2; where neither is, it mounts one for itself.
// An error that is ErrNoQuota says why there can be none here.
func NewQuota(cores float64) (*Quota, error) {
	if os.Geteuid() != 0 {
		return nil, fmt.Errorf("%w: only root can make one", ErrNoQuota)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoQuota, err)
	}
	q := &Quota{}
	root, v2 := findController(string(mounts))
	if root == "" {
		if root, v2, err = mountController(); err != nil {
			return nil, err
		}
		q.mount = root
	}
	if err := q.make(root, v2, cores); err != nil {
		q.Close()
		return nil, fmt.Errorf("%w: %w", ErrNoQuota, err)
	}
	return q, nil
}

func (q *Quota) make(root string, v2 bool, cores float64) error {
	if v2 {
		// Already on, or ours to switch on; without it the group has no cpu.max and says so below.
		os.WriteFile(filepath.Join(root, "cgroup.subtree_control"), []byte("+cpu"), 0)
	}
	group := filepath.Join(root, fmt.Sprintf("weft-bench-%d", os.Getpid()))
	if err := os.Mkdir(group, 0o755); err != nil {
		return bare(err)
	}
	q.group = group
	period := quotaPeriod.Microseconds()
	quota := int64(cores * float64(period))
	if v2 {
		return q.write("cpu.max", fmt.Sprintf("%d %d", quota, period))
	}
	if err := q.write("cpu.cfs_period_us", strconv.FormatInt(period, 10)); err != nil {
		return err
	}
	return q.write("cpu.cfs_quota_us", strconv.FormatInt(quota, 10))
}

func (q *Quota) write(file, value string) error {
	return bare(os.WriteFile(filepath.Join(q.group, file), []byte(value), 0))
}

// bare drops the path from a file error: reports name no path of the machine.
func bare(err error) error {
	if pe, ok := errors.AsType[*os.PathError](err); ok {
		return fmt.Errorf("%s %s: %w", pe.Op, filepath.Base(pe.Path), pe.Err)
	}
	return err
}

// Add moves the processes, with all their threads, into the group.
func (q *Quota) Add(pids []int) error {
	for _, pid := range pids {
		if err := q.write("cgroup.procs", strconv.Itoa(pid)); err != nil {
			return fmt.Errorf("proc: put a process into its control group: %w", err)
		}
	}
	return nil
}

// Close removes the group, whose processes must have ended, and the mount if it needed one.
func (q *Quota) Close() error {
	var err error
	if q.group != "" {
		// The kernel lets go of the last process a moment after its parent has seen it end.
		for range 50 {
			if err = os.Remove(q.group); !errors.Is(err, unix.EBUSY) {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	if q.mount != "" {
		err = errors.Join(err, unix.Unmount(q.mount, unix.MNT_DETACH), os.Remove(q.mount))
	}
	return err
}

// findController looks in the text of a mountinfo for a hierarchy with the cpu controller.
func findController(mountinfo string) (root string, v2 bool) {
	var unified string
	lines := bufio.NewScanner(strings.NewReader(mountinfo))
	for lines.Scan() {
		// "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - type source options" (proc(5))
		before, after, ok := strings.Cut(lines.Text(), " - ")
		place, kind := strings.Fields(before), strings.Fields(after)
		if !ok || len(place) < 5 || len(kind) < 3 {
			continue
		}
		switch {
		case kind[0] == "cgroup" && slices.Contains(strings.Split(kind[2], ","), "cpu"):
			return place[4], false
		case kind[0] == "cgroup2" && hasCPU(place[4]):
			unified = place[4]
		}
	}
	return unified, unified != ""
}

func hasCPU(root string) bool {
	text, err := os.ReadFile(filepath.Join(root, "cgroup.controllers"))
	return err == nil && slices.Contains(strings.Fields(string(text)), "cpu")
}

// mountController mounts the cpu controller on a directory of our own: v2 if it has it, else v1.
func mountController() (root string, v2 bool, err error) {
	root, err = os.MkdirTemp("", "weft-bench-group")
	if err != nil {
		return "", false, fmt.Errorf("%w: %w", ErrNoQuota, bare(err))
	}
	if err = unix.Mount("cgroup2", root, "cgroup2", 0, ""); err == nil {
		if hasCPU(root) {
			return root, true, nil
		}
		unix.Unmount(root, unix.MNT_DETACH)
	}
	if err = unix.Mount("cgroup", root, "cgroup", 0, "cpu"); err == nil {
		return root, false, nil
	}
	os.Remove(root)
	return "", false, fmt.Errorf("%w: no cpu controller is mounted, and mounting one failed: %w", ErrNoQuota, err)
}
