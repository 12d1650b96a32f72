package l7

import "github.com/weftmesh/weft/wire/http"

// client is an exchange's way to whoever asks: an HTTP/1 connection, or a stream of an HTTP/2 one. What it is given goes out within the
// turn, or waits where full tells of it.
type client interface {
	// opened decides, now that the head of the request is there, whether the connection takes more of them.
	opened()
	// fieldBytes are what the fields of the last head or trailers took, decoded, and in frames; HTTP/1 has none.
	fieldBytes() (fields, wire int)
	// upgradeAsked tells that the request asks for an upgrade.
	upgradeAsked() bool
	// last has the connection take no other request, where a request's end is told by the connection.
	last()
	// interim sends an informational head.
	interim(r *http.Response)
	// upgrade says that the bytes to come are a tunnel's.
	upgrade()
	// head completes the response's head for its version, and sends it. end: nothing follows.
	head(end bool)
	// body sends a piece of the response's body.
	body(b []byte)
	// finish ends the response, which has more than a head; trailers may be nil.
	finish(trailers *http.Header)
	// full tells that more waits to be sent than may; the exchange hears onDownstreamLowWater when that is over.
	full() bool
	// pump has what was kept of the request offered again.
	pump()
	// done gives the exchange up: its response is sent whole.
	done()
	// cut gives it up where the response cannot be completed: the client must not take what it got for the whole.
	cut()
	// wire are the bytes that came and went for the exchange.
	wire() (received, sent uint64)
}

// continueHead asks a client to go on.
var continueHead = &http.Response{Version: http.HTTP11, Status: 100}
