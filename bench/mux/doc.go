// Package mux is a connection of HTTP/2 over a poll.Set, for the load and for the upstream: frames in, and all that a turn has to say
// out in one write. What is said is theirs.
package mux
