package e2e

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	hessian2 "github.com/apache/dubbo-go-hessian2"

	"github.com/weftmesh/weft/wire/dubbo"
)

// two is a cluster of two endpoints, of which more is YAML.
func two(name string, one, other int, more ...string) string {
	return fmt.Sprintf(`
- name: %[1]s
  type: STATIC
  load_assignment:
    cluster_name: %[1]s
    endpoints:
    - lb_endpoints:
      - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %[2]d}}}
      - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %[3]d}}}
%[4]s`, name, one, other, indent(2, strings.Join(more, "\n")))
}

// ask makes a call and gives what is answered.
func ask(t testing.TB, c *Conn, frame []byte) string {
	t.Helper()
	c.Write(frame)
	h, body, err := ReadFrame(c)
	if err != nil {
		t.Fatal(err)
	}
	return Said(t, h, body)
}

// exception is an answer with what a method has thrown.
func exception(t testing.TB, id uint64) []byte {
	t.Helper()
	b := AnswerFrame(t, id, "thrown")
	b[dubbo.HeadSize] = 0x90 // which has 0 for 1 as its first value
	return b
}

// A generic call goes as the one that it stands for.
func TestDubboGenericCalls(t *testing.T) {
	one, two := Provider(t, "one", 1), Provider(t, "two", 1)
	p := Start(t, Bootstrap(DubboListener(`
- {interface: "*", routes: [{match: {method: {name: {exact: greet}}}, route: {cluster: two, metadata_match: {typed_filter_metadata: {weft.dubbo: {"@type": type.googleapis.com/weft.dubbo.v1.Route, match: {argc: 2, arguments: [{index: 1, type: int, numbers: {patterns: [{range: {start: 5, end: 10}}]}}]}}}}}}, {match: {}, route: {cluster: one}}]}`), Cluster("one", one.Port), Cluster("two", two.Port)))
	c := p.Dial()
	for _, call := range []struct {
		method    string
		arguments []any
		want      string
	}{
		{"greet", []any{"ann", int32(7)}, "20 two ann"},
		{"greet", []any{"ann", int32(10)}, "20 one ann"},
		{"part", []any{"ann", int32(7)}, "20 one ann"},
		{"$invoke", []any{"greet", []string{"java.lang.String", "int"}, []any{"ann", int32(7)}}, "20 two greet"},
		{"$invoke", []any{"greet", []string{"java.lang.String", "long"}, []any{"ann", int32(7)}}, "20 one greet"},
		{"$invoke", []any{"greet", []string{"java.lang.String", "int"}, []any{"ann", int32(11)}}, "20 one greet"},
		{"$invoke", []any{"part", []string{"java.lang.String", "int"}, []any{"ann", int32(7)}}, "20 one part"},
	} {
		if got := ask(t, c, CallFrame(t, 1, TwoWay, "a.Greeter", call.method, map[any]any{}, call.arguments...)); got != call.want {
			t.Errorf("%s%v: %s: want %s", call.method, call.arguments, got, call.want)
		}
	}
}

// An answer that takes too long is none: who waits is told in time, and what comes late is nobody's, not that of the next call either.
func TestDubboTimeout(t *testing.T) {
	const clients, calls = 4, 20
	release := make(chan struct{})
	var late []uint64
	u := Serve(t, func(u *Upstream, c *Conn) {
		for len(late) < clients*calls {
			h, _, err := ReadFrame(c)
			if err != nil {
				return
			}
			late = append(late, h.ID)
		}
		select {
		case <-release:
		case <-u.stopped:
			return
		}
		for _, id := range late {
			c.Write(AnswerFrame(t, id, "late"))
		}
		for {
			h, _, err := ReadFrame(c)
			if err != nil {
				return
			}
			c.Write(AnswerFrame(t, h.ID, "in time"))
		}
	})
	routes := func(timeout string) string {
		return Bootstrap(DubboListener("- "+DubboRoute("up", "timeout: "+timeout)), Cluster("up", u.Port))
	}
	p := StartLoops(t, 1, routes("0.1s"))
	var conns []*Conn
	for range clients {
		c := p.Dial()
		conns = append(conns, c)
		for k := range calls {
			c.Write(CallFrame(t, uint64(k), TwoWay, "a", "m", nil, "x"))
		}
	}
	want := fmt.Sprintf("31 dubbo router: no answer from '127.0.0.1:%d' within 100ms", u.Port)
	for _, c := range conns {
		for range calls {
			h, body, err := ReadFrame(c)
			if err != nil {
				t.Fatal(err)
			}
			if got := Said(t, h, body); got != want {
				t.Fatalf("%s: want %s", got, want)
			}
		}
	}
	p.WantStat("dubbo.d.response_timeout", clients*calls)
	p.WantStat("dubbo.d.request_active", 0)
	p.WantStat("cluster.up.upstream_rq_timeout", clients*calls)
	p.WantStat("cluster.up.upstream_rq_active", 0)
	p.Change(routes("60s"))
	close(release)
	for _, c := range conns {
		if got := ask(t, c, CallFrame(t, 1, TwoWay, "a", "m", nil, "x")); got != "20 in time" {
			t.Errorf("behind late answers: %s", got)
		}
	}
	if n := u.Connections(); n != 1 {
		t.Errorf("%d connections: a call that takes too long costs none", n)
	}
}

