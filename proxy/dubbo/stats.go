package dubbo

import "github.com/weftmesh/weft/telemetry"

// Rows of a Dubbo proxy's numbers, under Envoy's names.
const (
	rq = iota
	rqTwoWay
	rqOneWay
	rqEvent
	rqDecodingError
	rqDecodingSuccess
	rqActive
	rqTime
	rs
	rsSuccess
	rsError
	rsClosed
	rsException
	rsDecodingError
	rsDecodingSuccess
	localException
	cxLocalActive
	cxRemoteActive
	rsTimeout
)

// Stats is the table of a Dubbo proxy's numbers.
var Stats = &telemetry.Table{Kind: "dubbo", Metrics: []telemetry.Metric{
	rq:                {Name: "request"},
	rqTwoWay:          {Name: "request_twoway"},
	rqOneWay:          {Name: "request_oneway"},
	rqEvent:           {Name: "request_event"},
	rqDecodingError:   {Name: "request_decoding_error"},
	rqDecodingSuccess: {Name: "request_decoding_success"},
	rqActive:          {Name: "request_active", Type: telemetry.Gauge},
	rqTime:            {Name: "request_time_ms", Type: telemetry.Histogram},
	rs:                {Name: "response"},
	rsSuccess:         {Name: "response_success"},
	rsError:           {Name: "response_error"},
	rsClosed:          {Name: "response_error_caused_connection_close"},
	rsException:       {Name: "response_business_exception"},
	rsDecodingError:   {Name: "response_decoding_error"},
	rsDecodingSuccess: {Name: "response_decoding_success"},
	localException:    {Name: "local_response_business_exception"},
	cxLocalActive:     {Name: "cx_destroy_local_with_active_rq"},
	cxRemoteActive:    {Name: "cx_destroy_remote_with_active_rq"},
	rsTimeout:         {Name: "response_timeout"}, // ours: Envoy's has none
}}

// Rows of the numbers of policies.
const (
	allowed = iota
	denied
)

// Those of rules that are enforced, and of such as are only weighed.
var (
	accessStats = &telemetry.Table{Kind: "dubbo_rbac", Metrics: []telemetry.Metric{allowed: {Name: "allowed"}, denied: {Name: "denied"}}}
	shadowStats = &telemetry.Table{Kind: "dubbo_rbac_shadow", Metrics: []telemetry.Metric{allowed: {Name: "shadow_allowed"}, denied: {Name: "shadow_denied"}}}
)

// Rows of the numbers of a limit.
const (
	limitEnabled = iota
	limitOkay
	limitLimited
	limitEnforced
)

var limitStats = &telemetry.Table{Kind: "dubbo_local_rate_limit", Metrics: []telemetry.Metric{
	limitEnabled:  {Name: "enabled"},
	limitOkay:     {Name: "ok"},
	limitLimited:  {Name: "rate_limited"},
	limitEnforced: {Name: "enforced"},
}}
