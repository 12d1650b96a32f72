package status

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os/exec"
	"strings"
	"time"
)

// What holds where a probe of a workload does not say it, as with kubelets.
const (
	usualPeriod   = 10 * time.Second
	usualFailures = 3
)

// Bounds of what a command says of itself, of which the first is told, in bytes, and of how long after its time it is waited for.
const (
	maxOutput = 64 << 10
	maxSaid   = 1 << 10
	killTime  = time.Second
)

// Workload is the probe of a machine outside of Kubernetes, where no kubelet asks: a WorkloadGroup says it, and it comes with the proxy's configuration (readinessProbe of PROXY_CONFIG).
type Workload struct {
	prober
	Exec *struct {
		Command []string `json:"command"`
	} `json:"exec"`
	InitialDelaySeconds int `json:"initialDelaySeconds"`
	PeriodSeconds       int `json:"periodSeconds"`
	SuccessThreshold    int `json:"successThreshold"`
	FailureThreshold    int `json:"failureThreshold"`
}

// ParseWorkload reads a probe: an istio.networking.v1.ReadinessProbe as JSON. An error says what of it cannot be run.
func ParseWorkload(text string) (*Workload, error) {
	w := &Workload{}
	if err := json.Unmarshal([]byte(text), w); err != nil {
		return nil, fmt.Errorf("status: readinessProbe: %w", err)
	}
	if runs := w.Exec != nil && len(w.Exec.Command) > 0 && w.HTTPGet == nil && w.TCPSocket == nil && w.GRPC == nil; !runs && (w.Exec != nil || w.port() == 0) {
		return nil, errors.New("status: readinessProbe: want one of httpGet, tcpSocket and grpc, with the number of a port, or exec, with a command")
	}
	if min(w.InitialDelaySeconds, w.PeriodSeconds, w.SuccessThreshold, w.FailureThreshold, w.TimeoutSeconds) < 0 {
		return nil, errors.New("status: readinessProbe: a time or a threshold is less than 0")
	}
	host := "localhost"
	if w.HTTPGet != nil && w.HTTPGet.Host != "" {
		host = w.HTTPGet.Host
	}
	if w.TCPSocket != nil && w.TCPSocket.Host != "" {
		host = w.TCPSocket.Host
	}
	if ip, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		host = ip.String()
	} else if host != "localhost" {
		return nil, fmt.Errorf("status: readinessProbe: the host %q: want an address of the machine, or localhost", host)
	}
	if w.Exec == nil {
		w.reach(host)
	}
	return w, nil
}

// Run probes until the context ends, and tells what has become of it: why the workload is not well, as often in a row as it may not be; empty: it is, as often in a row as it has to be. The same is
// told once.
func (w *Workload) Run(ctx context.Context, tell func(because string)) { w.run(ctx, w.probe, tell) }

func (w *Workload) run(ctx context.Context, probe func(context.Context) error, tell func(because string)) {
	seconds := func(said int, usual time.Duration) time.Duration {
		if said == 0 {
			return usual
		}
		return min(time.Duration(said)*time.Second, maxProbe)
	}
	success, failures := max(w.SuccessThreshold, 1), w.FailureThreshold
	if failures == 0 {
		failures = usualFailures
	}
	next := time.NewTimer(seconds(w.InitialDelaySeconds, 0))
	defer next.Stop()
	told, well, ill := false, 0, 0
	was := false // as it was told
	for {
		select {
		case <-ctx.Done():
			return
		case <-next.C:
		}
		next.Reset(seconds(w.PeriodSeconds, usualPeriod))
		once, cancel := context.WithTimeout(ctx, seconds(w.TimeoutSeconds, defaultProbe))
		err := probe(once)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			well, ill = well+1, 0
			if well >= success && (!told || !was) {
				told, was = true, true
				tell("")
			}
		default:
			well, ill = 0, ill+1
			if ill >= failures && (!told || was) {
				told, was = true, false
				because := strings.ToValidUTF8(err.Error(), "\uFFFD")
				tell(strings.ToValidUTF8(because[:min(len(because), maxSaid)], ""))
			}
		}
	}
}

// probe asks once. An error says why the workload is not well.
func (w *Workload) probe(ctx context.Context) error {
	if w.Exec == nil {
		status, body, err := w.ask(ctx, nil, 0)
		if err == nil && status >= http.StatusBadRequest {
			err = fmt.Errorf("it answers with status %d: %s", status, bytes.TrimSpace(body))
		}
		return err
	}
	said := &start{}
	c := exec.CommandContext(ctx, w.Exec.Command[0], w.Exec.Command[1:]...)
	c.Stdout, c.Stderr, c.WaitDelay = said, said, killTime
	if err := c.Run(); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return fmt.Errorf("%s: %w: %s", w.Exec.Command[0], err, bytes.TrimSpace(said.text))
	}
	return nil
}

// start keeps the start of what is written.
type start struct{ text []byte }

// Write takes all, and keeps what there is room for.
func (s *start) Write(b []byte) (int, error) {
	s.text = append(s.text, b[:min(len(b), maxOutput-len(s.text))]...)
	return len(b), nil
}