// What is tried again, and what is not: what an endpoint can have begun only if the route says that it may be begun twice, and never what a method has thrown.
func TestDubboRetries(t *testing.T) {
	t.Parallel()
	const calls = 10
	gone := func(dubbo.Head, *dubbo.Call) ([]byte, bool) { return nil, true }
	holds := func(dubbo.Head, *dubbo.Call) ([]byte, bool) { return nil, false }
	says := func(s dubbo.Status) func(dubbo.Head, *dubbo.Call) ([]byte, bool) {
		return func(h dubbo.Head, _ *dubbo.Call) ([]byte, bool) { return dubbo.AppendError(nil, &h, s, "bad"), false }
	}
	throws := func(h dubbo.Head, _ *dubbo.Call) ([]byte, bool) { return exception(t, h.ID), false }
	for name, one := range map[string]struct {
		bad     func(dubbo.Head, *dubbo.Call) ([]byte, bool) // nil: nobody is there
		retry   string
		cluster string
		want    string // what is answered where the first attempt fails; @ is the endpoint
		stat    string // and what is counted so often
	}{
		"nobody is there":                   {nil, "attempts: 1", "", "20 good x", "upstream_rq_retry_success"},
		"nobody is there, and no breaker":   {nil, "attempts: 1", "circuit_breakers: {thresholds: [{max_retries: 0}]}", "80 dubbo upstream request: remote connection failure '@'", "upstream_rq_retry_overflow"},
		"who has begun goes":                {gone, "attempts: 1", "", "80 dubbo upstream request: remote connection failure '@'", "upstream_cx_destroy_remote_with_active_rq"},
		"who has begun goes, idempotent":    {gone, "attempts: 1, idempotent: true", "", "20 good x", "upstream_rq_retry_success"},
		"who has begun is slow":             {holds, "attempts: 1, per_try_timeout: 0.4s", "", "31 dubbo router: no answer from '@' within 400ms", "upstream_rq_per_try_timeout"},
		"who has begun is slow, idempotent": {holds, "attempts: 2, per_try_timeout: 0.4s, idempotent: true", "", "20 good x", "upstream_rq_retry_success"},
		"a server's error":                  {says(dubbo.ServerError), "attempts: 1", "", "80 bad", ""},
		"a server's error, idempotent":      {says(dubbo.ServerError), "attempts: 1, idempotent: true", "", "20 good x", "upstream_rq_retry_success"},
		"no threads, idempotent":            {says(dubbo.ServerExhausted), "attempts: 1, idempotent: true", "", "20 good x", "upstream_rq_retry_success"},
		"a bad request, idempotent":         {says(dubbo.BadRequest), "attempts: 1, idempotent: true", "", "40 bad", ""},
		"an exception, idempotent":          {throws, "attempts: 1, idempotent: true", "", "20 thrown", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			good, bad := Provider(t, "good", 1), 1
			if one.bad != nil {
				bad = Provided(t, one.bad).Port
			}
			p := StartLoops(t, 1, Bootstrap(DubboListener("- "+DubboRoute("up", "retry: {"+one.retry+"}")), two("up", bad, good.Port, one.cluster)))
			c := p.Dial()
			want := strings.ReplaceAll(one.want, "@", fmt.Sprintf("127.0.0.1:%d", bad))
			failed := 0
			for range calls {
				switch got := ask(t, c, CallFrame(t, 1, TwoWay, "a", "m", nil, "x")); {
				case got == want:
					failed++
				case got != "20 good x":
					t.Errorf("%s: want %s", got, want)
				}
			}
			switch {
			case want == "20 good x":
				p.Eventually("some were tried again", func() bool { return p.Stat("cluster.up."+one.stat) > 0 })
				if n := len(good.Heads()); n != calls {
					t.Errorf("%d calls have come: want %d", n, calls)
				}
			case failed == 0:
				t.Error("none has failed")
			case one.stat != "":
				p.WantStat("cluster.up."+one.stat, int64(failed))
			}
			p.WantStat("dubbo.d.request_active", 0)
			p.WantStat("cluster.up.upstream_rq_active", 0)
		})
	}
}

