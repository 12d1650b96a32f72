package e2e

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weftmesh/weft/wire/dubbo"
)

// Many calls of many clients go over one connection, in any order back, each answer to whom it is for.
func TestDubboCalls(t *testing.T) {
	const clients, calls = 3, 50
	u := Provider(t, "one", 10)
	p := StartLoops(t, 1, Bootstrap(DubboListener(`- {interface: "*", routes: [{match: {}, route: {cluster: up}}]}`), Cluster("up", u.Port)))
	var conns []*Conn
	for i := range clients {
		c := p.Dial()
		conns = append(conns, c)
		var b []byte
		for k := range calls {
			b = append(b, CallFrame(t, uint64(k)<<40|uint64(i), TwoWay, "org.example.Greeter", "greet", nil, fmt.Sprintf("%d/%d", i, k))...)
		}
		c.Write(b)
	}
	for i, c := range conns {
		got := map[uint64]string{}
		for range calls {
			h, body, err := ReadFrame(c)
			if err != nil {
				t.Fatal(err)
			}
			got[h.ID] = Said(t, h, body)
		}
		for k := range calls {
			if want := fmt.Sprintf("20 one %d/%d", i, k); got[uint64(k)<<40|uint64(i)] != want {
				t.Errorf("client %d, call %d: %q: want %q", i, k, got[uint64(k)<<40|uint64(i)], want)
			}
		}
	}
	if n := u.Connections(); n != 1 {
		t.Errorf("%d connections: want one", n)
	}
	p.WantStat("dubbo.d.request", clients*calls)
	p.WantStat("dubbo.d.request_twoway", clients*calls)
	p.WantStat("dubbo.d.response_success", clients*calls)
	p.WantStat("dubbo.d.request_active", 0)
	p.WantStat("cluster.up.upstream_rq_total", clients*calls)
	p.WantStat("cluster.up.upstream_rq_active", 0)
}

// A frame that comes in pieces, a call that wants no answer, and heartbeats, which are not the provider's to answer.
func TestDubboFrames(t *testing.T) {
	u := Provider(t, "one", 1)
	p := Start(t, Bootstrap(DubboListener(`- {interface: "*", routes: [{match: {}, route: {cluster: up}}]}`), Cluster("up", u.Port)))
	c := p.Dial()
	for _, b := range CallFrame(t, 7, TwoWay, "org.example.Greeter", "greet", nil, "piece") {
		c.Write([]byte{b})
	}
	h, body, err := ReadFrame(c)
	if err != nil || h.ID != 7 || Said(t, h, body) != "20 one piece" {
		t.Fatal(h, err)
	}
	c.Write(CallFrame(t, 8, OneWay, "org.example.Greeter", "note", nil, "x"))
	c.Write(CallFrame(t, 9, Heartbeat, "", "", nil))
	if h, body, err = ReadFrame(c); err != nil || h.ID != 9 || !h.Event || h.Status != dubbo.OK || string(body) != "N" {
		t.Fatal(h, string(body), err)
	}
	large := strings.Repeat("织", 300_000)
	c.Write(CallFrame(t, 10, TwoWay, "org.example.Greeter", "greet", nil, large))
	if h, body, err = ReadFrame(c); err != nil || Said(t, h, body) != "20 one "+large {
		t.Fatal(h, err)
	}
	if got := strings.Join(u.Heads(), ", "); got != "org.example.Greeter greet, org.example.Greeter note, org.example.Greeter greet" {
		t.Error(got)
	}
	p.WantStat("dubbo.d.request_oneway", 1)
	p.WantStat("dubbo.d.request_event", 1)
}

