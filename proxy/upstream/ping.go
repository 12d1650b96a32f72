package upstream

import (
	"time"

	"github.com/weftmesh/weft/wire/http2"
)

// A connection that nobody uses, or whose peer has gone without a word, is found out by asking (RFC 9113 §6.7).

// watch has the peer asked again and again, if that is configured.
func (h *HTTP2) watch() {
	if a := h.cluster.Config.Protocol.HTTP2.Alive; a != nil && a.Interval > 0 {
		h.pool.loop.SetTimer(&h.ping, h.pool.loop.Jittered(a.Interval, a.Jitter), h)
	}
}

// question asks the peer, or, if it owes an answer, gives it up.
func (h *HTTP2) question() {
	if h.pinged {
		h.codecStats().Inc(CodecKeepAliveTimeout)
		h.lose(Terminated, CxDestroyLocal, CxDestroyLocalWithActive)
		return
	}
	h.ask()
}

func (h *HTTP2) ask() {
	h.pinged = true
	h.codec.Ping([8]byte{'w', 'e', 'f', 't'})
	h.pool.loop.SetTimer(&h.ping, h.cluster.Config.Protocol.HTTP2.Alive.Timeout, h)
}

// heard puts the end of the peer's time off: whatever comes, it is there.
func (h *HTTP2) heard() {
	h.heardAt = h.pool.loop.Nanotime()
	if h.pinged {
		h.pool.loop.SetTimer(&h.ping, h.cluster.Config.Protocol.HTTP2.Alive.Timeout, h)
	}
}

// OnPong implements http2.Owner.
func (h *HTTP2) OnPong([8]byte) {
	if h.pinged {
		h.pinged = false
		h.pool.loop.StopTimer(&h.ping)
		h.watch()
	}
}

// probe asks a peer of whom nothing was heard for long, before it is given something to do.
func (h *HTTP2) probe() {
	a := h.cluster.Config.Protocol.HTTP2.Alive
	if a != nil && a.Idle > 0 && !h.pinged && time.Duration(h.pool.loop.Nanotime()-h.heardAt) > a.Idle {
		h.ask()
	}
}

var _ http2.Owner = (*HTTP2)(nil)
