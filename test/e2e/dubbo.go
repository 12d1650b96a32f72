package e2e

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"testing"

	hessian2 "github.com/apache/dubbo-go-hessian2"

	"github.com/weftmesh/weft/wire/dubbo"
)

// CallFrame is a request, as dubbo-go-hessian2 writes its values. Of no arguments and no path it is a heartbeat.
func CallFrame(t testing.TB, id uint64, flags byte, path, method string, attachments map[any]any, arguments ...any) []byte {
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
			case bool:
				types += "Z"
			default:
				types += "Ljava/lang/Object;"
			}
		}
		if method == "$invoke" {
			types = "Ljava/lang/String;[Ljava/lang/String;[Ljava/lang/Object;"
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

// Flags of frames: calls that want an answer and that do not, and heartbeats.
const (
	TwoWay    = 0xc0
	OneWay    = 0x80
	Heartbeat = 0xe0
)

// AnswerFrame is what a provider says: its name, and the first argument.
func AnswerFrame(t testing.TB, id uint64, text string) []byte {
	t.Helper()
	e := hessian2.NewEncoder()
	e.Encode(int32(1))
	e.Encode(text)
	b := append([]byte{0xda, 0xbb, 2, byte(dubbo.OK)}, make([]byte, 12)...)
	binary.BigEndian.PutUint64(b[4:], id)
	binary.BigEndian.PutUint32(b[12:], uint32(len(e.Buffer())))
	return append(b, e.Buffer()...)
}

// ReadFrame reads one frame; an end is an error.
func ReadFrame(c *Conn) (h dubbo.Head, body []byte, err error) {
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

// Said is what an answer says, in words.
func Said(t testing.TB, h dubbo.Head, body []byte) string {
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

// Provider starts one that answers with its name and the call's first argument, each batch of so many calls in the order from the last to the first.
func Provider(t testing.TB, name string, batch int) *Upstream {
	t.Helper()
	return Serve(t, func(u *Upstream, c *Conn) {
		var call dubbo.Call
		for {
			var answers [][]byte
			for len(answers) < batch {
				h, body, err := ReadFrame(c)
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
				answers = append(answers, AnswerFrame(t, h.ID, name+" "+string(v.Append(nil))))
			}
			slices.Reverse(answers)
			c.Write(slices.Concat(answers...))
		}
	})
}

// Provided starts a provider that does with each call as it is told: it writes what f says, and goes if f says so.
func Provided(t testing.TB, f func(h dubbo.Head, call *dubbo.Call) (answer []byte, goes bool)) *Upstream {
	t.Helper()
	return Serve(t, func(u *Upstream, c *Conn) {
		var call dubbo.Call
		for {
			h, body, err := ReadFrame(c)
			if err != nil {
				return
			}
			if err := call.Read(h.Serialization, body); err != nil {
				t.Errorf("what cannot be read has come: %v", err)
				return
			}
			u.mu.Lock()
			u.heads = append(u.heads, fmt.Sprintf("%s %s", call.Path, call.Method))
			u.mu.Unlock()
			answer, goes := f(h, &call)
			if goes {
				return
			}
			c.Write(answer)
		}
	})
}

// DubboRoute is a route of all calls with a weft.dubbo.v1.Route, of which more is the YAML.
func DubboRoute(cluster, more string) string {
	return `{interface: "*", routes: [{match: {}, route: {cluster: ` + cluster + `, metadata_match: {typed_filter_metadata: {weft.dubbo: {"@type": type.googleapis.com/weft.dubbo.v1.Route, ` + more + `}}}}}]}`
}

// DubboListener is a listener named "dubbo"; routes is YAML of its route_config.
func DubboListener(routes string) string {
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
