// Package route is the compiled route table: given a request's head it says which route serves it. It is pure (no clock, no sockets, no
// counters) and knows nothing of what a cluster is.
package route
