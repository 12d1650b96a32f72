package status

import (
	"fmt"
	"io"

	"github.com/weftmesh/weft/telemetry"
)

// Stats is what is counted of requests.
var Stats = &telemetry.Table{Kind: "status", Metrics: []telemetry.Metric{
	scrapes:            {Name: "scrapes"},
	proxyFailures:      {Name: "scrape_failures_proxy"},
	applicationFailed:  {Name: "scrape_failures_application"},
	droppedLines:       {Name: "scrape_lines_dropped"},
	probesTotal:        {Name: "probes"},
	probesFailed:       {Name: "probes_failed"},
	connectionsNow:     {Name: "connections_active", Type: telemetry.Gauge},
	connectionsRefused: {Name: "connections_refused"},
	refused:            {Name: "requests_refused"},
}}

const (
	scrapes            = iota
	proxyFailures      // scrapes in which the proxy's metrics are not whole
	applicationFailed  // scrapes in which the application's are not there, or not whole
	droppedLines       // of an application, that are none of an exposition
	probesTotal        // of the application
	probesFailed       // to which it said that it is not well, or nothing
	connectionsNow     //
	connectionsRefused // for which there was no room
	refused            // requests of a method or from a place that may not
)

// writeAgent writes what Istio's agent tells of itself, as far as there is something to tell, under its names.
func (s *Server) writeAgent(w io.Writer) error {
	_, err := fmt.Fprintf(w, "# TYPE istio_agent_scrapes_total counter\nistio_agent_scrapes_total %d\n"+
		"# TYPE istio_agent_scrape_failures_total counter\nistio_agent_scrape_failures_total{type=\"application\"} %d\nistio_agent_scrape_failures_total{type=\"envoy\"} %d\n",
		s.counts.Sum(scrapes), s.counts.Sum(applicationFailed), s.counts.Sum(proxyFailures))
	return err
}
