package proc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// CPUs returns the processors this process may use, lowest first.
func CPUs() ([]int, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, fmt.Errorf("proc: allowed processors: %w", err)
	}
	var cpus []int
	for cpu := range len(set) * strconv.IntSize {
		if set.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	return cpus, nil
}

// RaiseFiles raises the limit of open descriptors to at least n, for this process and its children.
// It goes through package syscall because os/exec gives children the limit from before the start of
// the runtime unless that package was told of a new one.
func RaiseFiles(n uint64) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("proc: limit of open files: %w", err)
	}
	limit.Max = max(limit.Max, n)
	limit.Cur = max(limit.Cur, n)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("proc: raise the limit of open files to %d: %w; raise the hard limit (ulimit -Hn) or run as root", n, err)
	}
	return nil
}

// A Command says what to start.
type Command struct {
	Path   string
	Args   []string
	Env    []string // added to this process's own
	Dir    string
	CPUs   []int         // the processors it may use, from its first instruction on
	Input  []byte        // what it reads first; its input stays open until Release
	Stdout chan<- []byte // lines, each without its end; nil: kept with stderr for Log
	Enter  func() error  // moves the thread that starts it, into another namespace; nil: it stays
	User   uint32        // whose it is; 0: ours
	Cgroup *os.File      // of the unified hierarchy, that it is in from the beginning; nil: ours
}

// A Process is a started child. It ends with this process at the latest.
type Process struct {
	cmd    *exec.Cmd
	input  io.WriteCloser
	output *tail
	done   chan struct{}
	err    error
}

// Start runs c. The child inherits the processors of the thread that forks it, so the thread is
// moved there and back; pinning a running child would miss the threads it already has.
func Start(ctx context.Context, c Command) (*Process, error) {
	p := &Process{
		cmd:    exec.CommandContext(ctx, c.Path, c.Args...),
		output: &tail{},
		done:   make(chan struct{}),
	}
	p.cmd.Dir = c.Dir
	p.cmd.Env = append(os.Environ(), c.Env...)
	p.cmd.Stdout, p.cmd.Stderr = p.output, p.output
	if c.Stdout != nil {
		p.cmd.Stdout = &lines{to: c.Stdout}
	}
	var err error
	if p.input, err = p.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("proc: start %s: %w", p.cmd.Path, err)
	}
	// SIGTERM, not SIGKILL: a killed nginx master would leave its worker behind.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if c.User != 0 {
		p.cmd.SysProcAttr.Credential = &syscall.Credential{Uid: c.User, Gid: c.User}
	}
	if c.Cgroup != nil {
		p.cmd.SysProcAttr.UseCgroupFD, p.cmd.SysProcAttr.CgroupFD = true, int(c.Cgroup.Fd())
	}
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.WaitDelay = stopLimit

	start := func() error { return startOn(p.cmd, c.CPUs) }
	if c.Enter != nil {
		start = func() error { return startWithin(p.cmd, c.Enter, c.CPUs) }
	}
	if err := start(); err != nil {
		return nil, fmt.Errorf("proc: start %s: %w", p.cmd.Path, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	if _, err := p.input.Write(c.Input); err != nil {
		p.Stop(nil)
		return nil, fmt.Errorf("proc: input of %s: %w; it said: %s", p.cmd.Path, err, p.Log())
	}
	return p, nil
}

// Tell writes more input.
func (p *Process) Tell(b []byte) error {
	if _, err := p.input.Write(b); err != nil {
		return fmt.Errorf("proc: input of %s: %w; it said: %s", p.cmd.Path, err, p.Log())
	}
	return nil
}

func startOn(cmd *exec.Cmd, cpus []int) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, want unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return err
	}
	for _, cpu := range cpus {
		want.Set(cpu)
	}
	if err := unix.SchedSetaffinity(0, &want); err != nil {
		return fmt.Errorf("move to processors %v: %w", cpus, err)
	}
	err := cmd.Start()
	return errors.Join(err, unix.SchedSetaffinity(0, &before))
}

// startWithin is startOn on a thread that has been moved, and that stays as long as the child: the child's death signal comes when it ends.
func startWithin(cmd *exec.Cmd, enter func() error, cpus []int) error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked
		err := enter()
		if err == nil {
			err = startOn(cmd, cpus)
		}
		started <- err
		if err == nil {
			unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		}
	}()
	return <-started
}

// PID is the child's process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the child has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Release closes the child's input.
func (p *Process) Release() { p.input.Close() }

// Wait waits for the child's own end, at most limit.
func (p *Process) Wait(limit time.Duration) error {
	select {
	case <-p.done:
		return p.err
	case <-time.After(limit):
		return fmt.Errorf("proc: still running after %v", limit)
	}
}

// Log is the last of what the child said, at most 4 KiB.
func (p *Process) Log() string { return p.output.String() }

// stopLimit is how long a child may take to end by itself.
const stopLimit = 3 * time.Second

// Stop ends the child: politely first, by force after 3 s. The pids are children of its own that a
// forced end would orphan.
func (p *Process) Stop(own []int) {
	p.Release()
	p.cmd.Process.Signal(syscall.SIGTERM)
	if p.Wait(stopLimit) == nil {
		return
	}
	select {
	case <-p.done:
		return
	default:
	}
	for _, pid := range own {
		if pid != p.PID() {
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	p.cmd.Process.Kill()
	<-p.done
}

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const tailSize = 4096

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if over := len(t.text) - tailSize; over > 0 {
		t.text = append(t.text[:0], t.text[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.text))
}

// lines sends every whole line to a channel; a line that nobody takes within stopLimit is an error.
type lines struct {
	to   chan<- []byte
	rest []byte
}

const longestLine = 64 << 10

func (l *lines) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	for {
		line, rest, ok := bytes.Cut(l.rest, []byte{'\n'})
		if !ok {
			break
		}
		select {
		case l.to <- bytes.Clone(line):
		case <-time.After(stopLimit):
			return 0, errors.New("proc: nobody reads the child's output")
		}
		l.rest = rest
	}
	if len(l.rest) > longestLine {
		return 0, fmt.Errorf("proc: a line of more than %d bytes", longestLine)
	}
	return len(p), nil
}
