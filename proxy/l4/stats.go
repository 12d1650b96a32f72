package l4

import "github.com/weftmesh/weft/telemetry"

// Rows of a TCP proxy's numbers, under Envoy's names.
const (
	CxTotal = iota
	CxNoRoute
	CxRxBytes
	CxTxBytes
	FlowPausedReading
	FlowResumedReading
	IdleTimeout
	MaxDuration
	FlushTotal
	FlushActive
)

// Stats is the table of a TCP proxy's numbers.
var Stats = &telemetry.Table{Kind: "tcp", Metrics: []telemetry.Metric{
	CxTotal:            {Name: "downstream_cx_total"},
	CxNoRoute:          {Name: "downstream_cx_no_route"},
	CxRxBytes:          {Name: "downstream_cx_rx_bytes_total"},
	CxTxBytes:          {Name: "downstream_cx_tx_bytes_total"},
	FlowPausedReading:  {Name: "downstream_flow_control_paused_reading_total"},
	FlowResumedReading: {Name: "downstream_flow_control_resumed_reading_total"},
	IdleTimeout:        {Name: "idle_timeout"},
	MaxDuration:        {Name: "max_downstream_connection_duration"},
	FlushTotal:         {Name: "upstream_flush_total"},
	FlushActive:        {Name: "upstream_flush_active", Type: telemetry.Gauge},
}}

// Rows of a guard's numbers, under Envoy's names.
const (
	ActiveConnections = iota
	LimitedConnections
)

// GuardStats is the table of a guard's numbers.
var GuardStats = &telemetry.Table{Kind: "connection_limit", Metrics: []telemetry.Metric{
	ActiveConnections:  {Name: "active_connections", Type: telemetry.Gauge},
	LimitedConnections: {Name: "limited_connections"},
}}

// Rows of the numbers of a guard with a rate, under Envoy's names.
const RateLimited = 0

// RateStats is the table of the numbers of a guard with a rate.
var RateStats = &telemetry.Table{Kind: "local_rate_limit", Metrics: []telemetry.Metric{
	RateLimited: {Name: "rate_limited"},
}}

// Rows of the numbers of rules.
const (
	Allowed = iota
	Denied
)

// AccessStats is the table of the numbers of rules that are enforced, and ShadowStats of those that are only weighed.
var (
	AccessStats = &telemetry.Table{Kind: "rbac", Metrics: []telemetry.Metric{Allowed: {Name: "allowed"}, Denied: {Name: "denied"}}}
	ShadowStats = &telemetry.Table{Kind: "rbac_shadow", Metrics: []telemetry.Metric{Allowed: {Name: "shadow_allowed"}, Denied: {Name: "shadow_denied"}}}
)
