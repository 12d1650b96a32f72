// Package loop is the engine: event loops, one for each core, and what a loop owns: sockets with their buffers and watermarks,
// timers, and functions posted by other goroutines. It moves bytes and time and knows no protocol.
//
// # What a turn is
//
// A loop waits for readiness (level-triggered epoll), then runs a turn: expired timers, ready sockets, posted functions, and connections
// whose kept bytes wait for their owner. What is written, to whatever connections, is sent in one call for each, for a few of them
// together, and at the end of the turn at the latest. All of it happens on one goroutine, so what belongs to a loop needs no lock. A turn sees one time: Now does not move
// within it.
//
// Why it looks as it does, with numbers: docs/design/0003-engine.md.
package loop
