package server

import (
	"strings"

	"github.com/weftmesh/weft/telemetry"
)

// Stats is what is counted of a server.
var Stats = &telemetry.Table{Kind: "xds_server", Metrics: metrics()}

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
	responseBytes   // of each response
	acks
	nacks
	splits           // refused responses that are told again in halves
	healths          // words of agents about how workloads do
	questions        // about the control plane itself, by tools
	questionsRefused // that were not answered
	responses        // by kind
)

func metrics() []telemetry.Metric {
	list := make([]telemetry.Metric, responses+Kinds)
	copy(list, []telemetry.Metric{
		streamsNow:       {Name: "streams_active", Type: telemetry.Gauge},
		streamsTotal:     {Name: "streams_total"},
		streamsRefused:   {Name: "streams_refused"},
		requestsTotal:    {Name: "requests_total"},
		requestsStale:    {Name: "requests_stale"},
		requestsUnknown:  {Name: "requests_unknown_type"},
		requestsBroken:   {Name: "requests_broken"},
		namesRefused:     {Name: "names_refused"},
		silent:           {Name: "silent"},
		responseBytes:    {Name: "response_bytes", Type: telemetry.Histogram, Unit: "bytes"},
		acks:             {Name: "acks"},
		nacks:            {Name: "nacks"},
		splits:           {Name: "splits"},
		healths:          {Name: "health_reports"},
		questions:        {Name: "questions_total"},
		questionsRefused: {Name: "questions_refused"},
	})
	for k := range facts {
		list[responses+k].Name = strings.ReplaceAll(facts[k].name, " ", "_") + "_responses"
	}
	return list
}
