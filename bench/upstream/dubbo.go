package upstream

import (
	"encoding/binary"

	"github.com/weftmesh/weft/bench/mux"
	"github.com/weftmesh/weft/wire/dubbo"
)

// Interface and Method are what the Dubbo port's provider has: each call is answered with its first argument, a text of at most longestText bytes of ASCII.
const (
	Interface   = "org.example.bench.Echo"
	Method      = "echo"
	longestText = 32767 // Dubbo writes longer ones in pieces
)

// attached is an answer's attachments as Dubbo for Java writes them in hessian2: {"dubbo": "2.0.2"}.
var attached = []byte("H\x05dubbo\x052.0.2Z")

// valueWithAttachments is hessian2's integer 4, an answer's first value where attachments follow the result.
const valueWithAttachments = 0x94

// provider is a connection that speaks Dubbo.
type provider struct {
	mux.Line
	call dubbo.Call
}

// take answers a call in hessian2, and nothing else.
func (p *provider) take(h *dubbo.Head, frame []byte) bool {
	if !h.Request || !h.TwoWay || h.Event || p.call.Read(h.Serialization, frame[dubbo.HeadSize:]) != nil || string(p.call.Path) != Interface || string(p.call.Method) != Method {
		return false
	}
	v, err := p.call.Argument(0)
	if err != nil || v.Kind != dubbo.Text || len(v.Text) > longestText {
		return false
	}
	answer := dubbo.Head{Serialization: dubbo.Hessian2, Status: dubbo.OK, ID: h.ID, Body: 1 + 3 + len(v.Text) + len(attached)}
	p.Out = append(dubbo.AppendHead(p.Out, &answer), valueWithAttachments, 'S')
	p.Out = binary.BigEndian.AppendUint16(p.Out, uint16(len(v.Text)))
	p.Out = append(append(p.Out, v.Text...), attached...)
	return true
}
