package mixed

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// begin has the traffic go to the upstream itself: HTTP/1.1, WebSocket and HTTP/2 in plain text are one port of a proxy, and two of it.
func begin(t *testing.T, u *Upstream) *Traffic {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- u.Serve(ctx) }()
	tr := Begin(Spec{HTTP: u.Ports().HTTP1, TCP: u.Ports().TCP, Conns: 2, Every: time.Millisecond, Limit: 5 * time.Second})
	t.Cleanup(func() {
		tr.End()
		stop()
		<-done
	})
	return tr
}

// until gathers what becomes of traffic until it is enough.
func until(t *testing.T, tr *Traffic, enough func(Result) bool) Result {
	t.Helper()
	all := Result{Counts: counts()}
	for end := time.After(20 * time.Second); !enough(all); {
		select {
		case <-end:
			t.Fatalf("%+v: %v", all, all.String())
		case <-time.After(5 * time.Millisecond):
		}
		for kind, c := range tr.Mark().Counts {
			sum := all.Counts[kind]
			sum.Done, sum.Lost, sum.Reason = sum.Done+c.Done, sum.Lost+c.Lost, append(sum.Reason, c.Reason...)
		}
	}
	return all
}

// Each detector sees what its kind of traffic can suffer, and only that.
func TestWhatIsLostIsSeen(t *testing.T) {
	for kind, want := range map[string]string{HTTP1: "status 503", TCP: "cut: ", WebSocket: "cut: "} {
		t.Run(kind, func(t *testing.T) {
			u, err := Listen()
			if err != nil {
				t.Fatal(err)
			}
			var spoilt atomic.Int64
			u.spoil = func(k string) bool { return k == kind && spoilt.Add(1)%10 == 0 }
			tr := begin(t, u)
			all := until(t, tr, func(r Result) bool {
				return r.Counts[kind].Lost >= 2 && r.Counts[HTTP1].Done > 20 && r.Counts[TCP].Done > 20 && r.Counts[WebSocket].Done > 20
			})
			for other, c := range all.Counts {
				if other == HTTP2 { // nobody speaks it there: all is lost
					continue
				}
				if (c.Lost > 0) != (other == kind) {
					t.Errorf("%s: %d lost: %q", other, c.Lost, c.Reason)
				}
			}
			if got := strings.Join(all.Counts[kind].Reason, " "); !strings.Contains(got, want) {
				t.Errorf("%q: want %q", got, want)
			}
		})
	}
}

// A connection that ends inside an exchange is a loss, though net/http would ask again by itself.
func TestResetsAreSeen(t *testing.T) {
	u, err := Listen()
	if err != nil {
		t.Fatal(err)
	}
	u.spoil = func(k string) bool {
		if k == HTTP1 {
			panic("cut") // net/http's server ends the connection
		}
		return false
	}
	tr := begin(t, u)
	all := until(t, tr, func(r Result) bool { return r.Counts[HTTP1].Lost >= 3 })
	if all.Counts[HTTP1].Done != 0 || !strings.Contains(strings.Join(all.Counts[HTTP1].Reason, " "), "EOF") {
		t.Errorf("%+v", all.Counts[HTTP1])
	}
}

// HTTP/2 and HTTPS are seen to fail where there is nobody who speaks them.
func TestHTTP2AndHTTPSAreSeen(t *testing.T) {
	u, err := Listen()
	if err != nil {
		t.Fatal(err)
	}
	var cut atomic.Bool
	u.spoil = func(k string) bool { return k == HTTP2 && cut.Load() }
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- u.Serve(ctx) }()
	tr := Begin(Spec{HTTP: u.Ports().HTTP2, HTTPS: u.Ports().HTTP1, TCP: u.Ports().TCP, Conns: 1, Every: time.Millisecond, Limit: 5 * time.Second})
	t.Cleanup(func() {
		tr.End()
		stop()
		<-done
	})
	all := until(t, tr, func(r Result) bool { return r.Counts[HTTP2].Done > 20 && r.Counts[HTTPS].Lost > 0 })
	if all.Counts[HTTP2].Lost > 0 || all.Counts[HTTPS].Done > 0 {
		t.Errorf("%v", all.String())
	}
	cut.Store(true)
	all = until(t, tr, func(r Result) bool { return r.Counts[HTTP2].Lost > 0 })
	if got := strings.Join(all.Counts[HTTP2].Reason, " "); !strings.Contains(got, "status 503") {
		t.Errorf("%q", got)
	}
}
