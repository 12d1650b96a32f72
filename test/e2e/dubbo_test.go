package e2e

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	hessian2 "github.com/apache/dubbo-go-hessian2"

	"github.com/weftmesh/weft/wire/dubbo"
)

// callFrame is a request, as dubbo-go-hessian2 writes its values. Of no arguments and no path it is a heartbeat.
func callFrame(t testing.TB, id uint64, flags byte, path, method string, attachments map[any]any, arguments ...any) []byte {
	t.Helper()
	e := hessian2.NewEncoder()
	if path == "" {
		e.Encode(nil)
	} else {
		types := ""
		for _, a := range arguments {
			switch a.(type) {
			case string:
				types += "Ljava/lang/String;"
			case int32:
				types += "I"
			default:
				types += "Ljava/lang/Object;"
			}
		}
		for _, v := range append(append([]any{"2.0.2", path, "1.0.0", method, types}, arguments...), attachments) {
			if err := e.Encode(v); err != nil {
				t.Fatal(err)
			}
		}
	}
	body := e.Buffer()
	b := append([]byte{0xda, 0xbb, flags | 2, 0}, make([]byte, 12)...)
	binary.BigEndian.PutUint64(b[4:], id)
	binary.BigEndian.PutUint32(b[12:], uint32(len(body)))
	return append(b, body...)
}

const (
	twoWay    = 0xc0
	oneWay    = 0x80
	heartbeat = 0xe0
)

// answerTo is what a provider says: its name, and the first argument.
func answerTo(t testing.TB, id uint64, text string) []byte {
	t.Helper()
	e := hessian2.NewEncoder()
	e.Encode(int32(1))
	e.Encode(text)
	b := append([]byte{0xda, 0xbb, 2, byte(dubbo.OK)}, make([]byte, 12)...)
	binary.BigEndian.PutUint64(b[4:], id)
	binary.BigEndian.PutUint32(b[12:], uint32(len(e.Buffer())))
	return append(b, e.Buffer()...)
}

// readFrame reads one frame; an end is an error.
func readFrame(c *Conn) (h dubbo.Head, body []byte, err error) {
	head := make([]byte, dubbo.HeadSize)
	if _, err := io.ReadFull(c.r, head); err != nil {
		return h, nil, err
	}
	if h, _, err = dubbo.ParseHead(head, 1<<30); err != nil {
		return h, nil, err
	}
	body = make([]byte, h.Body)
	_, err = io.ReadFull(c.r, body)
	return h, body, err
}

// said is what an answer says, in words.
func said(t testing.TB, h dubbo.Head, body []byte) string {
	t.Helper()
	d := hessian2.NewDecoder(body)
	v, err := d.Decode()
	if err == nil && h.Status == dubbo.OK {
		v, err = d.Decode()
	}
	if err != nil {
		t.Fatalf("%+v: %x: %v", h, body, err)
	}
	return fmt.Sprintf("%d %v", h.Status, v)
}

// provider starts one that answers with its name and the call's first argument, each batch of so many calls in the order from the last to the first.
func provider(t testing.TB, name string, batch int) *Upstream {
	t.Helper()
	return Serve(t, func(u *Upstream, c *Conn) {
		var call dubbo.Call
		for {
			var answers [][]byte
			for len(answers) < batch {
				h, body, err := readFrame(c)
				if err != nil {
					return
				}
				if err := call.Read(h.Serialization, body); err != nil {
					t.Errorf("%s got what cannot be read: %v", name, err)
					return
				}
				u.mu.Lock()
				u.heads = append(u.heads, fmt.Sprintf("%s %s", call.Path, call.Method))
				u.mu.Unlock()
				if !h.TwoWay {
					continue
				}
				v, _ := call.Argument(0)
				answers = append(answers, answerTo(t, h.ID, name+" "+string(v.Append(nil))))
			}
			slices.Reverse(answers)
			c.Write(slices.Concat(answers...))
		}
	})
}

func dubboListener(routes string) string {
	return `
- name: dubbo
  address: {socket_address: {address: 127.0.0.1, port_value: 0}}
  filter_chains:
  - filters:
    - name: d
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.filters.network.dubbo_proxy.v3.DubboProxy
        stat_prefix: d
        multiple_route_config:
          route_config:
` + indent(10, routes)
}