// Calls go by what they ask for, as Envoy has them go.
func TestDubboRoutes(t *testing.T) {
	one, two := Provider(t, "one", 1), Provider(t, "two", 1)
	p := Start(t, Bootstrap(DubboListener(`
- interface: org.example.Greeter
  version: 1.0.0
  routes:
  - {match: {method: {name: {exact: greet}, params_match: {0: {exact_match: ann}, 1: {range_match: {start: 5, end: 10}}}}}, route: {cluster: two}}
  - {match: {headers: [{name: canary, string_match: {exact: "yes"}}]}, route: {cluster: two}}
  - {match: {headers: [{name: tries, range_match: {start: 3, end: 4}}]}, route: {cluster: two}}
  - {match: {method: {name: {prefix: greet}}}, route: {cluster: one}}
- {interface: org.example.Other, group: blue, routes: [{match: {}, route: {cluster: one}}]}
- {interface: "org.*", version: 9.0.0, routes: [{match: {}, route: {cluster: one}}]}
- {interface: "*.Wild", routes: [{match: {}, route: {cluster: two}}]}
- {interface: org.example.Lost, routes: [{match: {}, route: {cluster: nowhere}}]}
- {interface: org.example.Down, routes: [{match: {}, route: {cluster: empty}}]}`), Cluster("one", one.Port), Cluster("two", two.Port), "\n- {name: empty, type: STATIC}\n"))
	c := p.Dial()
	for i, call := range []struct {
		path, method string
		attachments  map[any]any
		arguments    []any
		want         string
	}{
		{"org.example.Greeter", "greet", nil, []any{"ann", int32(7)}, "20 two ann"},
		{"org.example.Greeter", "greet", nil, []any{"ann", int32(10)}, "20 one ann"},
		{"org.example.Greeter", "greet", nil, []any{"ann"}, "20 one ann"},
		{"org.example.Greeter", "greet", nil, []any{"bob", int32(7)}, "20 one bob"},
		{"org.example.Greeter", "greetAll", map[any]any{"canary": "yes"}, []any{"x"}, "20 two x"},
		{"org.example.Greeter", "greetAll", map[any]any{"tries": int32(3)}, []any{"x"}, "20 two x"},
		{"org.example.Greeter", "greetAll", map[any]any{"tries": "4"}, []any{"x"}, "20 one x"},
		{"org.example.Greeter", "part", map[any]any{"Canary": "yes"}, []any{"x"}, "60 dubbo router: no route for interface 'org.example.Greeter'"},
		{"org.example.Other", "any", map[any]any{"group": "blue"}, []any{"x"}, "20 one x"},
		{"org.example.Other", "any", map[any]any{"group": "green"}, []any{"x"}, "60 dubbo router: no route for interface 'org.example.Other'"},
		{"org.example.Wild", "any", nil, []any{"x"}, "20 two x"},
		{".Wild", "any", nil, []any{"x"}, "60 dubbo router: no route for interface '.Wild'"},
		{"org.example.Lost", "any", nil, []any{"x"}, "80 dubbo router: unknown cluster 'nowhere'"},
		{"org.example.Down", "any", nil, []any{"x"}, "80 dubbo router: no healthy upstream for 'empty'"},
	} {
		c.Write(CallFrame(t, uint64(i), TwoWay, call.path, call.method, call.attachments, call.arguments...))
		h, body, err := ReadFrame(c)
		if err != nil {
			t.Fatal(err)
		}
		if got := Said(t, h, body); got != call.want || h.ID != uint64(i) {
			t.Errorf("%s.%s%v %v: %q: want %q", call.path, call.method, call.arguments, call.attachments, got, call.want)
		}
	}
}

