package kube

import "github.com/weftmesh/weft/telemetry"

// Stats is what is counted of a Cluster and its Server.
var Stats = &telemetry.Table{Kind: "cluster", Metrics: []telemetry.Metric{
	lists:     {Name: "lists_total"},
	watches:   {Name: "watches_total"},
	refusals:  {Name: "refused_total"},
	losses:    {Name: "lost_total"},
	away:      {Name: "away", Type: telemetry.Gauge},
	events:    {Name: "events_total"},
	unchanged: {Name: "events_unchanged_total"},
	changes:   {Name: "changes_total"},
	asked:     {Name: "reviews_total"},
	unasked:   {Name: "reviews_unasked_total"},
}}

const (
	lists     = iota // that all objects of a kind were told at once
	watches          // that were begun
	refusals         // questions to which the server said no
	losses           // times that it did not answer any more
	away             // 1 while it does not
	events           // objects that were told, one by one
	unchanged        // of those the ones of which nothing that is read was another
	changes          // objects that were told on
	asked            // tokens that were asked about
	unasked          // of those the ones about which nobody could be asked
)

func (s *Server) count(row int, n uint64) {
	if s.Stats != nil {
		s.Stats.Add(row, n)
	}
}

func (s *Server) gauge(row, n int) {
	if s.Stats != nil {
		s.Stats.Set(row, uint64(n))
	}
}
