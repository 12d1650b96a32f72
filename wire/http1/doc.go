// Package http1 is the HTTP/1.x codec, both sides: a push parser from bytes to events and the writing of messages into bytes (RFC 9112). It
// owns no socket, buffer, goroutine or timer, and it judges only what a message says about itself: what a proxy does to a message
// (hop-by-hop fields, forwarding, replies) is proxy/l7's.
package http1