// Whatever goes wrong is told to those whom it is about, and to nobody else; what is no Dubbo ends its connection.
func TestDubboFaults(t *testing.T) {
	dead := Serve(t, func(_ *Upstream, c *Conn) { ReadFrame(c) }) // takes a call and goes
	u := Provider(t, "one", 1)
	p := Start(t, Bootstrap(DubboListener(`
- {interface: org.example.Dead, routes: [{match: {}, route: {cluster: dead}}]}
- {interface: org.example.Nobody, routes: [{match: {}, route: {cluster: nobody}}]}
- {interface: org.example.Greeter, routes: [{match: {method: {name: {exact: greet}, params_match: {1: {exact_match: x}}}}, route: {cluster: up}}, {match: {method: {name: {exact: greet}}}, route: {cluster: up}}]}`),
		Cluster("up", u.Port), Cluster("dead", dead.Port), Cluster("nobody", 1)))
	c := p.Dial()
	ask := func(b []byte) string {
		t.Helper()
		c.Write(b)
		h, body, err := ReadFrame(c)
		if err != nil {
			t.Fatal(err)
		}
		return Said(t, h, body)
	}
	if got := ask(CallFrame(t, 1, TwoWay, "org.example.Dead", "x", nil, "a")); got != fmt.Sprintf("80 dubbo upstream request: remote connection failure '127.0.0.1:%d'", dead.Port) {
		t.Error(got)
	}
	if got := ask(CallFrame(t, 2, TwoWay, "org.example.Nobody", "x", nil, "a")); got != "80 dubbo upstream request: remote connection failure '127.0.0.1:1'" {
		t.Error(got)
	}
	// A body that cannot be read where it is asked for is said to be so; the connection goes on.
	bad := CallFrame(t, 3, TwoWay, "org.example.Greeter", "greet", nil, "a", "b")
	bad[len(bad)-4] = 'G' // of the second argument, and then there are no attachments
	if got := ask(bad); !strings.HasPrefix(got, "20 one a") && !strings.HasPrefix(got, "40 dubbo: ") {
		t.Error(got)
	}
	cut := CallFrame(t, 4, TwoWay, "org.example.Greeter", "greet", nil)[:dubbo.HeadSize+9]
	binary.BigEndian.PutUint32(cut[12:], 9)
	if got := ask(cut); got != "40 dubbo: a body ends within a value" {
		t.Error(got)
	}
	if got := ask(CallFrame(t, 5, TwoWay, "org.example.Greeter", "greet", nil, "still")); got != "20 one still" {
		t.Error(got)
	}
	// What is no frame, and one that is larger than anybody sends, ends the connection.
	for _, b := range [][]byte{[]byte("GET / HTTP/1.1\r\n\r\n"), dubbo.AppendHead(nil, &dubbo.Head{Request: true, TwoWay: true, Serialization: dubbo.Hessian2, Body: 9 << 20})} {
		c := p.Dial()
		c.Write(b)
		if _, _, err := ReadFrame(c); err == nil {
			t.Errorf("%q is answered", b)
		}
	}
	p.WantStat("dubbo.d.request_decoding_error", 3)
	p.WantStat("dubbo.d.request_active", 0)
}

// A client that goes takes its calls with it: what is under way for others on the same line goes on, and late answers are nobody's.
func TestDubboClientGoes(t *testing.T) {
	release := make(chan struct{})
	u := Serve(t, func(u *Upstream, c *Conn) {
		var ids []uint64
		for len(ids) < 2 {
			h, _, err := ReadFrame(c)
			if err != nil {
				return
			}
			ids = append(ids, h.ID)
		}
		select {
		case <-release:
		case <-u.stopped:
			return
		}
		for _, id := range ids {
			c.Write(AnswerFrame(t, id, "late"))
		}
		ReadFrame(c)
	})
	p := StartLoops(t, 1, Bootstrap(DubboListener(`- {interface: "*", routes: [{match: {}, route: {cluster: up}}]}`), Cluster("up", u.Port)))
	gone, stays := p.Dial(), p.Dial()
	gone.Write(CallFrame(t, 1, TwoWay, "a", "m", nil))
	p.WantStat("dubbo.d.request_active", 1)
	stays.Write(CallFrame(t, 1, TwoWay, "a", "m", nil))
	p.WantStat("dubbo.d.request_active", 2)
	gone.Close()
	p.WantStat("dubbo.d.request_active", 1)
	close(release)
	h, body, err := ReadFrame(stays)
	if err != nil || Said(t, h, body) != "20 late" {
		t.Fatal(h, err)
	}
	p.WantStat("cluster.up.upstream_rq_active", 0)
}

