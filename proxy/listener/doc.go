// Package listener takes connections: it binds the sockets of a configuration, hands each loop its descriptor, accepts, counts, and
// gives a connection to the filter chain that it meets. What the chain does with it is for proxy/l7 and proxy/l4.
package listener
