package oracle

import "slices"

// versions are scenarios of HTTP/2: those of HTTP/1 once more, and those of what it alone has.
var versions = slices.Concat(
	inTwo("-h2", true, true, routing, heads, attempts, filtered, bodies, wire, logging, clustered, tables, limiting, replies, metadata, matching, running, following, statistics, early, detections, leading, calls),
	inTwo("-h2-down", true, false, routing, heads, attempts[:2], wire, following, statistics, calls),
	inTwo("-h2-up", false, true, routing, heads, attempts[:2], wire, following, statistics, calls),
)
