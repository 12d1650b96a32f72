package upstream

import (
	"net/netip"
	"slices"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/match"
	"github.com/weftmesh/weft/proxy/loop"
	"github.com/weftmesh/weft/tls"
	"github.com/weftmesh/weft/wire/http"
	"github.com/weftmesh/weft/wire/http1"
	"github.com/weftmesh/weft/wire/http2"
)

// check asks one endpoint. It owns its connection, which is none of the cluster's pools'.
type check struct {
	checker  *checker
	standing *Standing
	member   *Member
	timer    loop.Timer // until the next attempt
	deadline loop.Timer // of the one that is under way
	conn     *loop.Conn
	asking   bool // an attempt is under way
	decoder  http1.Decoder
	options  http1.Options
	response http.Response
	received []byte // of the answer: for HTTP its body
	expected result // what the head of an HTTP answer says
	degraded bool
	timedOut bool
	other    bool   // it serves another service
	status   uint16 // of an HTTP answer

	// Over HTTP/2.
	codec   *http2.Conn
	grpcOK  bool // the call has ended well
	leaving bool // the peer takes no more streams
}

// maxReceived bounds what is kept of an answer of TCP to find the expected parts in it, in bytes.
const maxReceived = 64 << 10

func (k *check) begin() {
	k.checker.home.SetTimer(&k.timer, k.checker.upTo(k.checker.config.InitialJitter), k)
}

// end gives the endpoint up.
func (k *check) end() {
	l := k.checker.home
	l.StopTimer(&k.timer)
	l.StopTimer(&k.deadline)
	k.asking = false
	k.hangUp()
}

func (k *check) hangUp() {
	if c := k.conn; c != nil {
		k.conn, k.codec, k.leaving = nil, nil, false
		c.Own(loop.Nobody{})
		c.Close()
	}
}

// address is where the endpoint is asked, which need not be where it serves.
func (k *check) address() config.Address {
	a := k.member.Address()
	if c := k.member.Check; c != nil {
		if c.Address != (config.Address{}) {
			a = c.Address
		}
		if c.Port != 0 && a.Path == "" {
			a.AddrPort = netip.AddrPortFrom(a.AddrPort.Addr(), c.Port)
		}
	}
	return a
}

// Expired begins an attempt, or ends one that takes too long.
func (k *check) Expired(t *loop.Timer) {
	if t == &k.deadline {
		k.hangUp()
		k.timedOut = true
		k.settle(unreached)
		return
	}
	c, l := k.checker, k.checker.home
	c.stats.Inc(CheckAttempt)
	k.asking, k.received, k.expected, k.degraded, k.timedOut, k.status = true, k.received[:0], passed, false, false, 0
	l.SetTimer(&k.deadline, c.config.Timeout, k)
	if k.conn != nil {
		k.ask()
		return
	}
	conn, err := c.cluster.dial(l, k.member.Endpoint, k.address(), nil, "", k.asks(), k)
	if err != nil {
		k.settle(unreached)
		return
	}
	k.conn = conn
	k.options = c.cluster.decode
	k.decoder.InitResponse(&k.options)
}

// settle ends the attempt.
func (k *check) settle(r result) {
	if !k.asking {
		return
	}
	k.asking = false
	l := k.checker.home
	l.StopTimer(&k.deadline)
	l.SetTimer(&k.timer, k.checker.settle(k.standing, finding{r, k.degraded, k.timedOut, k.status}), k)
}

// asks is what is asked of servers of TLS.
func (k *check) asks() tls.Ask {
	c := k.checker.config
	a := tls.Ask{Offer: c.Offer, Insist: true}
	switch {
	case len(c.Offer) > 0:
	case k.shared():
		a = tls.Ask{Offer: offersHTTP2}
	case c.HTTP != nil:
		a = tls.Ask{Offer: offersHTTP1}
	}
	return a
}

// OnConnected asks.
func (k *check) OnConnected() {
	if k.shared() {
		k.begin2()
	}
	k.ask()
}

func (k *check) ask() {
	if k.codec != nil {
		k.ask2()
		return
	}
	if t := k.checker.config.TCP; t != nil {
		if len(t.Receive) == 0 {
			// That it could be reached is all there is to know.
			k.conn.Write(t.Send)
			k.conn.Own(loop.Nobody{})
			k.conn.CloseFlushed(k.checker.config.Timeout)
			k.conn = nil
			k.settle(passed)
			return
		}
		k.conn.Write(t.Send)
		return
	}
	h := k.checker.config.HTTP
	var r http.Request
	k.question(&r)
	framing := http1.NoBody
	if len(h.Send) > 0 {
		framing = http1.Sized(int64(len(h.Send)))
	}
	k.decoder.ExpectResponse(r.Method(), false)
	k.conn.Commit(http1.AppendRequest(k.conn.Buffer(r.Size()+headRoom), &r, framing, http1.WriteOptions{}))
	k.conn.Write(h.Send)
}

