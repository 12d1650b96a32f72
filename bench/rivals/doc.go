// Package rivals knows each contestant: where its binary is, how it is told to do the same work as
// the others, and how it is started and stopped. It makes no traffic and measures nothing.
package rivals
