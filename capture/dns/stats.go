package dns

import "github.com/weftmesh/weft/telemetry"

// Stats is what is counted of questions.
var Stats = &telemetry.Table{Kind: "dns", Metrics: []telemetry.Metric{
	requests:         {Name: "requests"},
	answered:         {Name: "answered"},
	early:            {Name: "before_table"},
	malformed:        {Name: "malformed"},
	upstreamRequests: {Name: "upstream_requests"},
	upstreamFailures: {Name: "upstream_failures"},
	overflow:         {Name: "upstream_overflow"},
	stray:            {Name: "upstream_stray"},
	loops:            {Name: "loops"},
	refusedTCP:       {Name: "connections_refused"},
	names:            {Name: "names", Type: telemetry.Gauge},
	cutNames:         {Name: "names_cut", Type: telemetry.Gauge},
	upstreamTime:     {Name: "upstream_time", Type: telemetry.Histogram, Unit: "ms"},
}}

const (
	requests         = iota
	answered         // from the table
	early            // that were refused since there was no table yet
	malformed        // that were no question, or none that can be read
	upstreamRequests // that went to a resolver
	upstreamFailures // for which no resolver had an answer
	overflow         // that were refused since too many were waiting for resolvers
	stray            // messages of resolvers that answer another question
	loops            // that we have asked ourselves
	refusedTCP       // connections for which there was no room
	names            // that the table has
	cutNames         // names and addresses that it had no room for, or that nobody can ask for
	upstreamTime
)
