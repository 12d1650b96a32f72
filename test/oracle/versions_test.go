package oracle

import "slices"

// versions are scenarios of HTTP/2: those of HTTP/1 once more, and those of what it alone has.
var versions = slices.Concat(
	inTwo("-h2", true, true, routing, heads, attempts, filtered, bodies, wire, logging, tables, limiting, replies, metadata, following, statistics, early, calls),
	inTwo("-h2-down", true, false, routing, heads, wire, following, statistics, calls),
	inTwo("-h2-up", false, true, routing, heads, wire, following, statistics, calls),
	apart(protocols),
)
