package node

import "github.com/weftmesh/weft/telemetry"

// Rows of Stats.
const (
	programsPlaced = iota
	chained
	tokens
	tokenFailures
	failures
	uncaptured
	repaired
	labelled
	repairFailures
)

// Stats is what is counted of a node.
var Stats = &telemetry.Table{Kind: "cni", Metrics: []telemetry.Metric{
	programsPlaced: {Name: "programs_placed"},
	chained:        {Name: "chained"}, // as often as somebody has written the network's configuration anew
	tokens:         {Name: "tokens"},
	tokenFailures:  {Name: "token_failures"},
	failures:       {Name: "install_failures"},
	uncaptured:     {Name: "pods_uncaptured"},
	repaired:       {Name: "pods_captured"},
	labelled:       {Name: "pods_labelled"},
	repairFailures: {Name: "repair_failures"},
}}
