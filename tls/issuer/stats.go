package issuer

import "github.com/weftmesh/weft/telemetry"

// Stats is what is counted of an identity.
var Stats = &telemetry.Table{Kind: "identity", Metrics: []telemetry.Metric{
	requests:    {Name: "requests"},
	issued:      {Name: "issued"},
	failures:    {Name: "failures"},
	unfit:       {Name: "answers_not_taken"},
	reloads:     {Name: "files_read"},
	unwritten:   {Name: "output_failures"},
	clockBehind: {Name: "clock_behind"},
	expired:     {Name: "expired", Type: telemetry.Gauge},
	until:       {Name: "valid_until_seconds", Type: telemetry.Gauge},
}}

const (
	requests    = iota
	issued      // certificates that were taken
	failures    // attempts without a certificate
	unfit       // answers that were not what was asked for
	reloads     // times that files of others were others than before
	unwritten   // times that the folder for what is in force could not be written
	clockBehind // times that this host's clock was found before the certificate
	expired     // 1: what is served has ended
	until       // in seconds since 1970, when what is served ends
)
