package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// admin asks weft's admin address: what the demo knows of weft it knows from outside.
type admin struct {
	address string
	client  *http.Client
}

const (
	adminTimeout = 2 * time.Second
	adminBytes   = 1 << 20 // of an answer; the ones asked for are far smaller
	pollEvery    = 10 * time.Millisecond
)

func newAdmin(address string) *admin {
	// No proxy of the environment stands between us and a loopback address.
	return &admin{address, &http.Client{Timeout: adminTimeout, Transport: &http.Transport{Proxy: nil}}}
}

func (a *admin) close() { a.client.CloseIdleConnections() }

func (a *admin) get(ctx context.Context, path string) (status int, body string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+a.address+path, nil)
	if err != nil {
		return 0, "", err
	}
	response, err := a.client.Do(request)
	if err != nil {
		return 0, "", fmt.Errorf("demo: asking the admin address: %w", err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, adminBytes))
	if err != nil {
		return 0, "", fmt.Errorf("demo: reading what the admin address answers to %s: %w", path, err)
	}
	return response.StatusCode, string(text), nil
}

// poll asks until done says yes, weft ends, or the limit is over. The last answer that came in time is part of the error.
func poll(ctx context.Context, p *process, limit time.Duration, what string, done func(context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	failure := fmt.Errorf("demo: %s within %v", what, limit)
	last := failure
	for {
		ok, err := done(ctx)
		switch {
		case ok:
			return nil
		case errors.Is(err, errRefused):
			return err
		case err == nil:
			last = failure
		case ctx.Err() == nil:
			last = fmt.Errorf("%w: %w", failure, err)
		}
		select {
		case <-p.exited:
			return p.ended()
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				return ctx.Err()
			}
			return last
		case <-tick.C:
		}
	}
}

// await reads the admin address from the file that weft writes it to, and waits until weft says that it is ready.
func await(ctx context.Context, p *process, file string, limit time.Duration) (*admin, error) {
	var a *admin
	err := poll(ctx, p, limit, "weft was not ready", func(ctx context.Context) (bool, error) {
		if a == nil {
			text, err := os.ReadFile(file)
			if err != nil {
				return false, err
			}
			// The file may be seen before it is written whole. Half an address answers nothing, and then it is read again.
			if _, _, err := net.SplitHostPort(strings.TrimSpace(string(text))); err != nil {
				return false, err
			}
			a = newAdmin(strings.TrimSpace(string(text)))
		}
		status, body, err := a.get(ctx, "/ready")
		if err != nil {
			a = nil
			return false, err
		}
		if status != http.StatusOK {
			return false, fmt.Errorf("/ready answers %d %s", status, strings.TrimSpace(body))
		}
		return true, nil
	})
	return a, err
}

// listener is the address that the listener of that name is bound to.
func (a *admin) listener(ctx context.Context, name string) (string, error) {
	_, text, err := a.get(ctx, "/listeners")
	if err != nil {
		return "", err
	}
	if address, ok := listenerLine(text, name); ok {
		return address, nil
	}
	return "", fmt.Errorf("demo: /listeners names no listener %q: it says %q", name, text)
}

// listenerLine finds "name::address" in what /listeners says.
func listenerLine(text, name string) (string, bool) {
	for line := range strings.Lines(text) {
		if address, ok := strings.CutPrefix(strings.TrimSpace(line), name+"::"); ok {
			_, _, err := net.SplitHostPort(address)
			return address, err == nil
		}
	}
	return "", false
}

// updates counts the route files that weft has taken and the ones it has refused.
type updates struct{ taken, refused uint64 }

const rdsStats = "http." + statPrefix + ".rds." + routeName + "."

func (a *admin) updates(ctx context.Context) (updates, error) {
	status, text, err := a.get(ctx, "/stats?filter=rds")
	if err != nil {
		return updates{}, err
	}
	taken, ok := stat(text, rdsStats+"update_success")
	if !ok {
		return updates{}, fmt.Errorf("demo: /stats answers %d without a counter %supdate_success", status, rdsStats)
	}
	// A counter that has not been touched need not be there.
	rejected, _ := stat(text, rdsStats+"update_rejected")
	failed, _ := stat(text, rdsStats+"update_failure")
	return updates{taken, rejected + failed}, nil
}

// stat finds a counter in the text form of /stats: one "name: value" a line.
func stat(text, name string) (uint64, bool) {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			n, err := strconv.ParseUint(strings.TrimSpace(rest), 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}

var errRefused = errors.New("demo: weft refused the route file")

// takes waits until weft has taken one more route file than before.
func (a *admin) takes(ctx context.Context, p *process, before updates, limit time.Duration) error {
	return poll(ctx, p, limit, "weft did not take the route file ("+rdsStats+"update_success did not grow)", func(ctx context.Context) (bool, error) {
		now, err := a.updates(ctx)
		if err == nil && now.refused > before.refused {
			err = errRefused
		}
		return err == nil && now.taken > before.taken, err
	})
}