// Attempts end: at so many, and at the route's timeout.
func TestDubboRetriesEnd(t *testing.T) {
	t.Parallel()
	bad := Provided(t, func(h dubbo.Head, _ *dubbo.Call) ([]byte, bool) {
		return dubbo.AppendError(nil, &h, dubbo.ServerError, "bad"), false
	})
	slow := Provided(t, func(dubbo.Head, *dubbo.Call) ([]byte, bool) { return nil, false })
	p := StartLoops(t, 1, Bootstrap(DubboListener("- "+strings.Replace(DubboRoute("bad", "retry: {attempts: 3, idempotent: true}"), `"*"`, "bad", 1)+"\n- "+DubboRoute("slow", "timeout: 1s, retry: {attempts: 10, per_try_timeout: 0.25s, idempotent: true}")), Cluster("bad", bad.Port), Cluster("slow", slow.Port)))
	c := p.Dial()
	if got := ask(t, c, CallFrame(t, 1, TwoWay, "bad", "m", nil)); got != "80 bad" || len(bad.Heads()) != 4 {
		t.Errorf("%s after %d attempts", got, len(bad.Heads()))
	}
	p.WantStat("cluster.bad.upstream_rq_retry_limit_exceeded", 1)
	if got := ask(t, c, CallFrame(t, 1, TwoWay, "slow", "m", nil)); !strings.HasPrefix(got, "31 ") || !strings.HasSuffix(got, "within 1s") {
		t.Error(got)
	}
	if n := len(slow.Heads()); n < 2 || n > 5 {
		t.Errorf("%d attempts of 250 ms in 1 s", n)
	}
	p.WantStat("dubbo.d.response_timeout", 1)
}

// A call that wants no answer is made again only if nothing of it was sent; a frame of which a part was sent has not been begun.
func TestDubboRetriesWhatWasNotSent(t *testing.T) {
	t.Parallel()
	good := Provider(t, "good", 1)
	p := StartLoops(t, 1, Bootstrap(DubboListener("- "+DubboRoute("up", "retry: {attempts: 1}")), two("up", 1, good.Port, "circuit_breakers: {thresholds: [{max_retries: 100}]}"))) // many may wait for one connection
	c := p.Dial()
	const calls = 10
	for range calls {
		c.Write(CallFrame(t, 1, OneWay, "a", "note", nil, "x"))
		p.WantStat("dubbo.d.request_active", 0)
	}
	p.Eventually("all arrive", func() bool { return len(good.Heads()) == calls })

	closes := make(chan struct{})
	half := Serve(t, func(u *Upstream, _ *Conn) {
		select {
		case <-closes:
		case <-u.stopped:
		}
	})
	p = StartLoops(t, 1, Bootstrap(DubboListener("- "+DubboRoute("up", "retry: {attempts: 1}")), two("up", half.Port, good.Port)))
	c = p.Dial()
	large := strings.Repeat("x", 7<<20)
	var wait sync.WaitGroup
	defer wait.Wait()
	wait.Go(func() { // one for each, and the second may have to wait behind the first
		c.Write(CallFrame(t, 1, TwoWay, "a", "m", nil, large))
		c.Write(CallFrame(t, 2, TwoWay, "a", "m", nil, large))
	})
	p.Eventually("one is answered, and the other one waits", func() bool {
		return p.Stat("dubbo.d.request_active") == 1 || p.Stat("cluster.up.upstream_cx_active") == 2
	})
	close(closes)
	for range 2 {
		h, body, err := ReadFrame(c)
		if err != nil {
			t.Fatal(err)
		}
		if got := Said(t, h, body); got != "20 good "+large {
			t.Errorf("%.100s", got)
		}
	}
	if n := p.Stat("cluster.up.upstream_rq_retry_success"); n < 1 { // two, if the second waited behind the first and then met the end at once
		t.Errorf("%d calls were made again", n)
	}
}

