package oracle

import "slices"

// versions are scenarios of HTTP/2: those of HTTP/1 once more, and those of what it alone has.
var versions = slices.Concat(
	inTwo("-two", true, true, routing, heads, attempts, filtered, bodies, wire, logging, clustered, tables, limiting, replies, metadata, matching, running, following, statistics, early, detections, leading, calls),
)