// host is whom the request is for: as the endpoint says, or the check, or else the cluster's name.
func (k *check) host() string {
	if c := k.member.Check; c != nil && c.Hostname != "" {
		return c.Hostname
	}
	own := ""
	if g := k.checker.config.GRPC; g != nil {
		own = g.Host
	} else {
		own = k.checker.config.HTTP.Host
	}
	if own != "" {
		return own
	}
	return k.checker.cluster.Config.Name
}

// OnData reads the answer.
func (k *check) OnData(b []byte) int {
	switch {
	case k.codec != nil:
		return k.read2(b)
	case !k.asking:
		k.hangUp() // nobody asked for anything
	case k.checker.config.TCP != nil:
		k.received = append(k.received, b...)
		if inOrder(k.received, k.checker.config.TCP.Receive) {
			k.finish(passed, true)
		} else if len(k.received) > maxReceived {
			k.finish(unreached, false)
		}
	default:
		return k.read(b)
	}
	return len(b)
}

func (k *check) read(b []byte) int {
	used := 0
	for k.asking {
		n, event, data, err := k.decoder.NextResponse(b[used:], &k.response)
		used += n
		if err != nil {
			k.finish(unreached, false)
			return len(b)
		}
		switch event {
		case http1.NeedMore:
			return used
		case http1.Head:
			if k.response.IsInformational() {
				continue
			}
			k.head()
			if k.decoder.NoBody() {
				k.complete(used == len(b))
			}
		case http1.Body:
			k.received = append(k.received, data[:min(len(data), k.checker.config.HTTP.Room-len(k.received))]...)
		case http1.End:
			k.complete(used == len(b))
		}
	}
	return len(b)
}

// head judges the answer by its head.
func (k *check) head() {
	k.status = k.response.Status
	h, status := k.checker.config.HTTP, int64(k.status)
	within := func(r config.Int64Range) bool { return status >= r.Start && status < r.End }
	switch {
	case slices.ContainsFunc(h.Expected, within):
	case slices.ContainsFunc(h.Retriable, within):
		k.expected = suspected
	default:
		k.expected = failed
	}
	k.degraded = k.response.Find(http.Lookup(SaysDegraded), SaysDegraded, 0) >= 0
	if h.Service != nil {
		var name []byte
		if i := k.response.Find(http.Lookup(servedCluster), servedCluster, 0); i >= 0 {
			name = k.response.Value(i)
		}
		k.other = !match.String(h.Service, name)
	}
}

// SaysDegraded is the field of an answer in which an endpoint says that it is.
const SaysDegraded = "x-envoy-degraded"

// servedCluster is the field of an answer in which an endpoint says whose it is.
const servedCluster = "x-envoy-upstream-healthchecked-cluster"

func (k *check) complete(exact bool) {
	r := k.expected
	h := k.checker.config.HTTP
	if r == passed && !inOrder(k.received, h.Receive) {
		r = failed
	}
	if r == passed && h.Service != nil {
		k.checker.stats.Inc(CheckVerifyCluster)
		if k.other {
			r = failed
		}
	}
	k.finish(r, exact && (k.codec != nil || k.decoder.KeepAlive()) && !k.conn.PeerDone())
}

// finish ends the attempt and, unless it may serve again, the connection.
func (k *check) finish(r result, whole bool) {
	if !whole || !k.checker.config.Reuse {
		k.hangUp()
	}
	k.settle(r)
}

// OnEOF may complete an answer that ends with its connection.
func (k *check) OnEOF() {
	if k.asking && k.codec == nil && k.checker.config.HTTP != nil {
		if event, err := k.decoder.EOF(); err == nil && event == http1.End {
			k.complete(false)
			return
		}
	}
	k.hangUp()
	k.settle(unreached)
}

// OnClosed is an error of the socket, or a refusal.
func (k *check) OnClosed(error) {
	k.conn, k.codec, k.leaving = nil, nil, false
	k.settle(unreached)
}

// OnLowWater is of no interest: a question is small.
func (k *check) OnLowWater() {
	if k.codec != nil {
		k.codec.Drained()
	}
}

// OnPanic ends the attempt, and the next one is made all the same.
func (k *check) OnPanic(any) {
	k.hangUp()
	k.settle(unreached)
}
