package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// process is a running weft (or Envoy: the demo asks for nothing that only one of them has).
type process struct {
	pid    int
	log    string        // file with what it wrote to standard error
	exited chan struct{} // closed when it has ended
	err    error         // how, once exited is closed
}

// stopGrace is how long weft may take to obey SIGTERM.
const stopGrace = 5 * time.Second

// start runs path in a process group of its own: a Ctrl-C on the terminal is ours to answer, traffic first, weft after it. Should we
// die without a chance to, the kernel ends it.
func start(path string, args []string, log string) (*process, error) {
	file, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("demo: opening the log of weft: %w", err)
	}
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = file, file
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	p := &process{log: log, exited: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		// The death signal comes when the thread ends that started the child (prctl(2), PR_SET_PDEATHSIG), so it stays as long as the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer file.Close()
		if err := cmd.Start(); err != nil {
			started <- fmt.Errorf("demo: starting %s: %w", path, err)
			return
		}
		p.pid = cmd.Process.Pid
		started <- nil
		p.err = cmd.Wait()
		close(p.exited)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// ended says how the process ended; exited must be closed.
func (p *process) ended() error {
	if p.err != nil {
		return fmt.Errorf("demo: weft ended by itself: %w", p.err)
	}
	return fmt.Errorf("demo: weft ended by itself: exit status 0")
}

// stop ends the process and what it may have started (its group), and waits for it.
func (p *process) stop() {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		select {
		case <-p.exited:
			return
		default:
		}
		// Until exited is closed the leader has not been waited for, or is just being: its group cannot have become another's yet.
		syscall.Kill(-p.pid, signal)
		timer := time.NewTimer(stopGrace)
		select {
		case <-p.exited:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// tailBytes bounds what is shown of a log.
const tailBytes = 8 << 10

// tail is the last lines of a log, at most n of them.
func tail(path string, n int) string {
	file, err := os.Open(path)
	if err != nil {
		return err.Error() + "\n"
	}
	defer file.Close()
	if info, err := file.Stat(); err == nil && info.Size() > tailBytes {
		file.Seek(-tailBytes, io.SeekEnd)
	}
	text, err := io.ReadAll(io.LimitReader(file, tailBytes))
	if err != nil {
		return err.Error() + "\n"
	}
	lines := bytes.SplitAfter(text, []byte("\n"))
	// What follows the last line end is a line only if something stands there.
	if len(lines[len(lines)-1]) == 0 {
		lines = lines[:len(lines)-1]
	}
	return string(bytes.Join(lines[max(0, len(lines)-n):], nil))
}