// Many calls of many clients go over one connection, in any order back, each answer to whom it is for.
func TestDubboCalls(t *testing.T) {
	const clients, calls = 3, 50
	u := provider(t, "one", 10)
	p := StartLoops(t, 1, Bootstrap(dubboListener(`- {interface: "*", routes: [{match: {}, route: {cluster: up}}]}`), Cluster("up", u.Port)))
	var conns []*Conn
	for i := range clients {
		c := p.Dial()
		conns = append(conns, c)
		var b []byte
		for k := range calls {
			b = append(b, callFrame(t, uint64(k)<<40|uint64(i), twoWay, "org.example.Greeter", "greet", nil, fmt.Sprintf("%d/%d", i, k))...)
		}
		c.Write(b)
	}
	for i, c := range conns {
		got := map[uint64]string{}
		for range calls {
			h, body, err := readFrame(c)
			if err != nil {
				t.Fatal(err)
			}
			got[h.ID] = said(t, h, body)
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
	u := provider(t, "one", 1)
	p := Start(t, Bootstrap(dubboListener(`- {interface: "*", routes: [{match: {}, route: {cluster: up}}]}`), Cluster("up", u.Port)))
	c := p.Dial()
	for _, b := range callFrame(t, 7, twoWay, "org.example.Greeter", "greet", nil, "piece") {
		c.Write([]byte{b})
	}
	h, body, err := readFrame(c)
	if err != nil || h.ID != 7 || said(t, h, body) != "20 one piece" {
		t.Fatal(h, err)
	}
	c.Write(callFrame(t, 8, oneWay, "org.example.Greeter", "note", nil, "x"))
	c.Write(callFrame(t, 9, heartbeat, "", "", nil))
	if h, body, err = readFrame(c); err != nil || h.ID != 9 || !h.Event || h.Status != dubbo.OK || string(body) != "N" {
		t.Fatal(h, string(body), err)
	}
	large := strings.Repeat("织", 300_000)
	c.Write(callFrame(t, 10, twoWay, "org.example.Greeter", "greet", nil, large))
	if h, body, err = readFrame(c); err != nil || said(t, h, body) != "20 one "+large {
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
	one, two := provider(t, "one", 1), provider(t, "two", 1)
	p := Start(t, Bootstrap(dubboListener(`
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
		c.Write(callFrame(t, uint64(i), twoWay, call.path, call.method, call.attachments, call.arguments...))
		h, body, err := readFrame(c)
		if err != nil {
			t.Fatal(err)
		}
		if got := said(t, h, body); got != call.want || h.ID != uint64(i) {
			t.Errorf("%s.%s%v %v: %q: want %q", call.path, call.method, call.arguments, call.attachments, got, call.want)
		}
	}
}

// Whatever goes wrong is told to those whom it is about, and to nobody else; what is no Dubbo ends its connection.
func TestDubboFaults(t *testing.T) {
	dead := Serve(t, func(_ *Upstream, c *Conn) { readFrame(c) }) // takes a call and goes
	u := provider(t, "one", 1)
	p := Start(t, Bootstrap(dubboListener(`
- {interface: org.example.Dead, routes: [{match: {}, route: {cluster: dead}}]}
- {interface: org.example.Nobody, routes: [{match: {}, route: {cluster: nobody}}]}
- {interface: org.example.Greeter, routes: [{match: {method: {name: {exact: greet}, params_match: {1: {exact_match: x}}}}, route: {cluster: up}}, {match: {method: {name: {exact: greet}}}, route: {cluster: up}}]}`),
		Cluster("up", u.Port), Cluster("dead", dead.Port), Cluster("nobody", 1)))
	c := p.Dial()
	ask := func(b []byte) string {
		t.Helper()
		c.Write(b)
		h, body, err := readFrame(c)
		if err != nil {
			t.Fatal(err)
		}
		return said(t, h, body)
	}
	if got := ask(callFrame(t, 1, twoWay, "org.example.Dead", "x", nil, "a")); got != fmt.Sprintf("80 dubbo upstream request: remote connection failure '127.0.0.1:%d'", dead.Port) {
		t.Error(got)
	}
	if got := ask(callFrame(t, 2, twoWay, "org.example.Nobody", "x", nil, "a")); got != "80 dubbo upstream request: remote connection failure '127.0.0.1:1'" {
		t.Error(got)
	}
	// A body that cannot be read where it is asked for is said to be so; the connection goes on.
	bad := callFrame(t, 3, twoWay, "org.example.Greeter", "greet", nil, "a", "b")
	bad[len(bad)-4] = 'G' // of the second argument, and then there are no attachments
	if got := ask(bad); !strings.HasPrefix(got, "20 one a") && !strings.HasPrefix(got, "40 dubbo: ") {
		t.Error(got)
	}
	cut := callFrame(t, 4, twoWay, "org.example.Greeter", "greet", nil)[:dubbo.HeadSize+9]
	binary.BigEndian.PutUint32(cut[12:], 9)
	if got := ask(cut); got != "40 dubbo: a body ends within a value" {
		t.Error(got)
	}
	if got := ask(callFrame(t, 5, twoWay, "org.example.Greeter", "greet", nil, "still")); got != "20 one still" {
		t.Error(got)
	}
	// What is no frame, and one that is larger than anybody sends, ends the connection.
	for _, b := range [][]byte{[]byte("GET / HTTP/1.1\r\n\r\n"), dubbo.AppendHead(nil, &dubbo.Head{Request: true, TwoWay: true, Serialization: dubbo.Hessian2, Body: 9 << 20})} {
		c := p.Dial()
		c.Write(b)
		if _, _, err := readFrame(c); err == nil {
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
			h, _, err := readFrame(c)
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
			c.Write(answerTo(t, id, "late"))
		}
		readFrame(c)
	})
	p := StartLoops(t, 1, Bootstrap(dubboListener(`- {interface: "*", routes: [{match: {}, route: {cluster: up}}]}`), Cluster("up", u.Port)))
	gone, stays := p.Dial(), p.Dial()
	gone.Write(callFrame(t, 1, twoWay, "a", "m", nil))
	p.WantStat("dubbo.d.request_active", 1)
	stays.Write(callFrame(t, 1, twoWay, "a", "m", nil))
	p.WantStat("dubbo.d.request_active", 2)
	gone.Close()
	p.WantStat("dubbo.d.request_active", 1)
	close(release)
	h, body, err := readFrame(stays)
	if err != nil || said(t, h, body) != "20 late" {
		t.Fatal(h, err)
	}
	p.WantStat("cluster.up.upstream_rq_active", 0)
}
