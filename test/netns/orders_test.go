package netns

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// In whatever order a mesh's parts begin and end, are killed and come back: what cannot be served waits or is refused, nothing goes past a sidecar in plain text, and when all are there it flows.
func TestOrders(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(s *shop)
	}{
		{"the sidecars before the application", func(s *shop) {
			for _, w := range []*workload{s.web, s.client} {
				w.redirect()
				w.begin()
				w.isReady()
			}
			s.fails("503")
			s.stops = s.says()
			s.opens()
		}},
		{"the sidecars before capture", func(s *shop) {
			s.stops = s.says()
			for _, w := range []*workload{s.web, s.client} {
				w.begin()
				w.isReady()
			}
			for _, w := range []*workload{s.web, s.client} {
				w.redirect()
			}
			s.opens()
		}},
		{"the sidecars before weftd", func(s *shop) {
			s.stops = s.says()
			s.process.kill()
			for _, w := range []*workload{s.web, s.client} {
				w.redirect()
				w.begin()
			}
			for _, w := range []*workload{s.web, s.client} {
				eventually(s.t, w.account+" says what it waits for", func() bool {
					r, err := http.Get("http://" + w.ip + ":15021/healthz/ready")
					if err != nil {
						return false
					}
					defer r.Body.Close()
					b, _ := io.ReadAll(r.Body)
					return r.StatusCode == http.StatusServiceUnavailable && strings.Contains(string(b), "there is no certificate")
				})
			}
			s.shut(s.client)
			s.mesh.begin()
			for _, w := range []*workload{s.web, s.client} {
				w.isReady()
			}
			s.opens()
		}},
		{"the server's sidecar ends, and requests under way are answered", func(s *shop) {
			s.stops = s.says()
			s.begin()
			answer := s.slow()
			s.web.cmd.Process.Signal(syscall.SIGTERM)
			eventually(s.t, "it lets nobody new in", func() bool { return strings.Contains(s.web.says(), "clients are asked to go") })
			s.goOn <- struct{}{}
			if err := <-answer; err != nil {
				s.t.Errorf("a request that was under way: %v", err)
			}
			if code := s.web.goes(); code != 0 {
				s.t.Errorf("it ends with %d", code)
			}
			s.shut(s.web)
			s.web.begin()
			s.web.isReady()
			s.opens()
		}},
		{"the application is killed, and comes back", func(s *shop) {
			s.stops = s.says()
			s.begin()
			s.stops()
			s.fails("503")
			s.stops = s.says()
			s.opens()
		}},
		{"the client's sidecar is killed, and comes back", func(s *shop) { s.killed(s.client) }},
		{"the server's sidecar is killed, and comes back", func(s *shop) { s.killed(s.web) }},
		{"weftd is killed, and comes back", func(s *shop) {
			s.stops = s.says()
			s.begin()
			l := s.load()
			l.more(20)
			s.process.kill()
			l.more(50)
			s.mesh.begin()
			l.more(20)
			l.end("")
			// One that comes while it is away waits, with the certificate that it has.
			s.process.kill()
			s.client.kill()
			s.client.begin()
			eventually(s.t, "it is not ready without weftd", func() bool { return strings.Contains(s.client.says(), "has the certificate of before") })
			s.shut(s.client)
			s.mesh.begin()
			s.client.isReady()
			s.opens()
		}},
	} {
		t.Run(c.name, func(t *testing.T) { c.do(newShop(t, false)) })
	}
}

// killed has a sidecar be killed, and another one come. Its rules are there all the time, and to apply them again changes nothing.
func (s *shop) killed(w *workload) {
	s.t.Helper()
	s.stops = s.says()
	s.begin()
	rules := counters.ReplaceAllString(strings.Join(ours(w.everything()), ""), "")
	w.kill()
	s.shut(w)
	w.redirect()
	if now := counters.ReplaceAllString(strings.Join(ours(w.everything()), ""), ""); now != rules {
		s.t.Errorf("the rules are\n%s\nand were\n%s", now, rules)
	}
	w.begin()
	w.isReady()
	s.opens()
}

// shut says that nothing comes to the application past a sidecar that is not there: the client's own requests, to the service or to the pod, or those of somebody without a sidecar, if it is the server's that is missing.
func (s *shop) shut(w *workload) {
	s.t.Helper()
	before := s.came.Load()
	from := []*http.Transport{s.client.transport("")}
	if w == s.web {
		from = append(from, &http.Transport{DisableKeepAlives: true})
	}
	for _, rt := range from {
		for _, to := range []string{webIP + ":80", s.web.ip + ":8080"} {
			c := http.Client{Transport: rt, Timeout: time.Second}
			if r, err := c.Get("http://" + to + "/"); err == nil {
				if r.Body.Close(); r.StatusCode == http.StatusOK {
					s.t.Errorf("%s answers, with no sidecar of %s", to, w.account)
				}
			}
		}
	}
	if n := s.came.Load() - before; n != 0 {
		s.t.Errorf("%d requests have come to the application with no sidecar of %s", n, w.account)
	}
}

// fails says that the client is answered that the service is not there.
func (s *shop) fails(with string) {
	s.t.Helper()
	ask := posts(s.client.transport(""), "http://"+webIP+"/")
	err := error(nil)
	eventually(s.t, "it is answered with "+with, func() bool {
		err = ask()
		return err != nil && strings.Contains(err.Error(), with)
	})
}

// slow asks for what is answered when goOn says so, and waits until that has come to the application.
func (s *shop) slow() <-chan error {
	s.t.Helper()
	answer := make(chan error, 1)
	ask := posts(s.client.transport(""), fmt.Sprintf("http://%s/slow", webIP))
	go func() { answer <- ask() }()
	select {
	case <-s.waiting:
	case <-time.After(deadline):
		s.t.Fatal("a request has not come")
	}
	return answer
}
