package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/weftmesh/weft/ground"
)

const (
	askLimit  = 5 * time.Second
	askBytes  = 4 << 20 // of an answer; those that are asked for are far smaller
	pollEvery = 20 * time.Millisecond
)

// asking is what asks from a place. Nothing is kept open, so that each question is a connection of its own.
func asking(p *ground.Plot) *http.Client {
	return &http.Client{Timeout: askLimit, Transport: &http.Transport{DialContext: p.Dial, DisableKeepAlives: true}}
}

// ask gives the status and the text of an answer.
func ask(ctx context.Context, p *ground.Plot, method, url, host, body string) (status int, text string, err error) {
	request, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	if host != "" {
		request.Host = host
	}
	if body != "" {
		request.Header.Set("content-type", "application/yaml")
		if strings.Contains(url, "/ca/") {
			request.Header.Set("content-type", "application/x-www-form-urlencoded")
		}
	}
	response, err := asking(p).Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	b, err := io.ReadAll(io.LimitReader(response.Body, askBytes))
	return response.StatusCode, string(b), err
}

// until asks again and again until done says nothing is wrong, one of the processes ends, or the limit is over: then what was wrong last is the error.
func until(ctx context.Context, limit time.Duration, what string, all []*process, done func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	last := errors.New("nobody has answered")
	for {
		err := done(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil {
			last = err
		}
		for _, p := range all {
			select {
			case <-p.exited:
				return p.ended()
			default:
			}
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				return ctx.Err()
			}
			return fmt.Errorf("demo: %s: not within %v: %w", what, limit, last)
		case <-tick.C:
		}
	}
}