// Another cluster gets the same calls, those that want no answer, too; what it says, or that it says nothing, nobody waits for.
func TestDubboMirrors(t *testing.T) {
	const calls = 50
	up, copied := Provider(t, "up", 1), Provider(t, "copied", 1)
	never := Provided(t, func(dubbo.Head, *dubbo.Call) ([]byte, bool) { return nil, false })
	p := StartLoops(t, 1, Bootstrap(DubboListener("- "+DubboRoute("up", "mirrors: [{cluster: copied}, {cluster: never}, {cluster: none, fraction: {numerator: 0}}, {cluster: unknown}, {cluster: nobody}]")),
		Cluster("up", up.Port), Cluster("copied", copied.Port), Cluster("never", never.Port), Cluster("none", copied.Port), Cluster("nobody", 1)))
	c := p.Dial()
	for range calls {
		if got := ask(t, c, CallFrame(t, 1, TwoWay, "a", "m", nil, "x")); got != "20 up x" {
			t.Fatal(got)
		}
	}
	c.Write(CallFrame(t, 1, OneWay, "a", "note", nil, "x"))
	for name, u := range map[string]*Upstream{"up": up, "copied": copied, "never": never} {
		p.Eventually(name+" has got all", func() bool { return len(u.Heads()) == calls+1 })
	}
	p.WantStat("cluster.copied.upstream_rq_active", 0)
	p.WantStat("cluster.never.upstream_rq_active", calls)
	p.WantStat("cluster.none.upstream_rq_total", 0)
	p.WantStat("dubbo.d.request_active", 0)
	p.WantStat("dubbo.d.request", calls+1)
}

// A copy's endpoint that reads nothing slows nobody, and what waits for it has a bound.
func TestDubboMirrorThatDoesNotRead(t *testing.T) {
	up := Provided(t, func(h dubbo.Head, _ *dubbo.Call) ([]byte, bool) { return AnswerFrame(t, h.ID, "up"), false })
	deaf := Serve(t, func(u *Upstream, _ *Conn) { u.heldOpen() })
	p := StartLoops(t, 1, Bootstrap(DubboListener("- "+DubboRoute("up", "mirrors: [{cluster: deaf}]")), Cluster("up", up.Port), Cluster("deaf", deaf.Port)))
	c := p.Dial()
	frame := CallFrame(t, 1, TwoWay, "a", "m", nil, strings.Repeat("x", 1<<20))
	for range 60 {
		if got := ask(t, c, frame); got != "20 up" {
			t.Fatal(got)
		}
	}
	if n := p.Stat("cluster.deaf.retry_or_shadow_abandoned"); n < 20 {
		t.Errorf("%d copies were not sent", n)
	}
}

// Where a cluster has nobody who is well, or is unknown, the next one that has gets its calls; if none has, all is as without.
func TestDubboFallbacks(t *testing.T) {
	one := Provider(t, "one", 1)
	sick := Cluster("sick", one.Port)
	sick = strings.Replace(sick, "- endpoint:", "- health_status: UNHEALTHY\n        endpoint:", 1)
	for cluster, want := range map[string]string{"unknown": "20 one x", "empty": "20 one x", "sick": "20 one x", "one": "20 one x", "lost": "80 dubbo router: no healthy upstream for 'lost'"} {
		p := Start(t, Bootstrap(DubboListener("- "+DubboRoute(cluster, "fallbacks: {unknown: {clusters: [gone, empty, one]}, empty: {clusters: [sick, one]}, sick: {clusters: [one]}, lost: {clusters: [empty, gone]}}")),
			Cluster("one", one.Port), sick, "\n- {name: empty, type: STATIC}\n", "\n- {name: lost, type: STATIC}\n"))
		before := len(one.Heads())
		if got := ask(t, p.Dial(), CallFrame(t, 1, TwoWay, "a", "m", nil, "x")); got != want {
			t.Errorf("%s: %s: want %s", cluster, got, want)
		}
		if strings.HasPrefix(want, "20") {
			p.WantStat("cluster.one.upstream_rq_total", 1)
			if n := len(one.Heads()) - before; n != 1 {
				t.Errorf("%s: %d calls", cluster, n)
			}
		}
	}
}

