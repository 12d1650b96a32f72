package demo

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// somebody is a user who may do nothing in particular.
const somebody = 1042

// built is the folder of the programs, once they are.
var built string

// programs are built once, where every user finds them.
var programs = sync.OnceValues(func() (dir string, err error) {
	if dir, err = os.MkdirTemp("", "weft-demo-programs-"); err != nil {
		return "", err
	}
	built = dir
	out, err := exec.Command("go", "build", "-o", dir, "github.com/weftmesh/weft/cmd/weft", "github.com/weftmesh/weft/cmd/weftd", "github.com/weftmesh/weft/cmd/weftctl").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, out)
	}
	return dir, errors.Join(err, os.Chmod(dir, 0o755))
})

func TestMain(m *testing.M) {
	code := m.Run()
	if built != "" {
		os.RemoveAll(built)
	}
	os.Exit(code)
}

// walked is a demo that runs.
type walked struct {
	t    *testing.T
	cmd  *exec.Cmd
	home string // with all of its files
	done chan struct{}

	mu  sync.Mutex
	out bytes.Buffer
}

func (w *walked) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.out.Write(b)
}

func (w *walked) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.out.String()
}

// kinds are the grounds, and who may have them.
var kinds = []struct {
	name, first string
	user        uint32
}{
	{"namespaces", "ground: network namespaces, with the traffic of each captured\n", 0},
	{"loopback", "ground: loopback addresses, without capture, since this machine does not allow namespaces: ground: a network namespace: operation not permitted\n", somebody},
}

// walk starts a demo as a user, with a terminal or without one.
func walk(t *testing.T, user uint32, terminal *os.File, args ...string) *walked {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("the demo is tested as root, who can be anybody else")
	}
	dir, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	home, err := os.MkdirTemp("", "weft-demo-home-") // not the test's own, to which nobody else finds a way
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	if err := errors.Join(os.Chmod(home, 0o755), os.Chown(home, int(user), int(user))); err != nil {
		t.Fatal(err)
	}
	w := &walked{t: t, home: home, done: make(chan struct{}), cmd: exec.Command(filepath.Join(dir, "weftctl"), append([]string{"demo"}, args...)...)}
	w.cmd.Dir, w.cmd.Env = home, []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TMPDIR=" + home, "TERM=xterm", "NO_COLOR=1"}
	w.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user}, Setsid: true}
	if w.cmd.Stdout, w.cmd.Stderr = w, w; terminal != nil {
		w.cmd.Stdin, w.cmd.Stdout, w.cmd.Stderr, w.cmd.SysProcAttr.Setctty = terminal, terminal, terminal, true
	}
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { w.cmd.Wait(); close(w.done) }()
	t.Cleanup(func() {
		w.cmd.Process.Kill()
		<-w.done
	})
	return w
}

// shows waits until it has said something, and does do between two looks.
func (w *walked) shows(limit time.Duration, what string, do func()) {
	w.t.Helper()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	end, done := time.Now().Add(limit), w.done
	for !strings.Contains(w.text(), what) {
		do()
		select {
		case <-tick.C:
		case <-done: // what it wrote last may still be under way through a terminal
			end, done = time.Now().Add(2*time.Second), nil
		}
		if time.Now().After(end) {
			w.t.Fatalf("no %q within %v (%v): %s", what, limit, w.cmd.ProcessState, w.text())
		}
	}
}

// ends waits for the end, and looks that it left nothing: no process, no file but a report, and none of the namespaces.
func (w *walked) ends(namespaces []string) {
	w.t.Helper()
	select {
	case <-w.done:
	case <-time.After(20 * time.Second):
		w.t.Fatalf("it does not end: %s", w.text())
	}
	if code := w.cmd.ProcessState.ExitCode(); code != 0 {
		w.t.Errorf("exit code %d: %s", code, w.text())
	}
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		w.t.Fatal(err)
	}
	for _, p := range all {
		if line, _ := os.ReadFile(filepath.Join(p, "cmdline")); bytes.Contains(line, []byte(w.home)) {
			w.t.Errorf("%s is left: %q", p, line)
		}
		if len(namespaces) == 0 {
			continue
		}
		filepath.WalkDir(filepath.Join(p, "fd"), func(path string, _ fs.DirEntry, _ error) error {
			if to, _ := os.Readlink(path); to != "" && strings.Contains(strings.Join(namespaces, " "), to) {
				w.t.Errorf("%s holds %s", path, to)
			}
			return nil
		})
	}
	if left, _ := filepath.Glob(filepath.Join(w.home, "weft-demo-*")); len(left) > 0 {
		w.t.Errorf("%q are left", left)
	}
}

