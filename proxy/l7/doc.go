// Package l7 is one HTTP exchange from the first byte of the request to the line in the access log: the downstream connection, what
// the connection manager does to heads, the walk through the filters, the route, the attempt against an endpoint, timeouts, and what
// becomes of failures. How messages are spelled is for wire, which endpoint and which connection for proxy/upstream.
//
// # An exchange's life
//
// Conn (conn.go) decodes a request into an exchange (exchange.go) of its loop's free list. head.go judges and completes its head,
// chain.go takes it through the filters, forward.go routes it and starts an attempt (attempt.go), which borrows an upstream
// connection. The response comes back the same way (response.go). end.go counts, logs and gives the exchange back.
// failure.go is the one place that says what a failure means.
package l7
