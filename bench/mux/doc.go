// Package mux is a connection of many requests over a poll.Set, of HTTP/2 or of Dubbo 2, for the load and for the upstream: frames in, and all
// that a turn has to say out in one write. What is said is theirs.
package mux