// held are the namespaces that it has, by their names in the kernel.
func (w *walked) held() (names []string) {
	w.t.Helper()
	all, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", w.cmd.Process.Pid))
	if err != nil {
		w.t.Fatal(err)
	}
	for _, fd := range all {
		if to, _ := os.Readlink(fd); strings.HasPrefix(to, "net:") {
			names = append(names, to)
		}
	}
	return names
}

// TestEveryStepHolds walks unattended on either ground, and then looks in by what is printed, as it is printed.
func TestEveryStepHolds(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel() // most of it is waiting for certificates to be renewed
			w := walk(t, kind.user, nil, "--once", "--keep", "--requests", "100", "--rate", "200")
			w.shows(80*time.Second, "\n  files ", func() {})
			text := w.text()
			if !strings.HasPrefix(text, kind.first) {
				t.Errorf("it begins with %.200q: want %q", text, kind.first)
			}
			if held := strings.Count(text, "  held  "); held != len(steps) {
				t.Errorf("%d of %d steps held", held, len(steps))
			}
			doors := regexp.MustCompile(`(?m)^  (?:look|try|    )  (.*)$`).FindAllStringSubmatch(text, -1)
			if len(doors) != 3 {
				t.Fatalf("%d doors", len(doors))
			}
			for i, want := range []string{"hello-v1.demo", "outbound|", answers[0]} {
				c := exec.Command("sh", "-c", doors[i][1])
				c.Env, c.SysProcAttr = w.cmd.Env, &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: kind.user, Gid: kind.user}}
				if out, err := c.CombinedOutput(); err != nil || !strings.Contains(string(out), want) {
					t.Errorf("%s: %v, %s: want %q", doors[i][1], err, out, want)
				}
			}
			namespaces := w.held()
			if want := map[bool]int{true: 6, false: 0}[kind.user == 0]; len(namespaces) != want {
				t.Errorf("it holds the namespaces %q: want %d", namespaces, want)
			}
			w.cmd.Process.Signal(syscall.SIGINT)
			w.ends(namespaces)
			if text := w.text(); !strings.Contains(text, " requests, 0 lost\n") {
				t.Errorf("it ends with %s", text[max(0, len(text)-500):])
			}
		})
	}
}

// terminalPair is a pseudo-terminal of 120 columns and 40 rows: our end, and the program's.
func terminalPair(t *testing.T) (ours, theirs *os.File) {
	t.Helper()
	ours, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ours.Close() })
	number, err := unix.IoctlGetInt(int(ours.Fd()), unix.TIOCGPTN)
	if err = errors.Join(err, unix.IoctlSetPointerInt(int(ours.Fd()), unix.TIOCSPTLCK, 0),
		unix.IoctlSetWinsize(int(ours.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 40, Col: 120})); err != nil {
		t.Fatal(err)
	}
	theirs, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { theirs.Close() })
	return ours, theirs
}

// TestOnATerminal watches the live view, has the next step come by Enter, and leaves by Ctrl-C.
func TestOnATerminal(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			ours, theirs := terminalPair(t)
			before, err := unix.IoctlGetTermios(int(theirs.Fd()), unix.TCGETS)
			if err != nil {
				t.Fatal(err)
			}
			w := walk(t, kind.user, theirs, "--step", "1h", "--requests", "100")
			go io.Copy(w, ours)
			none := func() {}
			w.shows(40*time.Second, "\x1b[?1049h", none)
			w.shows(20*time.Second, "▶ 1  all to v1", none)
			w.shows(20*time.Second, "next in 3", none) // … seconds: it is looked at, and waits
			w.shows(20*time.Second, "▶ 2  canary 90/10", func() { ours.Write([]byte("\n")) })
			w.shows(20*time.Second, "✓ 1  all to v1", none)
			if frames := strings.Count(w.text(), "\x1b[H"); frames < 3 {
				t.Errorf("%d frames", frames)
			}
			namespaces := w.held()
			ours.Write([]byte{3}) // Ctrl-C
			w.ends(namespaces)
			w.shows(5*time.Second, " requests, 0 lost", none)
			text := w.text()
			if strings.LastIndex(text, "\x1b[?1049l") < strings.LastIndex(text, "\x1b[?1049h") || strings.LastIndex(text, "\x1b[?25h") < strings.LastIndex(text, "\x1b[?25l") || strings.LastIndex(text, "\x1b[?7h") < strings.LastIndex(text, "\x1b[?7l") {
				t.Errorf("the screen is not given back: %q", text[max(0, len(text)-300):])
			}
			after, err := unix.IoctlGetTermios(int(theirs.Fd()), unix.TCGETS)
			if err != nil || *after != *before {
				t.Errorf("the terminal was %+v, and is %+v, %v", before, after, err)
			}
		})
	}
}
