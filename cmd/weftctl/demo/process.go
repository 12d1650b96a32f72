package demo

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/weftmesh/weft/ground"
)

// process is one that runs.
type process struct {
	name   string // for people
	pid    int
	log    string        // file with what it wrote to standard error
	exited chan struct{} // closed when it has ended
	err    error         // how, once exited is closed
}

// stopGrace is how long weft may take to obey SIGTERM.
const stopGrace = 5 * time.Second

// program is what is run, and where.
type program struct {
	path string
	args []string
	env  []string // beside what it needs to be found
	dir  string
	log  string       // file for what it says
	at   *ground.Plot // nil: the machine's own namespace
	user uint32       // 0: ours
}

// start runs a program in a process group of its own: a Ctrl-C on the terminal is ours to answer, traffic first, weft after it. Should we
// die without a chance to, the kernel ends it.
func start(what program) (*process, error) {
	path, log := what.path, what.log
	file, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("demo: opening the log of weft: %w", err)
	}
	if what.user != 0 { // it opens that once more, as /dev/stdout, where events are logged
		if err := file.Chown(int(what.user), int(what.user)); err != nil {
			file.Close()
			return nil, fmt.Errorf("demo: the log of weft: %w", err)
		}
	}
	cmd := exec.Command(path, what.args...)
	cmd.Stdout, cmd.Stderr = file, file
	cmd.Dir, cmd.Env = what.dir, append([]string{"PATH=" + os.Getenv("PATH")}, what.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if what.user != 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: what.user, Gid: what.user}
	}
	p := &process{name: filepath.Base(path), log: log, exited: make(chan struct{})}
	if what.at != nil {
		p.name = what.at.Name
	}
	started := make(chan error, 1)
	go func() {
		// The death signal comes when the thread ends that started the child (prctl(2), PR_SET_PDEATHSIG), so it stays as long as the child.
		// It may be in a namespace of its own and is never unlocked, so that it goes with us.
		runtime.LockOSThread()
		defer file.Close()
		if what.at != nil {
			if err := what.at.Enter(); err != nil {
				started <- fmt.Errorf("demo: starting %s in the namespace of %s: %w", path, what.at.Name, err)
				return
			}
		}
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
		return fmt.Errorf("demo: the process of %s ended by itself: %w", p.name, p.err)
	}
	return fmt.Errorf("demo: the process of %s ended by itself: exit status 0", p.name)
}

// kill ends it as a machine that fails does.
func (p *process) kill() {
	syscall.Kill(-p.pid, syscall.SIGKILL)
	<-p.exited
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
