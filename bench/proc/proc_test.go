package proc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// The test binary plays the child: what it does is in the variable.
const childPart = "WEFT_PROC_TEST_CHILD"

func TestMain(m *testing.M) {
	switch os.Getenv(childPart) {
	case "":
		os.Exit(m.Run())
	case "affinity":
		cpus, err := CPUs()
		fmt.Println(cpus, err)
	case "echo":
		var word string
		fmt.Scan(&word)
		fmt.Println(word)
		fmt.Fprintln(os.Stderr, "complaint")
		fmt.Scan(&word) // until the input ends
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("deaf")
		<-time.After(time.Hour)
	}
}

func child(t *testing.T, part, input string, cpus []int) (*Process, <-chan []byte) {
	t.Helper()
	said := make(chan []byte, 10)
	p, err := Start(t.Context(), Command{
		Path: os.Args[0], Env: []string{childPart + "=" + part}, CPUs: cpus, Input: []byte(input), Stdout: said,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Stop(nil) })
	return p, said
}

func hear(t *testing.T, said <-chan []byte) string {
	t.Helper()
	select {
	case line := <-said:
		return string(line)
	case <-time.After(20 * time.Second):
		t.Fatal("the child says nothing")
		return ""
	}
}

func TestChildRunsWhereItIsPut(t *testing.T) {
	cpus, err := CPUs()
	if err != nil || len(cpus) == 0 {
		t.Fatalf("processors %v, %v", cpus, err)
	}
	for _, cpu := range cpus {
		_, said := child(t, "affinity", "", []int{cpu})
		if got, want := hear(t, said), fmt.Sprintf("[%d] <nil>", cpu); got != want {
			t.Errorf("the child may use %s, want %s", got, want)
		}
	}
	after, err := CPUs()
	if diff := cmp.Diff(cpus, after); diff != "" || err != nil {
		t.Errorf("starting a child moved its parent: %v %s", err, diff)
	}
}

func TestInputOutputAndEnd(t *testing.T) {
	cpus, _ := CPUs()
	p, said := child(t, "echo", "hello\n", cpus)
	if got := hear(t, said); got != "hello" {
		t.Errorf("the child says %q", got)
	}
	p.Release()
	if err := p.Wait(20 * time.Second); err != nil {
		t.Error(err)
	}
	if got := p.Log(); !strings.Contains(got, "complaint") {
		t.Errorf("log %q", got)
	}
}

func TestStopByForce(t *testing.T) {
	cpus, _ := CPUs()
	p, said := child(t, "stubborn", "", cpus)
	hear(t, said)
	p.Stop(nil)
	select {
	case <-p.Done():
		if exit, ok := errors.AsType[*exec.ExitError](p.err); !ok || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Errorf("it ended by %v, want by force", p.err)
		}
	default:
		t.Error("still running after Stop")
	}
}

func TestCosts(t *testing.T) {
	cpus, _ := CPUs()
	p, said := child(t, "echo", "ready\n", cpus)
	hear(t, said)
	me, pid := []int{os.Getpid()}, []int{p.PID()}

	before, err := CPUTime(me)
	if err != nil {
		t.Fatal(err)
	}
	own := func() time.Duration {
		var ts unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &ts); err != nil {
			t.Fatal(err)
		}
		return time.Duration(ts.Nano())
	}
	for end := before + 20*time.Millisecond; own() < end; {
	}
	after, err := CPUTime(me)
	if err != nil || after < before+20*time.Millisecond || after > own() {
		t.Errorf("the clock went from %v to %v, this process's own is at %v: %v", before, after, own(), err)
	}
	both, err := CPUTime(append(me, pid...))
	if err != nil || both <= after {
		t.Errorf("two processes took %v, one %v: %v", both, after, err)
	}
	if rss, err := Resident(pid); err != nil || rss < 1<<20 || rss > 1<<30 {
		t.Errorf("resident %d bytes: %v", rss, err)
	}
	if n, err := Switches(pid); err != nil || n < 1 {
		t.Errorf("%d context switches: %v", n, err)
	}
	if children, err := Children(os.Getpid()); err != nil || !slices.Contains(children, p.PID()) {
		t.Errorf("children %v, want %d among them: %v", children, p.PID(), err)
	}
	p.Stop(nil)
	if _, err := Resident(pid); err == nil {
		t.Error("memory of a process that is gone: no error")
	}
}

func TestFindController(t *testing.T) {
	const (
		v1    = "30 24 0:26 / /groups/cpu rw,nosuid - cgroup cgroup rw,cpu,cpuacct\n"
		other = "31 24 0:27 / /groups/cpuset rw - cgroup cgroup rw,cpuset\n"
		v2    = "32 24 0:28 / /groups/none rw shared:4 - cgroup2 cgroup2 rw\n"
		junk  = "x\n1 2 3 / - cgroup\n\n"
	)
	for _, c := range []struct{ name, mounts, want string }{
		{"v1", junk + other + v1, "/groups/cpu"},
		{"other controllers only", other + junk, ""},
		{"v2 without the controller", v2, ""},
		{"v1 before v2", v2 + v1, "/groups/cpu"},
		{"none", "", ""},
	} {
		if got, unified := findController(c.mounts); got != c.want || unified {
			t.Errorf("%s: found %q (v2: %v), want %q", c.name, got, unified, c.want)
		}
	}
}

// Where a control group can be made, a process in it gets its share and no more; where it cannot,
// the error says so.
func TestQuota(t *testing.T) {
	q, err := NewQuota(0.2)
	if errors.Is(err, ErrNoQuota) {
		t.Logf("no control groups here: %v", err)
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	cpus, _ := CPUs()
	p, said := child(t, "echo", "ready\n", cpus)
	hear(t, said)
	if err := q.Add([]int{p.PID()}); err != nil {
		t.Error(err)
	}
	groups, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", p.PID()))
	if want := fmt.Sprintf("weft-bench-%d", os.Getpid()); err != nil || !strings.Contains(string(groups), want) {
		t.Errorf("the child is in %s, want %s: %v", groups, want, err)
	}
	p.Stop(nil)
	if err := q.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(q.group); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the group is still there: %v", err)
	}
}

func TestCancelledContextEndsTheChild(t *testing.T) {
	cpus, _ := CPUs()
	ctx, cancel := context.WithCancel(context.Background())
	p, err := Start(ctx, Command{Path: os.Args[0], Env: []string{childPart + "=echo"}, CPUs: cpus})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	select {
	case <-p.Done():
	case <-time.After(20 * time.Second):
		t.Error("still running")
		p.Stop(nil)
	}
}
