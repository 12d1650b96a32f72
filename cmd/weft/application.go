package main

import (
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// application is the workload itself, where nobody else starts it: it is started when its sidecar is ready, and its end is the sidecar's. A nil one is nobody.
type application struct {
	command []string
	log     *slog.Logger
	ready   <-chan time.Time // to look whether the sidecar is; nil: it runs, or has ended
	tick    *time.Ticker
	ended   chan struct{} // closed when it has
	running *exec.Cmd
	code    int // that it has ended with
}

// readyLook is how often it is asked whether the sidecar is ready, for the application to start.
const readyLook = 10 * time.Millisecond

func newApplication(command []string, log *slog.Logger) *application {
	if len(command) == 0 {
		return &application{}
	}
	tick := time.NewTicker(readyLook)
	return &application{command: command, log: log, tick: tick, ready: tick.C, ended: make(chan struct{})}
}

// start starts it. An application that cannot be started has ended, with the code that shells have for that.
func (a *application) start() {
	a.tick.Stop()
	a.ready = nil
	a.running = exec.Command(a.command[0], a.command[1:]...)
	a.running.Stdin, a.running.Stdout, a.running.Stderr = os.Stdin, os.Stdout, os.Stderr
	// It does not outlive us: nobody would serve it. The kernel goes by the thread that has started it (prctl(2), PR_SET_PDEATHSIG), which therefore waits for it.
	a.running.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := a.running.Start()
		if started <- err; err != nil {
			return
		}
		a.running.Wait()
		a.code = a.running.ProcessState.ExitCode()
		if by, is := a.running.ProcessState.Sys().(syscall.WaitStatus); is && by.Signaled() {
			a.code = 128 + int(by.Signal())
		}
		close(a.ended)
	}()
	if err := <-started; err != nil {
		a.log.Error("the application cannot be started", "command", a.command[0], "because", err)
		a.code, a.running = 127, nil
		close(a.ended)
		return
	}
	a.log.Info("the application is started", "command", a.command[0], "pid", a.running.Process.Pid)
}

// leave tells it to end.
func (a *application) leave() {
	if a.tick != nil {
		a.tick.Stop()
		a.ready = nil
	}
	if a.running != nil {
		a.running.Process.Signal(syscall.SIGTERM)
	}
}

// end ends it, and gives its code.
func (a *application) end() int {
	if a.running == nil {
		return a.code
	}
	a.running.Process.Kill()
	<-a.ended
	return a.code
}
