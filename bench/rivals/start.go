package rivals

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/weftmesh/weft/bench/proc"
)

// A Running is a contestant at work.
type Running struct {
	process *proc.Process
	pids    []int
	dir     string

	// Ready is how long it took from the start of the process to the first proof that it serves:
	// an answer of 200 from Envoy's /ready where there is one, else an accepted connection.
	Ready time.Duration
}

// readyLimit bounds a start; the 2,000 clusters take Envoy about a second.
const readyLimit = 30 * time.Second

// readyStep is the time between two looks, and so the error of Ready.
const readyStep = 2 * time.Millisecond

// Start runs the contestant on the given processors and returns once it serves. The caller stops it.
func (c Contestant) Start(ctx context.Context, p Plan, cpus []int) (*Running, error) {
	dir, file, err := c.write(p)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	process, err := proc.Start(ctx, proc.Command{Path: c.path, Args: c.run(file, p), Dir: dir, CPUs: cpus})
	if err != nil {
		os.RemoveAll(dir)
		return nil, fmt.Errorf("rivals: %s: %w", c.Name, err)
	}
	r := &Running{process: process, pids: []int{process.PID()}, dir: dir}
	if err := c.await(ctx, r, p); err != nil {
		log := process.Log()
		r.Stop()
		return nil, fmt.Errorf("rivals: %s did not start: %w; it said: %s", c.Name, err, log)
	}
	r.Ready = time.Since(began)
	if c.workers > 0 {
		if err := r.adopt(c.workers); err != nil {
			r.Stop()
			return nil, fmt.Errorf("rivals: %s: %w", c.Name, err)
		}
	}
	return r, nil
}

// write puts the configuration into a directory of its own, which the workers of a rival that
// changes its user can enter too.
func (c Contestant) write(p Plan) (dir, file string, err error) {
	dir, err = os.MkdirTemp("", "weft-bench-"+c.Name)
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	file = filepath.Join(dir, c.file)
	if err == nil {
		err = os.WriteFile(file, []byte(c.render(p)), 0o644)
	}
	if err != nil {
		os.RemoveAll(dir)
		return "", "", fmt.Errorf("rivals: write the configuration of %s: %w", c.Name, err)
	}
	return dir, file, nil
}

func (c Contestant) await(ctx context.Context, r *Running, p Plan) error {
	look := func() error { return accepts(p.Listen) }
	if c.Envoyish {
		// No connection is kept: the admin endpoint must not be part of what is measured.
		admin := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
		look = func() error { return ready(&admin, p.Admin, p.Epoch) }
	}
	limit := time.After(readyLimit)
	for {
		err := look()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-r.process.Done():
			return fmt.Errorf("it ended by itself")
		case <-limit:
			return fmt.Errorf("not ready after %v: %w", readyLimit, err)
		case <-time.After(readyStep):
		}
	}
}

func accepts(port int) error {
	conn, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), time.Second)
	if err != nil {
		return err
	}
	return conn.Close()
}

// ready asks whether a process is, and, if it takes another one's place, whether it is that process that answers.
func ready(admin *http.Client, port, epoch int) error {
	if epoch > 0 {
		answer, err := admin.Get(fmt.Sprintf("http://127.0.0.1:%d/stats?filter=^server.hot_restart_epoch$", port))
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			return err
		}
		if got := strings.TrimSpace(string(text)); got != fmt.Sprint("server.hot_restart_epoch: ", epoch) && got != fmt.Sprint("server.restart_epoch: ", epoch) {
			return fmt.Errorf("the one before answers: %.100q", got)
		}
	}
	answer, err := admin.Get(fmt.Sprintf("http://127.0.0.1:%d/ready", port))
	if err != nil {
		return err
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("/ready answers %d", answer.StatusCode)
	}
	return nil
}

// adopt waits for the worker processes, which the first one starts after it has bound its port.
func (r *Running) adopt(workers int) error {
	for limit := time.Now().Add(readyLimit); time.Now().Before(limit); time.Sleep(readyStep) {
		children, err := proc.Children(r.process.PID())
		if err != nil {
			return err
		}
		if len(children) >= workers {
			r.pids = append(r.pids, children...)
			return nil
		}
	}
	return fmt.Errorf("no worker process after %v", readyLimit)
}

// PIDs are the processes that do the contestant's work, master and workers alike.
func (r *Running) PIDs() []int { return r.pids }

// Ended reports whether the contestant is gone, which during a measurement it must not be.
func (r *Running) Ended() bool {
	select {
	case <-r.process.Done():
		return true
	default:
		return false
	}
}

// Stop ends the contestant and removes what it left.
func (r *Running) Stop() {
	r.process.Stop(r.pids)
	os.RemoveAll(r.dir)
}

// Check lets the binary judge the configuration it would get for p.
func (c Contestant) Check(ctx context.Context, p Plan) error {
	dir, file, err := c.write(p)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.path, c.check(file)...)
	cmd.Dir = dir
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("rivals: %s refuses its configuration: %w: %s", c.Name, err, strings.TrimSpace(string(said)))
	}
	return nil
}
