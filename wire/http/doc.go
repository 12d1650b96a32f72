// Package http is the HTTP message itself: request line or status, header block, body framing and trailers, the same for every
// version of the protocol. It knows nothing of sockets, of how a message is spelled on the wire (wire/http1 and its siblings do
// that), nor of what a proxy does to a message.
package http
