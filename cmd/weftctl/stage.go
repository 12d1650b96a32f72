package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// stage is everything that the demo runs: services, weft, traffic, and the folder with their files.
type stage struct {
	dir      string
	hello    []*hello
	weft     *process
	admin    *admin
	listener string
	traffic  *traffic
	hush     context.CancelFunc // ends the traffic
}

const (
	startLimit = 15 * time.Second // from the start of weft until it is ready
	applyLimit = 5 * time.Second  // from a change of the route file until it is in force

	// settle is left out of a measurement after weft says that a file is in force: Envoy counts on its main thread when it has handed the
	// routes to its workers, and a worker may be in the middle of a turn then, which takes a small part of this.
	settle = 100 * time.Millisecond
)

func (s *stage) file(name string) string { return filepath.Join(s.dir, name) }
func (s *stage) routes() string          { return s.file("routes.yaml") }

// raise starts everything, the first step's weights in force. What has been started when something fails is for fall to end.
func raise(ctx context.Context, o demoOptions) (*stage, error) {
	s := &stage{}
	dir, err := os.MkdirTemp("", "weft-demo-")
	if err != nil {
		return s, fmt.Errorf("demo: making a folder for the configuration: %w", err)
	}
	s.dir = dir
	for _, answer := range answers {
		h, err := newHello(answer)
		if err != nil {
			return s, err
		}
		s.hello = append(s.hello, h)
	}
	if err := replace(s.routes(), routeFile(1, steps[0])); err != nil {
		return s, err
	}
	text := bootstrap(s.routes(), s.hello[0].port, s.hello[1].port)
	if err := os.WriteFile(s.file("bootstrap.yaml"), []byte(text), 0o600); err != nil {
		return s, fmt.Errorf("demo: writing the bootstrap: %w", err)
	}
	// Without hot restart, Envoys on one host do not collide over their shared memory.
	s.weft, err = start(o.weft, []string{"-c", s.file("bootstrap.yaml"), "--concurrency", "1", "--disable-hot-restart",
		"--admin-address-path", s.file("admin.address")}, s.file("weft.log"))
	if err != nil {
		return s, err
	}
	if s.admin, err = await(ctx, s.weft, s.file("admin.address"), startLimit); err != nil {
		return s, err
	}
	if err = s.admin.takes(ctx, s.weft, updates{}, applyLimit); err != nil {
		return s, err
	}
	if s.listener, err = s.admin.listener(ctx, listenerName); err != nil {
		return s, err
	}
	// The traffic has a context of its own: its end comes with fall, when everything that it needs still runs.
	var flowing context.Context
	flowing, s.hush = context.WithCancel(context.Background())
	s.traffic = send(flowing, s.listener, o.rate)
	return s, nil
}

// apply changes the weights and returns how long it took until weft said that they are in force.
func (s *stage) apply(ctx context.Context, version int, w weights) (time.Duration, error) {
	before, err := s.admin.updates(ctx)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if err := replace(s.routes(), routeFile(version, w)); err != nil {
		return 0, err
	}
	if err := s.admin.takes(ctx, s.weft, before, applyLimit); err != nil {
		return 0, fmt.Errorf("%w (weights %s)", err, w)
	}
	return time.Since(began), nil
}

// fall ends everything, what sends before what answers: so the end itself loses nothing.
func (s *stage) fall() {
	if s.traffic != nil {
		s.hush()
		s.traffic.wait()
	}
	if s.weft != nil {
		s.weft.stop()
	}
	if s.admin != nil {
		s.admin.close()
	}
	for _, h := range s.hello {
		h.close()
	}
}

// clean removes the files.
func (s *stage) clean() {
	if s.dir != "" {
		os.RemoveAll(s.dir)
	}
}

// measured is the tally of the step, and all that was lost since the start.
func (s *stage) measured() (v1, v2, lost uint64) {
	counts, lost := s.traffic.measured()
	return counts[0], counts[1], lost
}

func (s *stage) totals() (sent, lost uint64, firstLost string) {
	if s.traffic == nil {
		return 0, 0, ""
	}
	return s.traffic.totals()
}
