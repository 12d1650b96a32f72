package l7

import "github.com/weftmesh/weft/telemetry"

// Rows of a connection manager's numbers, under Envoy's names.
const (
	CxTotal = iota
	CxActive
	CxHTTP1Total
	CxHTTP2Total
	CxHTTP2Active
	CxHTTP1Active
	CxSSLTotal
	CxSSLActive
	CxDestroy
	CxDestroyLocal
	CxDestroyRemote
	CxDestroyActive
	CxDestroyLocalActive
	CxDestroyRemoteActive
	CxIdleTimeout
	CxMaxDuration
	CxMaxRequests
	CxDrainClose
	CxSoftDrain
	CxDelayedCloseTimeout
	CxProtocolError
	CxLengthMs
	CxRxBytes
	CxTxBytes
	CxUpgradesTotal
	CxUpgradesActive
	RqTotal
	RqHTTP1
	RqHTTP2
	RqTooManyPremature
	RqActive
	RqCompleted
	RqResponseBeforeComplete
	RqRxReset
	RqTxReset
	RqNonRelativePath
	RqTooLarge
	RqTimeout
	RqHeaderTimeout
	RqIdleTimeout
	RqMaxDuration
	RqWSOnNonWSRoute
	RqTime
	Rq1xx
	Rq2xx
	Rq3xx
	Rq4xx
	Rq5xx
	NoRoute
	NoCluster
	RqDirect
	RqRedirect
	RqTotalRouted
	RqFailedPathNormalization
	RqRedirectedNormalized
	RqRejectedIPDetection
	RedirectBadLocation
	RedirectUnsafeScheme
	RedirectTooMany
	RedirectNoRoute
	RedirectPredicate
	FlowPausedReading
	FlowResumedReading
	HeldTooLarge
	AwaitsPending
	AwaitsRefused
	InternalErrors
	CodecHeadersWithUnderscores
	CodecRejectedUnderscores
)

