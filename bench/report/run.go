package report

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weftmesh/weft/bench/scenarios"
)

// A Run is everything a report tells: what was measured, where, and how.
type Run struct {
	Date     time.Time
	Machine  Machine
	Versions []Version // the contestants, in their order
	Rounds   int
	Measure  time.Duration
	Outcomes []scenarios.Outcome
}

// Version names a contestant.
type Version struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// Machine says what the numbers depend on, and nothing that tells whose machine it is.
type Machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Kernel string `json:"kernel"`
	Go     string `json:"go"`
}

// ThisMachine describes the machine it runs on.
func ThisMachine() (Machine, error) {
	m := Machine{CPU: "unknown processor", Cores: runtime.NumCPU(), Go: strings.TrimPrefix(runtime.Version(), "go")}
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return m, fmt.Errorf("report: kernel version: %w", err)
	}
	// Only the number: what a distribution appends may name a host or a build.
	m.Kernel, _, _ = strings.Cut(unix.ByteSliceToString(name.Release[:]), "-")
	info, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return m, fmt.Errorf("report: processor: %w", err)
	}
	defer info.Close()
	lines := bufio.NewScanner(info)
	for lines.Scan() {
		if field, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(field) == "model name" {
			m.CPU = strings.TrimSpace(value)
			break
		}
	}
	return m, lines.Err()
}

// header is the text above every report, a fact a line.
func (r Run) header() []string {
	var versions []string
	for _, v := range r.Versions {
		versions = append(versions, v.Name+" "+v.Version)
	}
	return []string{
		"Date: " + r.Date.Format(time.DateOnly),
		fmt.Sprintf("Machine: %s, %d cores, Linux %s, Go %s", r.Machine.CPU, r.Machine.Cores, r.Machine.Kernel, r.Machine.Go),
		"Contestants: " + strings.Join(versions, ", "),
		"Method: " + r.method(),
	}
}

func (r Run) method() string {
	return fmt.Sprintf("proxy alone on one core with one thread, load and upstream on another; "+
		"CPU per request is the proxy's process CPU clock (all threads and workers) over the requests the client saw complete; "+
		"rounds are interleaved (%d of %v each, a fresh process every time), figures are medians (min..max), ratios are of medians of this run. "+
		"Requests a second and latencies are indicative only: the machine is shared. "+
		"Loopback delivery is charged to the sender, and so is part of the cost. "+
		"The floor is weft passing the same bytes on as TCP, reading none of them: what the system calls of a proxy cost here.", r.Rounds, r.Measure)
}
