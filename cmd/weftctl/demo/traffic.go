package demo

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/weftmesh/weft/ground"
)

// traffic is a steady stream of requests over a few connections that are kept alive. It does not use net/http's transport, because
// that one sends a request again by itself when a kept connection breaks: here every request is sent once, and what fails is lost.
type traffic struct {
	from    *ground.Plot
	address string
	host    string
	every   time.Duration // between two requests of one connection
	ended   sync.WaitGroup

	mu        sync.Mutex
	began     time.Time
	recent    []sample // ring
	past      []moment
	sent      uint64
	lost      uint64
	firstLost string // why
	tally     tally
}

// moment is what ended within one span of time since the traffic began.
type moment struct {
	versions [2]int
	lost     int
	slowest  time.Duration
}

const (
	momentSpan = 200 * time.Millisecond
	maxMoments = 3000 // ten minutes: what comes later is in no plot
)

// sample is one request that has ended.
type sample struct {
	ended   time.Time
	took    time.Duration
	version int // 0: v1, 1: v2, -1: lost
}

// tally counts the answers of one step.
type tally struct {
	since   time.Time // requests sent before are not of this step
	limit   uint64    // answers that are counted; 0: all
	counts  [2]uint64
	reached chan struct{} // closed when limit is
}

const (
	connections     = 8
	requestDeadline = 2 * time.Second // dialling included
	maxRate         = 4000            // requests a second
	maxAnswer       = 64              // bytes of a body, more than any right one has
	window          = time.Second
)

// send starts rate requests a second from a place to an address, until ctx ends; wait returns when the last answer is there.
func send(ctx context.Context, from *ground.Plot, address, host string, rate int) *traffic {
	t := &traffic{from: from, address: address, host: host, every: time.Second * connections / time.Duration(rate), recent: make([]sample, 2*maxRate), began: time.Now()}
	for i := range connections {
		t.ended.Go(func() { t.connection(ctx, t.began.Add(t.every*time.Duration(i)/connections)) })
	}
	return t
}

func (t *traffic) wait() { t.ended.Wait() }

// connection sends one request after the other, the first at next. A request under way when ctx ends is still waited for.
func (t *traffic) connection(ctx context.Context, next time.Time) {
	c := &client{from: t.from, address: t.address, host: t.host}
	defer c.close()
	timer := time.NewTimer(time.Until(next))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		began := time.Now()
		version, err := c.exchange(began.Add(requestDeadline))
		now := time.Now()
		t.record(began, sample{now, now.Sub(began), version}, err)
		// One that is late sends the next at once, to keep the rate; one that is very late does not make up for all of it in a burst.
		next = next.Add(t.every)
		if now.Sub(next) > window {
			next = now
		}
		timer.Reset(time.Until(next))
	}
}

func (t *traffic) record(began time.Time, s sample, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.recent[t.sent%uint64(len(t.recent))] = s
	t.remember(s)
	t.sent++
	if err != nil {
		t.lost++
		if t.firstLost == "" {
			t.firstLost = err.Error()
		}
		return
	}
	a := &t.tally
	if a.reached == nil || began.Before(a.since) || a.limit > 0 && a.counts[0]+a.counts[1] == a.limit {
		return
	}
	a.counts[s.version]++
	if a.counts[0]+a.counts[1] == a.limit {
		close(a.reached)
	}
}

// remember keeps what plots are made of.
func (t *traffic) remember(s sample) {
	at := int(s.ended.Sub(t.began) / momentSpan)
	if at >= maxMoments {
		return
	}
	for len(t.past) <= at {
		t.past = append(t.past, moment{})
	}
	m := &t.past[at]
	if s.version < 0 {
		m.lost++
	} else {
		m.versions[s.version]++
	}
	m.slowest = max(m.slowest, s.took)
}

// history is what there was, moment by moment.
func (t *traffic) history() []moment {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.past)
}

// measure begins a new tally of the requests sent from since on; the channel is closed when limit answers (if not 0) are counted.
func (t *traffic) measure(since time.Time, limit uint64) <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tally = tally{since: since, limit: limit, reached: make(chan struct{})}
	return t.tally.reached
}

// measured is what the tally says, and how much was lost since the traffic began.
func (t *traffic) measured() (counts [2]uint64, lost uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.tally.counts, t.lost
}

// totals are of the whole run.
func (t *traffic) totals() (sent, lost uint64, firstLost string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.sent, t.lost, t.firstLost
}

// second is what ended within the last second.
type second struct {
	v1, v2, lost int
	p50, p99     time.Duration // of what was answered
}

func (t *traffic) second(now time.Time) second {
	var s second
	var took []time.Duration
	t.mu.Lock()
	for i := t.sent; i > 0 && t.sent-i < uint64(len(t.recent)); i-- {
		r := &t.recent[(i-1)%uint64(len(t.recent))]
		// Samples stand in order of their recording, which may be a hair off the order of their ends.
		if now.Sub(r.ended) > window {
			break
		}
		switch r.version {
		case 0:
			s.v1++
		case 1:
			s.v2++
		default:
			s.lost++
			continue
		}
		took = append(took, r.took)
	}
	t.mu.Unlock()
	if len(took) > 0 {
		slices.Sort(took)
		s.p50, s.p99 = took[len(took)/2], took[len(took)*99/100]
	}
	return s
}

// client is one connection, dialled when it is needed.
type client struct {
	from    *ground.Plot // nil: the machine's own namespace
	address string
	host    string
	conn    net.Conn
	in      *bufio.Reader
}

var get = &http.Request{Method: http.MethodGet}

// exchange sends the request and says which version answered. Whatever is not a right answer in time is an error.
func (c *client) exchange(deadline time.Time) (version int, err error) {
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	if c.conn == nil {
		dial := (&net.Dialer{}).DialContext
		if c.from != nil {
			dial = c.from.Dial
		}
		ctx, cancel := context.WithDeadline(context.Background(), deadline)
		c.conn, err = dial(ctx, "tcp", c.address)
		cancel()
		if err != nil {
			c.conn = nil
			return -1, err
		}
		c.in = bufio.NewReader(c.conn)
	}
	if err := c.conn.SetDeadline(deadline); err != nil {
		return -1, err
	}
	if _, err := fmt.Fprintf(c.conn, "GET /hello HTTP/1.1\r\nhost: %s\r\nuser-agent: weftctl-demo\r\n\r\n", c.host); err != nil {
		return -1, err
	}
	response, err := http.ReadResponse(c.in, get)
	if err != nil {
		return -1, err
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return -1, err
	}
	version = slices.Index(answers[:], string(body))
	if response.StatusCode != http.StatusOK || version < 0 {
		return -1, fmt.Errorf("status %d with body %.40q: want 200 and a hello", response.StatusCode, body)
	}
	if response.Close {
		c.close()
	}
	return version, nil
}

func (c *client) close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}
