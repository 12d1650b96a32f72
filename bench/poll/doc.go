// Package poll is the few system calls the load generator and the upstream stand on: an epoll set
// with nanosecond waits, and non-blocking TCP sockets on loopback. It is not a network library: one
// goroutine owns a Set and every descriptor in it, and nothing here buffers or retries.
package poll
