package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// step is one thing that the tutorial shows.
type step struct {
	title string
	about string // what a newcomer is to see
	apply string // manifests; empty: nothing is applied
	// check looks whether it is so, once that is in force, and gives what it has seen.
	check func(context.Context, *stage, *board) (seen string, err error)
}

// steps are the walk.
var steps = []step{
	{"all to v1", "a VirtualService sends all requests of sleep's to hello v1", "", shares(weights{100, 0})},
	{"canary 90/10", "the same object, applied with other weights", split(weights{90, 10}), shares(weights{90, 10})},
	{"canary 50/50", "", split(weights{50, 50}), shares(weights{50, 50})},
	{"canary 0/100", "v2 has it all", split(weights{0, 100}), shares(weights{0, 100})},
	{"plain text is let in", "somebody outside the mesh, without a certificate, asks hello: nobody forbids it (PERMISSIVE)", "", outsider(true)},
	{"STRICT", "from now on who comes has to show who he is; the mesh goes on, since its sidecars do", strict, outsider(false)},
	{"a method is denied", "sleep may read, and not write: by its identity, wherever it calls from", readOnly, denied},
	{"v2 is killed", "its sidecar and its application go at once: others answer in its place, and it is left alone", resilient, killed},
	{"certificates rotate", "every sidecar gets another key and certificate under load", "", rotated},
}

// settling is left out of a measurement after proxies have said that something is in force: what was under way then was sent before.
const settling = 100 * time.Millisecond

// shares measures what each version gets.
func shares(want weights) func(context.Context, *stage, *board) (string, error) {
	return func(ctx context.Context, s *stage, b *board) (string, error) {
		enough := s.mesh.measure(time.Now().Add(settling), b.answers)
		limit := 3*time.Duration(b.answers)*time.Second/time.Duration(b.rate) + 5*time.Second
		timer := time.NewTimer(limit)
		defer timer.Stop()
		select {
		case <-enough:
		case <-timer.C:
			return "", fmt.Errorf("fewer than %d answers in %v", b.answers, limit)
		case <-ctx.Done():
			return "", ctx.Err()
		}
		counts, _ := s.mesh.measured()
		r := result{weights: want, v1: counts[0], v2: counts[1]}
		seen := fmt.Sprintf("v2 has %.2f %% of %s, want %d ± %.2f", 100*r.share(), thousands(r.requests()), want.v2, 100*r.bound())
		if !r.held() {
			return seen, errors.New("the share is another one")
		}
		return seen, nil
	}
}

// outsider asks a hello from outside the mesh, in plain text. A proxy says that it has a policy a moment before its sockets follow it.
func outsider(in bool) func(context.Context, *stage, *board) (string, error) {
	return func(ctx context.Context, s *stage, _ *board) (seen string, err error) {
		url := fmt.Sprintf("http://%s:%d/hello", s.pod("hello-v1").IP, s.at.hello)
		err = until(ctx, applyLimit, "somebody outside is answered as he should be", s.processes(), func(ctx context.Context) error {
			status, text, err := ask(ctx, s.outside, http.MethodGet, url, "", "")
			switch {
			case in && err == nil && status == http.StatusOK && text == answers[0]:
				seen = "200 " + strings.TrimSpace(text)
				return nil
			case !in && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)):
				seen = "the connection is closed: " + err.Error()
				return nil
			case err != nil:
				return err
			}
			return fmt.Errorf("it is answered %d %.40q", status, text)
		})
		return seen, err
	}
}

// denied has sleep read, which it may, and write, and asks hello's sidecar which rule was against that.
func denied(ctx context.Context, s *stage, _ *board) (string, error) {
	sleep := s.pod("sleep")
	url := "http://" + s.asked() + "/hello"
	got, _, err := ask(ctx, sleep.Plot, http.MethodGet, url, host, "")
	if err != nil {
		return "", err
	}
	posted, text := 0, ""
	err = until(ctx, applyLimit, "a POST is denied", s.processes(), func(ctx context.Context) error {
		if posted, text, err = ask(ctx, sleep.Plot, http.MethodPost, url, host, "x: y"); err == nil && posted != http.StatusForbidden {
			err = fmt.Errorf("it is answered %d %s", posted, strings.TrimSpace(text))
		}
		return err
	})
	if err != nil {
		return "", err
	}
	seen := fmt.Sprintf("GET %d, POST %d %s", got, posted, strings.TrimSpace(text))
	if got != http.StatusOK {
		return seen, errors.New("want 200 for a GET")
	}
	// As weftctl proxy explain asks.
	page, err := s.pod("hello-v2").page(ctx, "/explain?"+s.explainPost(s.pod("hello-v2"), sleep))
	if err != nil {
		return seen, err
	}
	const rule = "ns[demo]-policy[read-only]-rule[0]"
	if !strings.Contains(page, rule) {
		return seen, fmt.Errorf("weftctl proxy explain does not name %s: %.2000s", rule, page)
	}
	return seen + "; weftctl proxy explain: " + rule, nil
}

