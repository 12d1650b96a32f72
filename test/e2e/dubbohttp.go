package e2e

import (
	"encoding/binary"
	"fmt"
	"testing"

	hessian2 "github.com/apache/dubbo-go-hessian2"

	"github.com/weftmesh/weft/wire/dubbo"
)

// DubboUpstream marks a cluster's endpoints.
const DubboUpstream = `typed_extension_protocol_options: {weft.upstreams.dubbo: {"@type": type.googleapis.com/weft.dubbo.v1.Upstream}}`

// GenericCall is what a provider hears of a call, as dubbo-go-hessian2 reads it.
type GenericCall struct {
	Head        dubbo.Head
	Attachments map[any]any
	Said        string // the service, the method that is meant, its types and its arguments
}

// TakeGeneric reads a frame with a generic call.
func TakeGeneric(t testing.TB, c *Conn) (g GenericCall, err error) {
	h, body, err := ReadFrame(c)
	if err != nil {
		return g, err
	}
	g.Head = h
	d := hessian2.NewDecoder(body)
	var v [9]any
	for i := range v {
		if v[i], err = d.Decode(); err != nil {
			t.Errorf("value %d of a call: %v", i, err)
			return g, err
		}
	}
	if v[0] != "2.0.2" || v[4] != "Ljava/lang/String;[Ljava/lang/String;[Ljava/lang/Object;" {
		t.Errorf("a call of Dubbo %v with types %v", v[0], v[4])
	}
	g.Attachments, _ = v[8].(map[any]any)
	g.Said = fmt.Sprintf("%v:%v:%v %v %v %v%v", v[1], v[2], g.Attachments["group"], v[3], v[5], v[6], v[7])
	return g, nil
}

// DubboAnswer is the frame of an answer with these values.
func DubboAnswer(t testing.TB, id uint64, status dubbo.Status, values ...any) []byte {
	t.Helper()
	e := hessian2.NewEncoder()
	for _, v := range values {
		if err := e.Encode(v); err != nil {
			t.Error(err)
		}
	}
	b := append([]byte{0xda, 0xbb, 2, byte(status)}, make([]byte, 12)...)
	binary.BigEndian.PutUint64(b[4:], id)
	binary.BigEndian.PutUint32(b[12:], uint32(len(e.Buffer())))
	return append(b, e.Buffer()...)
}

// Shopkeeper answers generic calls with what was heard of each.
func Shopkeeper(t testing.TB) *Upstream {
	return Serve(t, func(u *Upstream, c *Conn) {
		for {
			g, err := TakeGeneric(t, c)
			if err != nil {
				return
			}
			u.mu.Lock()
			u.heads = append(u.heads, g.Said)
			u.mu.Unlock()
			c.Write(DubboAnswer(t, g.Head.ID, dubbo.OK, int32(1), g.Said))
		}
	})
}
