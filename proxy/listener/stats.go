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
	PreCxActive
	PreCxTimeout
	PreCxOverflow
	FilterRemoteClose
	FilterError
	HandshakeTimeout
	GlobalOverflow
)

// Stats is the table of a listener's numbers.
var Stats = &telemetry.Table{Kind: "listener", Metrics: []telemetry.Metric{
	CxTotal:            {Name: "downstream_cx_total"},
	CxActive:           {Name: "downstream_cx_active", Type: telemetry.Gauge},
	CxDestroy:          {Name: "downstream_cx_destroy"},
	CxLengthMs:         {Name: "downstream_cx_length_ms", Type: telemetry.Histogram, Unit: "ms"},
	AcceptsPaused:      {Name: "downstream_accepts_paused"},
	NoFilterChainMatch: {Name: "no_filter_chain_match"},
	PreCxActive:        {Name: "downstream_pre_cx_active", Type: telemetry.Gauge},
	PreCxTimeout:       {Name: "downstream_pre_cx_timeout"},
	PreCxOverflow:      {Name: "downstream_pre_cx_overflow"}, // ours: more wait for their first bytes than may
	FilterRemoteClose:  {Name: "downstream_listener_filter_remote_close"},
	FilterError:        {Name: "downstream_listener_filter_error"},
	HandshakeTimeout:   {Name: "downstream_cx_transport_socket_connect_timeout"},
	GlobalOverflow:     {Name: "downstream_global_cx_overflow"},
}}

// Rows of one loop's numbers of a listener.
const (
	WorkerCxTotal = iota
	WorkerCxActive
)

// WorkerStats is the table of one loop's numbers of a listener.
var WorkerStats = &telemetry.Table{Kind: "listener_worker", Metrics: []telemetry.Metric{
	WorkerCxTotal:  {Name: "downstream_cx_total"},
	WorkerCxActive: {Name: "downstream_cx_active", Type: telemetry.Gauge},
}}

// Rows of what was found looking for TLS.
const (
	TLSFound = iota
	TLSNotFound
	SNIFound
	SNINotFound
	ALPNFound
	ALPNNotFound
	HelloTooLarge
)

// TLSStats is the table of what was found looking for TLS.
var TLSStats = &telemetry.Table{Kind: "tls_inspector", Sparse: true, Metrics: []telemetry.Metric{
	TLSFound:      {Name: "tls_found"},
	TLSNotFound:   {Name: "tls_not_found"},
	SNIFound:      {Name: "sni_found"},
	SNINotFound:   {Name: "sni_not_found"},
	ALPNFound:     {Name: "alpn_found"},
	ALPNNotFound:  {Name: "alpn_not_found"},
	HelloTooLarge: {Name: "client_hello_too_large"},
}}

// Rows of what was found looking for HTTP, the versions as hello counts them.
const (
	HTTP10Found = iota
	HTTP11Found
	HTTP2Found
	HTTPNotFound
)

// HTTPStats is the table of what was found looking for HTTP.
var HTTPStats = &telemetry.Table{Kind: "http_inspector", Sparse: true, Metrics: []telemetry.Metric{
	HTTP10Found:  {Name: "http10_found"},
	HTTP11Found:  {Name: "http11_found"},
	HTTP2Found:   {Name: "http2_found"},
	HTTPNotFound: {Name: "http_not_found"},
}}

// Rows of what the PROXY protocol said. Those of version 2 follow those of version 1.
const (
	ProxyNotFoundAllowed = iota
	ProxyNotFoundDisallowed
	ProxyV1Found
	ProxyV2Found
	ProxyV1Disallowed
	ProxyV2Disallowed
	ProxyV1Error
	ProxyV2Error
)

// ProxyStats is the table of what the PROXY protocol said.
var ProxyStats = &telemetry.Table{Kind: "proxy_proto", Sparse: true, Metrics: []telemetry.Metric{
	ProxyNotFoundAllowed:    {Name: "not_found_allowed"},
	ProxyNotFoundDisallowed: {Name: "not_found_disallowed"},
	ProxyV1Found:            {Name: "versions.v1.found"},
	ProxyV2Found:            {Name: "versions.v2.found"},
	ProxyV1Disallowed:       {Name: "versions.v1.disallowed"},
	ProxyV2Disallowed:       {Name: "versions.v2.disallowed"},
	ProxyV1Error:            {Name: "versions.v1.error"},
	ProxyV2Error:            {Name: "versions.v2.error"},
}}