// Routes change under connections that stand, each call on one table or the other, and none is lost; where there is nobody to take a chain's place, its clients are asked to go and hear what they wait for.
func TestDubboRoutesChange(t *testing.T) {
	one, two := Provider(t, "one", 1), Provider(t, "two", 1)
	text := func(to string) string {
		return Bootstrap(DubboListener(`- {interface: "*", routes: [{match: {}, route: {cluster: `+to+`}}]}`), Cluster("one", one.Port), Cluster("two", two.Port))
	}
	p := Start(t, text("one"))
	c := p.Dial()
	var wait sync.WaitGroup
	stop, made := make(chan struct{}), 0
	wait.Go(func() {
		for id := uint64(1); ; id++ {
			select {
			case <-stop:
				return
			default:
			}
			c.Write(slices.Concat(CallFrame(t, id<<8, TwoWay, "a", "m", nil, "x"), CallFrame(t, id<<8+1, TwoWay, "a", "m", nil, "x")))
			for range 2 {
				h, body, err := ReadFrame(c)
				if err != nil {
					t.Errorf("lost: %v", err)
					return
				}
				if got := Said(t, h, body); got != "20 one x" && got != "20 two x" {
					t.Errorf("lost: %s", got)
					return
				}
				made++
			}
		}
	})
	for i := range 40 {
		to := []string{"two", "one"}[i%2]
		p.Change(text(to))
		other := p.Dial()
		other.Write(CallFrame(t, 1, TwoWay, "a", "m", nil, "y"))
		if h, body, err := ReadFrame(other); err != nil || Said(t, h, body) != "20 "+to+" y" {
			t.Errorf("round %d: %v", i, err)
		}
		other.Close()
	}
	close(stop)
	wait.Wait()
	if made < 100 {
		t.Errorf("only %d calls were made meanwhile", made)
	}
	c.Write(CallFrame(t, 1, TwoWay, "a", "m", nil, "y"))
	if h, body, err := ReadFrame(c); err != nil || Said(t, h, body) != "20 one y" {
		t.Errorf("the connection that stood all the time: %v", err)
	}
	p.Change(Bootstrap(HTTPListener(`routes: [{match: {prefix: /}, direct_response: {status: 200}}]`), Cluster("one", one.Port)))
	h, body, err := ReadFrame(c)
	if err != nil || !h.Request || !h.Event || h.TwoWay || string(body) != "\x01R" {
		t.Errorf("want to be asked to go: %+v %q %v", h, body, err)
	}
	if _, _, err := ReadFrame(c); err != io.EOF {
		t.Errorf("want the end: %v", err)
	}
}

// A drain asks Dubbo's clients to go: calls that are under way are answered, and then the connection ends.
func TestDubboDrains(t *testing.T) {
	release := make(chan struct{})
	u := Serve(t, func(u *Upstream, c *Conn) {
		h, _, err := ReadFrame(c)
		select {
		case <-release:
		case <-u.stopped:
		}
		if err == nil {
			c.Write(AnswerFrame(t, h.ID, "late"))
			ReadFrame(c)
		}
	})
	p := Start(t, Bootstrap(DubboListener(`- {interface: "*", routes: [{match: {}, route: {cluster: up}}]}`), Cluster("up", u.Port)))
	busy, idle := p.Dial(), p.Dial()
	busy.Write(CallFrame(t, 1, TwoWay, "a", "m", nil))
	idle.Write(CallFrame(t, 2, Heartbeat, "", "", nil))
	if _, _, err := ReadFrame(idle); err != nil {
		t.Fatal(err)
	}
	p.WantStat("dubbo.d.request_active", 1)
	var drained sync.WaitGroup
	drained.Go(func() { p.Depart(deadline) })
	for _, c := range []*Conn{busy, idle} {
		if h, _, err := ReadFrame(c); err != nil || !h.Request || !h.Event {
			t.Errorf("want to be asked to go: %+v, %v", h, err)
		}
	}
	if _, _, err := ReadFrame(idle); err != io.EOF {
		t.Errorf("who has nothing under way: %v", err)
	}
	close(release)
	if h, body, err := ReadFrame(busy); err != nil || Said(t, h, body) != "20 late" {
		t.Errorf("who had: %+v, %v", h, err)
	}
	if _, _, err := ReadFrame(busy); err != io.EOF {
		t.Errorf("and then: %v", err)
	}
	drained.Wait()
}

