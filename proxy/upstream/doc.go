// Package upstream is the side that we connect to: clusters and their endpoints, the choice among them, the limits on what is in
// flight, and the connections of each loop. It lends a connection for one attempt; what a request means, and whether it is tried
// again, is for proxy/l7.
//
// What belongs to one loop (connections, pools, the place of a round robin) is touched by that loop only. What loops share (how
// much is in flight) is an atomic on a cache line of its own. Endpoints and breakers have names and outlive configurations.
package upstream