// killed ends v2 as a machine that fails does, and looks whether anybody hears of it.
func killed(ctx context.Context, s *stage, b *board) (string, error) {
	before, _ := s.lost()
	enough := s.mesh.measure(time.Now().Add(settling), b.answers)
	if err := wait(ctx, enough, time.Minute); err != nil {
		return "", err
	}
	counts, _ := s.mesh.measured()
	two := s.pod("hello-v2")
	two.sidecar.kill()
	two.sidecar = nil
	two.hello.close()
	// Until it is ejected some requests find out, and are sent again; then all go to v1.
	if err := wait(ctx, s.mesh.measure(time.Now().Add(time.Second), b.answers), time.Minute); err != nil {
		return "", err
	}
	after, _ := s.mesh.measured()
	lost, why := s.lost()
	stats, err := s.pod("sleep").page(ctx, "/stats?filter="+url.QueryEscape(`hello\..*(upstream_rq_retry|ejections_enforced_total)$`))
	if err != nil {
		return "", err
	}
	retried, ejected := sum(stats, "upstream_rq_retry:"), sum(stats, "ejections_enforced_total:")
	seen := fmt.Sprintf("before %d/%d, after %d/%d; retried %d, ejected %d", counts[0], counts[1], after[0], after[1], retried, ejected)
	switch {
	case lost != before:
		return seen, fmt.Errorf("%d requests were lost, the first by: %s", lost-before, why)
	case counts[1] == 0:
		return seen, errors.New("v2 had none before")
	case after[1] != 0:
		return seen, errors.New("v2 still answers")
	case ejected == 0:
		return seen, errors.New("v2 is not left alone: sleep's sidecar has not ejected it")
	}
	return seen, nil
}

func wait(ctx context.Context, enough <-chan struct{}, limit time.Duration) error {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-enough:
		return nil
	case <-timer.C:
		return fmt.Errorf("too few answers in %v", limit)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// sum adds the counters of that name.
func sum(stats, name string) (total int) {
	for line := range strings.Lines(stats) {
		if _, value, is := strings.Cut(line, name); is {
			n := 0
			fmt.Sscan(value, &n)
			total += n
		}
	}
	return total
}

// rotated waits until each sidecar shows another certificate than before.
func rotated(ctx context.Context, s *stage, _ *board) (string, error) {
	before := map[string]string{}
	alive := 0
	for _, w := range s.pods {
		if w.sidecar == nil {
			continue
		}
		alive++
		serial, err := s.serial(ctx, w)
		if err != nil {
			return "", err
		}
		before[w.name] = serial
	}
	now := map[string]string{}
	err := until(ctx, 2*certificateLife, "every sidecar has another certificate", s.processes(), func(ctx context.Context) error {
		for _, w := range s.pods {
			if w.sidecar == nil || now[w.name] != "" {
				continue
			}
			serial, err := s.serial(ctx, w)
			if err != nil {
				return err
			}
			if serial == before[w.name] {
				return fmt.Errorf("%s has the one that it had", w.name)
			}
			now[w.name] = serial
		}
		return nil
	})
	return fmt.Sprintf("%d of %d sidecars have another certificate", len(now), alive), err
}

// serial is the number of the certificate that a sidecar shows.
func (s *stage) serial(ctx context.Context, w *workload) (string, error) {
	text, err := w.page(ctx, "/certs")
	if err != nil {
		return "", err
	}
	var all struct {
		Certificates []struct {
			Chain []struct {
				Serial string `json:"serial_number"`
				Names  []struct {
					URI string `json:"uri"`
				} `json:"subject_alt_names"`
			} `json:"cert_chain"`
		}
	}
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		return "", fmt.Errorf("demo: /certs of %s: %w", w.name, err)
	}
	for _, one := range all.Certificates {
		for _, c := range one.Chain {
			for _, name := range c.Names {
				if name.URI == spiffe(w.account) {
					return c.Serial, nil
				}
			}
		}
	}
	return "", fmt.Errorf("demo: %s shows no certificate of its own", w.name)
}

// explainPost is the question what a POST of one workload's would meet at another one's sidecar.
func (s *stage) explainPost(at, from *workload) string {
	return url.Values{"listener": {s.listener(at)}, "address": {fmt.Sprintf("%s:%d", at.IP, s.at.hello)}, "source": {from.IP.String()}, "tls": {"true"}, "alpn": {"istio-http/1.1"}, "identity": {spiffe(from.account)}, "method": {http.MethodPost}, "url": {"http://" + host + "/hello"}}.Encode()
}