// A frame that does not end has its time, whole ones before it or not, and calls that are under way meanwhile are answered.
func TestDubboFrameThatDoesNotEnd(t *testing.T) {
	t.Parallel()
	u := Provider(t, "one", 1)
	p := Start(t, Bootstrap(DubboListener(`- {interface: "*", routes: [{match: {}, route: {cluster: up}}]}`), Cluster("up", u.Port)))
	c := p.Dial()
	began := time.Now()
	whole := CallFrame(t, 1, TwoWay, "a", "m", nil, "x")
	c.Write(append(whole, whole[:20]...))
	if h, body, err := ReadFrame(c); err != nil || Said(t, h, body) != "20 one x" {
		t.Fatal(h, err)
	}
	c.Write(whole[20:25]) // which does not give it more time
	if _, _, err := ReadFrame(c); err == nil {
		t.Error("half a frame is answered")
	}
	if took := time.Since(began); took < 29*time.Second || took > deadline/2+10*time.Second {
		t.Errorf("after %v: want 30 s", took)
	}
	p.WantStat("dubbo.d.request_decoding_error", 1)
}

// A provider that does not read stops who calls it, whether he wants answers or not, so that nothing is held but what there is a bound for; once it reads all of it arrives.
func TestDubboProviderThatDoesNotRead(t *testing.T) {
	release := make(chan struct{})
	var came atomic.Int64
	u := Serve(t, func(u *Upstream, c *Conn) {
		select {
		case <-release:
		case <-u.stopped:
			return
		}
		for {
			if _, _, err := ReadFrame(c); err != nil {
				return
			}
			came.Add(1)
		}
	})
	p := StartLoops(t, 1, Bootstrap(DubboListener(`- {interface: "*", routes: [{match: {}, route: {cluster: up}}]}`), Cluster("up", u.Port)))
	c := p.Dial()
	one := CallFrame(t, 1, OneWay, "a", "note", nil, strings.Repeat("x", 100_000))
	const most = 64 << 20
	sent, calls := 0, int64(0)
	for sent < most { // it is stopped when it waits for longer than anything here takes
		c.SetWriteDeadline(time.Now().Add(2 * time.Second))
		n, err := c.Conn.Write(one)
		sent += n
		if err != nil {
			c.SetWriteDeadline(time.Now().Add(deadline))
			close(release)
			if _, err := c.Conn.Write(one[n:]); err != nil {
				t.Fatal(err)
			}
			calls++
			break
		}
		calls++
	}
	if sent >= most {
		t.Fatalf("%d bytes of calls are taken for who reads none", sent)
	}
	p.Eventually("all that were sent arrive", func() bool { return came.Load() == calls })
	p.WantStat("dubbo.d.request_active", 0)
	p.WantStat("cluster.up.upstream_rq_active", 0)
}

// A client that takes no answers is given up, since others have the same line.
func TestDubboClientThatDoesNotRead(t *testing.T) {
	const calls = 60 // each of which is answered by a megabyte, once all have come
	large := strings.Repeat("x", 1<<20)
	u := Serve(t, func(_ *Upstream, c *Conn) {
		var ids []uint64
		for {
			h, _, err := ReadFrame(c)
			if err != nil {
				return
			}
			if ids = append(ids, h.ID); len(ids) > calls {
				c.Write(AnswerFrame(t, h.ID, "one x"))
			} else if len(ids) == calls {
				for _, id := range ids {
					c.Write(AnswerFrame(t, id, large))
				}
			}
		}
	})
	p := StartLoops(t, 1, Bootstrap(DubboListener(`- {interface: "*", routes: [{match: {}, route: {cluster: up}}]}`), Cluster("up", u.Port)))
	c, other := p.Dial(), p.Dial()
	for range calls {
		c.Write(CallFrame(t, 1, TwoWay, "a", "greet", nil, "x"))
	}
	p.WantStat("dubbo.d.response_error_caused_connection_close", 1)
	other.Write(CallFrame(t, 2, TwoWay, "a", "greet", nil, "x"))
	if h, body, err := ReadFrame(other); err != nil || Said(t, h, body) != "20 one x" {
		t.Errorf("another client: %+v, %v", h, err)
	}
}

