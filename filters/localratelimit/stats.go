package localratelimit

import "github.com/weftmesh/weft/telemetry"

// Rows of the filter's numbers, under Envoy's names.
const (
	enabled = iota
	enforced
	rateLimited
	okay
)

var stats = &telemetry.Table{Kind: "http_local_rate_limit", Metrics: []telemetry.Metric{
	enabled:     {Name: "enabled"},
	enforced:    {Name: "enforced"},
	rateLimited: {Name: "rate_limited"},
	okay:        {Name: "ok"},
}}
