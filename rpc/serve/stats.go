package serve

import "github.com/weftmesh/weft/telemetry"

// Stats is what is counted of a server.
var Stats = &telemetry.Table{Kind: "rpc_server", Metrics: []telemetry.Metric{
	connectionsNow:     {Name: "connections_active", Type: telemetry.Gauge},
	connectionsTotal:   {Name: "connections_total"},
	connectionsRefused: {Name: "connections_refused"},
	handshakesFailed:   {Name: "handshakes_failed"},
	protocolErrors:     {Name: "protocol_errors"},
	unanswered:         {Name: "pings_unanswered"},
	pingedTooOften:     {Name: "pinged_too_often"},
	stuck:              {Name: "stuck"},
	callsTotal:         {Name: "calls_total"},
	callsRefused:       {Name: "calls_refused"},
	messagesTooLarge:   {Name: "messages_too_large"},
}}

const (
	connectionsNow     = iota
	connectionsTotal   // that were taken
	connectionsRefused // for which there was no room
	handshakesFailed   // of TLS
	protocolErrors     // connections that broke the rules of HTTP/2, or asked too much
	unanswered         // connections that did not say in time that they are there
	pingedTooOften     // connections that asked that too often
	stuck              // calls whose peer did not read in time
	callsTotal
	callsRefused // whose connection had too many, or that are none of gRPC's
	messagesTooLarge
)
