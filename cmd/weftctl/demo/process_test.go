package demo

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestProcessEndsByItself(t *testing.T) {
	p, err := start(program{path: "/bin/sh", args: []string{"-c", "for i in 1 2 3 4 5; do echo line $i >&2; done; exit 3"}, log: filepath.Join(t.TempDir(), "log")})
	if err != nil {
		t.Fatal(err)
	}
	<-p.exited
	if err := p.ended(); !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("it ended by %v: want exit status 3", err)
	}
	if got := tail(p.log, 2); got != "line 4\nline 5\n" {
		t.Errorf("the log ends in %q: want lines 4 and 5", got)
	}
	if got := tail(p.log, 100); strings.Count(got, "\n") != 5 {
		t.Errorf("the log is %q: want all five lines", got)
	}
	p.stop() // has nothing to do
}

func TestProcessIsStoppedWithWhatItStarted(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := start(program{path: "/bin/sh", args: []string{"-c", `sleep 1000 >"$0" & wait`, pipe}, log: filepath.Join(t.TempDir(), "log")})
	if err != nil {
		t.Fatal(err)
	}
	in, err := os.Open(pipe) // returns when the child of the child has its end
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	p.stop()
	select {
	case <-p.exited:
	default:
		t.Error("it still runs")
	}
	// The pipe ends when the child of the child is gone too: a thousand seconds later if it was left alone.
	in.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := in.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("what it started is still there: %v", err)
	}
}

func TestProcessThatCannotStart(t *testing.T) {
	if _, err := start(program{path: filepath.Join(t.TempDir(), "absent"), log: filepath.Join(t.TempDir(), "log")}); err == nil || !strings.Contains(err.Error(), "demo: starting") {
		t.Errorf("starting what is not there: %v", err)
	}
}