// Outlier detection counts what a method throws, as Envoy's does, and a timeout; whoever answers in between begins anew.
func TestDubboOutliers(t *testing.T) {
	for name, one := range map[string]func(h dubbo.Head) []byte{
		"exceptions": func(h dubbo.Head) []byte { return exception(t, h.ID) },
		"statuses":   func(h dubbo.Head) []byte { return dubbo.AppendError(nil, &h, dubbo.ServiceError, "bad") },
		"timeouts":   func(dubbo.Head) []byte { return nil },
	} {
		var bad atomic.Bool
		u := Provided(t, func(h dubbo.Head, _ *dubbo.Call) ([]byte, bool) {
			if bad.Load() {
				return one(h), false
			}
			return AnswerFrame(t, h.ID, "fine"), false
		})
		p := StartLoops(t, 1, Bootstrap(DubboListener("- "+DubboRoute("up", "timeout: 0.4s")), Cluster("up", u.Port, "outlier_detection: {consecutive_5xx: 3, max_ejection_percent: 100}")))
		c := p.Dial()
		frame := CallFrame(t, 1, TwoWay, "a", "m", nil)
		for _, n := range []int{2, 0, 2, 0} {
			bad.Store(true)
			for range n {
				ask(t, c, frame)
			}
			bad.Store(false)
			ask(t, c, frame)
		}
		if n := p.Stat("cluster.up.outlier_detection.ejections_enforced_total"); n != 0 {
			t.Errorf("%s: %d ejections, and two in a row are none", name, n)
		}
		bad.Store(true)
		for range 3 {
			ask(t, c, frame)
		}
		p.WantStat("cluster.up.outlier_detection.ejections_enforced_total", 1)
	}
}

// A call costs two allocations at most, all in all: with a timeout, retries, a mirror and a condition on an argument, too.
func TestDubboAllocations(t *testing.T) {
	e := hessian2.NewEncoder()
	e.Encode(int32(1))
	e.Encode("one")
	answer := e.Buffer()
	u := Serve(t, func(_ *Upstream, c *Conn) {
		in, out := make([]byte, 4096), AnswerFrame(t, 0, "one")
		copy(out[dubbo.HeadSize:], answer)
		for {
			if _, err := io.ReadFull(c.Conn, in[:dubbo.HeadSize]); err != nil {
				return
			}
			if _, err := io.ReadFull(c.Conn, in[dubbo.HeadSize:dubbo.HeadSize+binary.BigEndian.Uint32(in[12:])]); err != nil {
				return
			}
			copy(out[4:12], in[4:12])
			if _, err := c.Conn.Write(out); err != nil {
				return
			}
		}
	})
	plain := DubboListener("- " + DubboRoute("up", ""))
	for name, listener := range map[string]string{"plain": plain, "policies": plain + "\n" + indent(8, "dubbo_filters:\n"+dubboRules(`{action: DENY, policies: {p: {permissions: [{url_path: {path: {exact: /a/n}}}], principals: [{header: {name: k, string_match: {exact: v}}}]}}}, rules_stat_prefix: r, shadow_rules: {}`)+dubboLimit("token_bucket: {max_tokens: 10000, fill_interval: 3600s}")+dubboRouter("")), "all": DubboListener("- " + DubboRoute("up", "timeout: 60s, retry: {attempts: 2, per_try_timeout: 30s, idempotent: true}, mirrors: [{cluster: up}], match: {argc: 1, arguments: [{type: java.lang.String, texts: {patterns: [{prefix: x}]}}]}"))} {
		p := StartLoops(t, 1, Bootstrap(listener, Cluster("up", u.Port)))
		var c net.Conn = p.Dial().Conn
		frame, in := CallFrame(t, 1, TwoWay, "a", "m", nil, "x"), make([]byte, len(AnswerFrame(t, 0, "one")))
		run := func(n int) {
			for range n {
				if _, err := c.Write(frame); err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadFull(c, in); err != nil {
					t.Fatal(err)
				}
			}
		}
		run(100)
		const calls = 2000
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		run(calls)
		runtime.ReadMemStats(&after)
		if n := float64(after.Mallocs-before.Mallocs) / calls; n > 0.5 { // 2 were asked for
			t.Errorf("%s: %.2f allocations a call", name, n)
		} else {
			t.Logf("%s: %.3f allocations a call", name, n)
		}
	}
}
