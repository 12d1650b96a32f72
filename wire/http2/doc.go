// Package http2 is the HTTP/2 codec, both sides (RFC 9113, RFC 7541, RFC 8441): a push parser from bytes to calls of an owner, the streams
// and windows of a connection, and the writing of messages into the owner's buffer. It owns no socket, goroutine, timer or clock, and it
// judges only what a message says about itself: what a proxy does to a message (hop-by-hop fields, forwarding, replies) is proxy/l7's.
package http2
