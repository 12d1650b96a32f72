package listener

import "github.com/weftmesh/weft/telemetry"

// Rows of a listener's numbers, under Envoy's names.
const (
	CxTotal = iota
	CxActive
	CxDestroy
	CxLengthMs
	AcceptsPaused
	NoFilterChainMatch
)

// Stats is the table of a listener's numbers.
var Stats = &telemetry.Table{Kind: "listener", Metrics: []telemetry.Metric{
	CxTotal:            {Name: "downstream_cx_total"},
	CxActive:           {Name: "downstream_cx_active", Type: telemetry.Gauge},
	CxDestroy:          {Name: "downstream_cx_destroy"},
	CxLengthMs:         {Name: "downstream_cx_length_ms", Type: telemetry.Histogram, Unit: "ms"},
	AcceptsPaused:      {Name: "downstream_accepts_paused"},
	NoFilterChainMatch: {Name: "no_filter_chain_match"},
}}