// Stats is the table of a connection manager's numbers.
var Stats = &telemetry.Table{Kind: "http", Metrics: []telemetry.Metric{
	CxTotal:                     {Name: "downstream_cx_total"},
	CxActive:                    {Name: "downstream_cx_active", Type: telemetry.Gauge},
	CxHTTP1Total:                {Name: "downstream_cx_http1_total"},
	CxHTTP2Total:                {Name: "downstream_cx_http2_total"},
	CxHTTP2Active:               {Name: "downstream_cx_http2_active", Type: telemetry.Gauge},
	CxHTTP1Active:               {Name: "downstream_cx_http1_active", Type: telemetry.Gauge},
	CxSSLTotal:                  {Name: "downstream_cx_ssl_total"},
	CxSSLActive:                 {Name: "downstream_cx_ssl_active", Type: telemetry.Gauge},
	CxDestroy:                   {Name: "downstream_cx_destroy"},
	CxDestroyLocal:              {Name: "downstream_cx_destroy_local"},
	CxDestroyRemote:             {Name: "downstream_cx_destroy_remote"},
	CxDestroyActive:             {Name: "downstream_cx_destroy_active_rq"},
	CxDestroyLocalActive:        {Name: "downstream_cx_destroy_local_active_rq"},
	CxDestroyRemoteActive:       {Name: "downstream_cx_destroy_remote_active_rq"},
	CxIdleTimeout:               {Name: "downstream_cx_idle_timeout"},
	CxMaxDuration:               {Name: "downstream_cx_max_duration_reached"},
	CxMaxRequests:               {Name: "downstream_cx_max_requests_reached"},
	CxDrainClose:                {Name: "downstream_cx_drain_close"},
	CxSoftDrain:                 {Name: "downstream_cx_http1_soft_drain", Type: telemetry.Gauge},
	CxDelayedCloseTimeout:       {Name: "downstream_cx_delayed_close_timeout"},
	CxProtocolError:             {Name: "downstream_cx_protocol_error"},
	CxLengthMs:                  {Name: "downstream_cx_length_ms", Type: telemetry.Histogram, Unit: "ms"},
	CxRxBytes:                   {Name: "downstream_cx_rx_bytes_total"},
	CxTxBytes:                   {Name: "downstream_cx_tx_bytes_total"},
	CxUpgradesTotal:             {Name: "downstream_cx_upgrades_total"},
	CxUpgradesActive:            {Name: "downstream_cx_upgrades_active", Type: telemetry.Gauge},
	RqTotal:                     {Name: "downstream_rq_total"},
	RqHTTP1:                     {Name: "downstream_rq_http1_total"},
	RqHTTP2:                     {Name: "downstream_rq_http2_total"},
	RqTooManyPremature:          {Name: "downstream_rq_too_many_premature_resets"},
	RqActive:                    {Name: "downstream_rq_active", Type: telemetry.Gauge},
	RqCompleted:                 {Name: "downstream_rq_completed"},
	RqResponseBeforeComplete:    {Name: "downstream_rq_response_before_rq_complete"},
	RqRxReset:                   {Name: "downstream_rq_rx_reset"},
	RqTxReset:                   {Name: "downstream_rq_tx_reset"},
	RqNonRelativePath:           {Name: "downstream_rq_non_relative_path"},
	RqTooLarge:                  {Name: "downstream_rq_too_large"},
	RqTimeout:                   {Name: "downstream_rq_timeout"},
	RqHeaderTimeout:             {Name: "downstream_rq_header_timeout"},
	RqIdleTimeout:               {Name: "downstream_rq_idle_timeout"},
	RqMaxDuration:               {Name: "downstream_rq_max_duration_reached"},
	RqWSOnNonWSRoute:            {Name: "downstream_rq_ws_on_non_ws_route"},
	RqTime:                      {Name: "downstream_rq_time", Type: telemetry.Histogram, Unit: "ms"},
	Rq1xx:                       {Name: "downstream_rq_1xx"},
	Rq2xx:                       {Name: "downstream_rq_2xx"},
	Rq3xx:                       {Name: "downstream_rq_3xx"},
	Rq4xx:                       {Name: "downstream_rq_4xx"},
	Rq5xx:                       {Name: "downstream_rq_5xx"},
	NoRoute:                     {Name: "no_route"},
	NoCluster:                   {Name: "no_cluster"},
	RqDirect:                    {Name: "rq_direct_response"},
	RqRedirect:                  {Name: "rq_redirect"},
	RqTotalRouted:               {Name: "rq_total"},
	RqFailedPathNormalization:   {Name: "downstream_rq_failed_path_normalization"},
	RqRedirectedNormalized:      {Name: "downstream_rq_redirected_with_normalized_path"},
	RqRejectedIPDetection:       {Name: "downstream_rq_rejected_via_ip_detection"},
	RedirectBadLocation:         {Name: "passthrough_internal_redirect_bad_location"},
	RedirectUnsafeScheme:        {Name: "passthrough_internal_redirect_unsafe_scheme"},
	RedirectTooMany:             {Name: "passthrough_internal_redirect_too_many_redirects"},
	RedirectNoRoute:             {Name: "passthrough_internal_redirect_no_route"},
	RedirectPredicate:           {Name: "passthrough_internal_redirect_predicate"},
	FlowPausedReading:           {Name: "downstream_flow_control_paused_reading_total"},
	FlowResumedReading:          {Name: "downstream_flow_control_resumed_reading_total"},
	HeldTooLarge:                {Name: "rs_too_large"},
	AwaitsPending:               {Name: "filter_awaits_pending", Type: telemetry.Gauge},
	AwaitsRefused:               {Name: "filter_awaits_refused"},
	InternalErrors:              {Name: "downstream_rq_panic"},
	CodecHeadersWithUnderscores: {Name: "dropped_headers_with_underscores"},
	CodecRejectedUnderscores:    {Name: "requests_rejected_with_underscores_in_headers"},
}}

// Rows of what is counted of a connection manager's answers at one listener.
const (
	ListenerRqCompleted = iota
	ListenerRq1xx
	ListenerRq2xx
	ListenerRq3xx
	ListenerRq4xx
	ListenerRq5xx
)

// ListenerStats is the table of these numbers.
var ListenerStats = &telemetry.Table{Kind: "listener_http", Metrics: []telemetry.Metric{
	ListenerRqCompleted: {Name: "downstream_rq_completed"},
	ListenerRq1xx:       {Name: "downstream_rq_1xx"},
	ListenerRq2xx:       {Name: "downstream_rq_2xx"},
	ListenerRq3xx:       {Name: "downstream_rq_3xx"},
	ListenerRq4xx:       {Name: "downstream_rq_4xx"},
	ListenerRq5xx:       {Name: "downstream_rq_5xx"},
}}

// classRow is the row that counts a status among its hundred; first is the row of 1xx.
func classRow(first int, status uint16) int { return first + min(max(int(status)/100, 1), 5) - 1 }