// What is said of a call that cannot be read has nothing of somebody else's.
func TestDubboUnreadCalls(t *testing.T) {
	u := Provider(t, "one", 1)
	p := StartLoops(t, 1, Bootstrap(DubboListener(`- {interface: org.example.Greeter, routes: [{match: {}, route: {cluster: up}}]}`), Cluster("up", u.Port)))
	one, other := p.Dial(), p.Dial()
	one.Write(CallFrame(t, 1, TwoWay, "com.example.Hidden", "greet", nil, "x"))
	if h, body, err := ReadFrame(one); err != nil || Said(t, h, body) != "60 dubbo router: no route for interface 'com.example.Hidden'" {
		t.Fatalf("%+v, %v", h, err)
	}
	unread := CallFrame(t, 2, TwoWay, "a", "greet", nil)
	unread[2] = TwoWay | byte(dubbo.Kryo)
	other.Write(unread)
	if h, body, err := ReadFrame(other); err != nil || Said(t, h, body) != "60 dubbo router: no route for calls in a serialization that is not read (kryo, 8)" {
		t.Errorf("%+v, %v", h, err)
	}
}

// A port without a name tells Dubbo by its first two bytes, if it has a chain for it. Without one nobody waits for the second.
func TestDubboByFirstBytes(t *testing.T) {
	u := Provider(t, "provider", 1)
	chain := strings.Replace(DubboListener(`- {interface: "*", routes: [{match: {}, route: {cluster: up}}]}`), "  - filters:", "  - filter_chain_match: {transport_protocol: raw_buffer, application_protocols: [dubbo]}\n    filters:", 1)
	_, chain, _ = strings.Cut(chain, "filter_chains:\n")
	set := []string{chainTo("plain", "transport_protocol: raw_buffer"), chainTo("http", "transport_protocol: raw_buffer, application_protocols: [http/1.1, h2c]"), chainTo("tls", "transport_protocol: tls")}
	const inspect = "listener_filters: [" + inspectTLS + ", " + inspectHTTP + "]"
	clusters := append(named(t, "plain", "http", "tls"), Cluster("up", u.Port))

	p := Start(t, Bootstrap(chained(inspect, append(set, chain)...), clusters...))
	call := func(c *Conn, id uint64) {
		t.Helper()
		h, body, err := ReadFrame(c)
		if err != nil || h.ID != id || Said(t, h, body) != "20 provider a" {
			t.Errorf("%v: %d: %q", err, h.ID, body)
		}
	}
	c := p.from("127.0.0.1", "127.0.0.1")
	c.Write(CallFrame(t, 1, TwoWay, "org.example.Greeter", "greet", nil, "a"))
	call(c, 1)
	c = p.from("127.0.0.1", "127.0.0.1")
	for _, b := range CallFrame(t, 2, TwoWay, "org.example.Greeter", "greet", nil, "a") {
		c.Write([]byte{b})
	}
	call(c, 2)
	for say, want := range map[string]string{"GET / HTTP/1.1\r\n": "http", "hello\r\n": "plain", "\xda\xda": "plain", clientHello(t, 1<<14, ""): "tls"} {
		if got, _ := p.from("127.0.0.1", "127.0.0.1").Send(say).Rest(); got != want {
			t.Errorf("%.20q: %q, want %q", say, got, want)
		}
	}
	p.WantStat("dubbo.d.request", 2)

	p = Start(t, Bootstrap(chained(inspect, set...), clusters...))
	for _, say := range []string{"\xda", "\xda\xbb"} {
		if got, _ := p.from("127.0.0.1", "127.0.0.1").Send(say).Rest(); got != "plain" {
			t.Errorf("%q without a chain for it: %q", say, got)
		}
	}
}
