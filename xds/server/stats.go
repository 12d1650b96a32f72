package server

import "github.com/weftmesh/weft/telemetry"

// Stats is what is counted of a server.
var Stats = &telemetry.Table{Kind: "xds_server", Metrics: []telemetry.Metric{
	streamsNow:      {Name: "streams_active", Type: telemetry.Gauge},
	streamsTotal:    {Name: "streams_total"},
	streamsRefused:  {Name: "streams_refused"},
	requestsTotal:   {Name: "requests_total"},
	requestsStale:   {Name: "requests_stale"},
	requestsUnknown: {Name: "requests_unknown_type"},
	requestsBroken:  {Name: "requests_broken"},
	namesRefused:    {Name: "names_refused"},
	silent:          {Name: "silent"},
	responsesTotal:  {Name: "responses_total"},
	responseBytes:   {Name: "response_bytes"},
	acks:            {Name: "acks"},
	nacks:           {Name: "nacks"},
	splits:          {Name: "splits"},
}}

const (
	streamsNow      = iota
	streamsTotal    // that were taken
	streamsRefused  // for which there was no room
	requestsTotal   // messages
	requestsStale   // answers to what is not waited for
	requestsUnknown // about types that are not told of here
	requestsBroken  // that broke the rules of the protocol, which ended the stream
	namesRefused    // streams that asked for more names than one may
	silent          // streams without a first request in time
	responsesTotal
	responseBytes
	acks
	nacks
	splits // refused responses that are told again in halves
)
