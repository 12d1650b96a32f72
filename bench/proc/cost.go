package proc

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// CPUTime sums the CPU clocks of the processes: user and system time of all their threads, those
// that ended included, in nanoseconds. The clock of a process has the id (~pid << 3) | 2
// (CPUCLOCK_SCHED in the kernel's terms); reading it brings running threads up to date.
func CPUTime(pids []int) (time.Duration, error) {
	var sum time.Duration
	for _, pid := range pids {
		var ts unix.Timespec
		if err := unix.ClockGettime(int32(^pid<<3|2), &ts); err != nil {
			return 0, fmt.Errorf("proc: CPU clock of a process: %w", err)
		}
		sum += time.Duration(ts.Nano())
	}
	return sum, nil
}

// Resident sums the resident memory of the processes, in bytes. What a master and its worker share
// is counted in both.
func Resident(pids []int) (int64, error) {
	var sum int64
	for _, pid := range pids {
		kib, err := statusField(fmt.Sprintf("/proc/%d/status", pid), "VmRSS")
		if err != nil {
			return 0, err
		}
		sum += kib << 10
	}
	return sum, nil
}

// Switches sums the context switches of all threads of the processes, voluntary or not: how often
// one of them was put on a processor.
func Switches(pids []int) (int64, error) {
	var sum int64
	for _, pid := range pids {
		tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
		if err != nil {
			return 0, fmt.Errorf("proc: threads of a process: %w", err)
		}
		for _, task := range tasks {
			for _, field := range []string{"voluntary_ctxt_switches", "nonvoluntary_ctxt_switches"} {
				n, err := statusField(fmt.Sprintf("/proc/%d/task/%s/status", pid, task.Name()), field)
				if err != nil {
					return 0, err
				}
				sum += n
			}
		}
	}
	return sum, nil
}

func statusField(file, field string) (int64, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, fmt.Errorf("proc: status of a process: %w", err)
	}
	for line := range bytes.Lines(text) {
		name, value, _ := bytes.Cut(line, []byte{':'})
		if string(name) != field {
			continue
		}
		words := bytes.Fields(value)
		if len(words) == 0 {
			break
		}
		return strconv.ParseInt(string(words[0]), 10, 64)
	}
	return 0, fmt.Errorf("proc: status of a process: no field %s", field)
}

// Children returns the processes whose parent is pid. They are found by looking at all processes,
// because the kernel's own list of children is an option that not every kernel has.
func Children(pid int) ([]int, error) {
	all, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("proc: processes: %w", err)
	}
	var children []int
	for _, entry := range all {
		child, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		parent, err := statusField(fmt.Sprintf("/proc/%d/status", child), "PPid")
		if err == nil && int(parent) == pid {
			children = append(children, child)
		}
	}
	return children, nil
}
